"""A Docker engine of the tests' own, and images that need no registry."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


class Engine:
    """Commands to one engine, whichever form of compose there is."""

    def __init__(self, socket: Path) -> None:
        self.environment = os.environ | {"DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": "1"}
        # The client that came with the engine: another one may lack what builds images.
        own = Path("/usr/bin/docker")
        self.docker = str(own if own.exists() else shutil.which("docker"))
        plugin = subprocess.run([self.docker, "compose", "version"], capture_output=True, check=False)
        self.compose_command = [self.docker, "compose"] if plugin.returncode == 0 else ["docker-compose"]

    def __call__(self, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
        return self._run([self.docker, *words], **options)

    def compose(
        self, *words: str, check: bool = True, timeout: float = 900, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        return self._run([*self.compose_command, *words], check=check, timeout=timeout, settings=settings)

    def _run(
        self,
        command: list[str],
        *,
        check: bool = True,
        timeout: float = 3600,
        settings: dict[str, str] | None = None,
        **options: object,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # type: ignore[call-overload]
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=self.environment | (settings or {}),
            **options,
        )
        assert done.returncode == 0 or not check, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done  # type: ignore[no-any-return]


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Docker with everything it keeps below `folder`; what it was asked to keep stays for the next run."""
    run = folder / "run"
    run.mkdir(parents=True, exist_ok=True)
    command = ["dockerd", "--data-root", str(folder / "data"), "--exec-root", str(run / "exec")]
    command += ["--host", f"unix://{run / 'docker.sock'}", "--pidfile", str(run / "pid")]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        made = Engine(run / "docker.sock")
        deadline = time.monotonic() + 120
        while made("info", check=False).returncode:
            assert daemon.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(1)
        yield made
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=120)


def make_images(docker: Engine, folder: Path) -> None:
    """`orch-test-base`, `orch-test` and `orch-test-postgres`; layers that are there already are taken."""
    if docker("image", "inspect", "orch-test-base", check=False).returncode:
        root = folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        packages = "--include=python3,python3-venv,ca-certificates,procps"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, "bookworm", str(root)],
            check=True,
            capture_output=True,
        )
        shutil.copy(AUTHORITIES, root / "etc/ssl/certs/ca-certificates.crt")  # pip's way out of here
        (root / "etc/pip.conf").write_text(
            f"[global]\ncert = {AUTHORITIES}\ntimeout = 180\n", encoding="utf-8"
        )
        pack = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        docker("import", "-", "orch-test-base", stdin=pack.stdout)
        assert pack.wait() == 0
        shutil.rmtree(root)
    build = ("build", "--network", "host", "--build-arg", "BASE=orch-test-base")
    docker(*build, "-f", str(HERE / "Dockerfile.postgres"), "-t", "orch-test-postgres", str(HERE))
    docker(*build, "-f", str(ROOT / "docker" / "Dockerfile"), "-t", "orch-test", str(ROOT))
