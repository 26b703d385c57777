"""Sweeps in a job of Slurm's: docs/orch.sbatch with a stub for srun, and everything else real."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.process.machine import cores
from tests.builders import table_yaml
from tests.deployment.manifests import ROOT

SCRIPT = ROOT / "docs" / "orch.sbatch"
# Runs the step once, on this machine, and tells with which options it was asked for.
SRUN = """#!/bin/sh
while case "$1" in --*) true ;; *) false ;; esac; do echo "srun $1" >>srun.log; shift; done
exec "$@"
"""


class Job:
    """A job of two nodes with one core each, both of them this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ray = folder, f"/tmp/ray-{os.getpid()}"
        self._steps: list[subprocess.Popen[str]] = []
        (folder / "bin").mkdir()
        (folder / "bin" / "srun").write_text(SRUN, encoding="utf-8")
        (folder / "bin" / "srun").chmod(0o755)
        here = [str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = os.environ | {
            "PATH": os.pathsep.join(here),
            "PYTHONPATH": str(ROOT),
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_PER_TASK": "1",
            "ORCH_HEAD_IP": "127.0.0.1",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        log = (self.folder / "job.log").open("a", encoding="utf-8")
        with log:
            step = subprocess.Popen(
                ["bash", str(SCRIPT), *words],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                text=True,
            )
        self._steps.append(step)
        return step

    def told(self) -> str:
        return (self.folder / "job.log").read_text(encoding="utf-8")

    def left(self) -> list[str]:
        """Processes and secrets that a job has left behind."""
        return self._running() + [str(path) for path in (self.folder / "runs").glob(".ray-token-*")]

    def end(self) -> None:
        """Leave nothing behind, also where a test has failed."""
        for step in self._steps:
            step.terminate()
        for step in self._steps:
            try:
                step.wait(timeout=60)
            except subprocess.TimeoutExpired:
                step.kill()
        for line in self._running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        shutil.rmtree(self._ray, ignore_errors=True)  # its logs, which a job leaves on its nodes

    def _running(self) -> list[str]:
        found = subprocess.run(
            ["pgrep", "--full", "--list-full", f"{self._ray}(/|[[:space:]]|$)"],
            capture_output=True,
            text=True,
            check=False,
        )
        return found.stdout.splitlines()


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    job = Job(tmp_path)
    yield job
    job.end()


def test_the_script_is_one_that_bash_can_read() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds processes to cores")
def test_a_sweep_in_a_job_takes_the_jobs_cores_and_not_the_nodes() -> None:
    own = os.sched_getaffinity(0)
    assert cores() == len(own)
    os.sched_setaffinity(0, {min(own)})
    try:
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, own)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pgrep") is None, reason="needs pgrep (procps)")
def test_a_job_whose_time_is_up_goes_on_in_the_next_one(job: Job, tmp_path: Path) -> None:
    text = table_yaml().replace("epochs: 2\n  probe", "epochs: 100\n  probe")
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    first = job.start("sweep.yaml")
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("runs/trials/*/epoch-*.pt")):
        assert first.poll() is None and time.monotonic() < deadline, job.told()
        time.sleep(0.2)
    (token,) = tmp_path.glob("runs/.ray-token-*")
    assert token.stat().st_mode & 0o777 == 0o600
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=120) == 130, job.told()
    assert job.left() == []
    assert "srun --relative=1" in (tmp_path / "srun.log").read_text(encoding="utf-8")
    assert "8 trials will run, 0 done" in job.told() and "tiny, table main" not in job.told()
    second = job.start("sweep.yaml")
    assert second.wait(timeout=300) == 0, job.told()
    assert "tiny, table main" in job.told()
    assert job.left() == []
