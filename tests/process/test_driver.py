"""Laws of the locks by which a driver is seen: they are its own, and end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.process.driver import Owner
from orchestrator.process.scratch import scratch_folder
from orchestrator.recording.claims.home import Claims
from orchestrator.recording.journal.files import folders, left_behind

ROOT = Path(__file__).parents[2]
FORKED = """
import os, sys, time
from pathlib import Path
from orchestrator.recording.claims.home import Claims
from orchestrator.process.scratch import scratch_folder
from orchestrator.recording.journal.entries import Attached
from orchestrator.recording.journal.files import OwnJournal
home = Path(sys.argv[1])
claims = Claims(home, command="orch sweep other.yaml")
claims.take(["a"])
journal = OwnJournal(home / "journal", store="x", command="orch sweep other.yaml")
journal.append(Attached(trial_id="0" * 12, files={}))
scratch = scratch_folder()
folder = scratch.__enter__()
with claims._alone():  # as it reads and writes claims all the while
    fork = os.fork()
    if fork == 0:
        os.close(1)
        time.sleep(60)
        os._exit(0)
print(fork, folder, flush=True)
time.sleep(60)
"""


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[Path]:
    """The scratch folder of a killed driver, of which a fork lives."""
    words = [sys.executable, "-c", FORKED, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as driver:
        assert driver.stdout is not None
        fork, _, folder = driver.stdout.readline().strip().partition(" ")
        driver.kill()
    os.kill(int(fork), 0)
    yield Path(folder)
    os.kill(int(fork), signal.SIGKILL)


def test_a_fork_of_a_dead_driver_keeps_nothing_of_it(
    forked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with left_behind(folders(tmp_path / "journal")[0]) as is_left:
        assert is_left
    assert forked.exists()
    with scratch_folder():
        assert not forked.exists()
    monkeypatch.setattr(Owner, "is_gone", False)  # as where process numbers mean nothing
    claims = Claims(tmp_path, command="orch sweep mine.yaml")
    assert claims.take(["a"]) == {}
    claims.release()
