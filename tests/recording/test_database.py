"""How the store's file is made: by one process at a time, and whoever is forked off it holds nobody up."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.recording.mlflow.database import address_of, make_database
from orchestrator.recording.mlflow.store import MlflowStore
from tests.builders import INFO, outcome, trials

ROOT = Path(__file__).parents[2]
MAKER = """
import os, sys, time
from pathlib import Path
from orchestrator.recording.mlflow.database import _alone_in
with _alone_in(Path(sys.argv[1])):
    fork = os.fork()
    if fork == 0:
        os.close(1)
        time.sleep(60)
        os._exit(0)
print(fork, flush=True)
sys.stdin.read()
"""


def test_a_process_that_was_forked_while_a_store_was_made_keeps_nobody_from_making_one(
    tmp_path: Path,
) -> None:
    words = [sys.executable, "-c", MAKER, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as maker:
        assert maker.stdout is not None
        fork = int(maker.stdout.readline())
        try:
            folder = os.open(tmp_path, os.O_RDONLY)
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(folder)
        finally:
            os.kill(fork, signal.SIGKILL)
            maker.communicate("")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves
def test_a_store_that_was_removed_is_made_again_in_the_same_process(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "mlflow.db"
    (trial,) = trials(1)
    for _ in range(2):
        file.parent.mkdir()
        make_database(file, artifacts=file.parent)
        store = MlflowStore(address_of(file), artifacts=file.parent)
        assert not store.records([trial.id])
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(), INFO)
        assert store.records([trial.id])[trial.id].is_done
        shutil.rmtree(file.parent)


def test_a_store_that_cannot_be_made_is_told_at_once() -> None:
    folder = Path("/proc/self")  # which says that root may write to it
    with pytest.raises(UsageError, match=r"^/proc/self/mlflow\.db: cannot be made \("):
        make_database(folder / "mlflow.db", artifacts=folder)
