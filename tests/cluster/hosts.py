"""Hosts of the tests' own on this machine: network namespaces on one bridge, each with folders of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

NETWORK = "10.213.77"
BRIDGE = "orch-test"


class Host:
    """A namespace with an address; what runs in it has its own loopback and its own Ray sockets."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name, self.address = f"orch-test-{number}", f"{NETWORK}.{number}"
        self.folder, self.link = folder / self.name, f"orch-test-v{number}"
        self.private = [Path("/tmp/ray")]
        """Folders that no other host sees."""

    def add(self) -> None:
        inside = "eth0"
        ip("netns", "add", self.name)
        ip("link", "add", self.link, "type", "veth", "peer", "name", inside, "netns", self.name)
        ip("link", "set", self.link, "master", BRIDGE, "up")
        ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", inside)
        ip("-n", self.name, "link", "set", inside, "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def command(self, *words: str) -> list[str]:
        lines = []
        for path in self.private:
            own = self.folder / path.relative_to("/")
            lines.append(f"mkdir -p {own} {path} && mount --bind {own} {path}")
        script = " && ".join([*lines, 'exec "$@"'])
        return ["ip", "netns", "exec", self.name, "unshare", "--mount", "sh", "-c", script, "sh", *words]

    def run(
        self, *words: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            cwd=cwd,
            env=os.environ | dict(environment or {}),
        )

    def start(self, *words: str, environment: Mapping[str, str], cwd: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=cwd,
            env=os.environ | dict(environment),
        )

    def ray(self, *words: str, environment: Mapping[str, str]) -> None:
        ray = str(Path(sys.executable).with_name("ray"))
        done = self.run(ray, "start", *words, "--disable-usage-stats", environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def alive(self) -> bool:
        """Whether any process runs on it."""
        return bool(ip("netns", "pids", self.name).split())

    def kill(self) -> int:
        """End every process of this host at once, as when its power fails; how many there were."""
        pids = [int(pid) for pid in ip("netns", "pids", self.name).split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def remove(self) -> None:
        self.kill()
        deadline = time.monotonic() + 20
        while ip("netns", "pids", self.name) and time.monotonic() < deadline:
            time.sleep(0.1)
        ip("link", "delete", self.link)  # with the namespace alone it goes some time later
        ip("netns", "delete", self.name)


@contextlib.contextmanager
def hosts(number: int, folder: Path) -> Iterator[list[Host]]:
    """So many hosts that reach each other and nothing else."""
    with contextlib.ExitStack() as undo:  # every step back is taken, whatever happens in another
        ip("link", "add", BRIDGE, "type", "bridge")
        undo.callback(ip, "link", "delete", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        if shutil.which("iptables"):  # where Docker ran, nothing passes a bridge unasked
            rule = ("FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT")
            subprocess.run(["iptables", "-I", *rule], check=True)
            undo.callback(subprocess.run, ["iptables", "-D", *rule], check=True)
        made = []
        for index in range(number):
            host = Host(index + 2, folder)
            undo.callback(host.remove)
            host.add()
            made.append(host)
        yield made


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout
