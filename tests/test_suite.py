"""Laws of the test run itself: a test that dies or hangs ends it, by name, and no test ends another."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.commands.app import app
from orchestrator.process.command import is_command

SETTINGS = Path(__file__).parents[1] / "pyproject.toml"
DIES = "import os, signal\ndef test_dies(): os.kill(os.getpid(), signal.SIGKILL)\n"
HANGS = "import time\ndef test_hangs(): time.sleep(600)\n"
PASSES = "".join(f"def test_{number}(): pass\n" for number in range(3))


def run(folder: Path, *words: str, **files: str) -> str:
    """What a run of these test files under this project's settings says; it does not pass."""
    for name, content in files.items():
        (folder / f"test_{name}.py").write_text(content)
    started = [sys.executable, "-m", "pytest", "-c", str(SETTINGS), "--rootdir", str(folder)]
    done = subprocess.run(
        [*started, "-p", "no:cacheprovider", *words, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_test_that_kills_its_process_ends_the_run_and_is_named(tmp_path: Path) -> None:
    others = {f"other_{number}": PASSES for number in range(6)}
    said = run(tmp_path, **others, dies=DIES + PASSES)
    assert "crashed while running 'test_dies.py::test_dies'" in said


@pytest.mark.slow
def test_a_test_that_hangs_ends_the_run_with_the_line_where_it_waits(tmp_path: Path) -> None:
    said = run(tmp_path, "-o", "faulthandler_timeout=1", hangs=HANGS)
    assert "crashed while running 'test_hangs.py::test_hangs'" in said
    assert f'{tmp_path / "test_hangs.py"}", line 2 in test_hangs' in said


FOUND: list[object] = []
"""The handlers that the first of the two found."""


@pytest.mark.parametrize("test", ["one", "the next one"])
def test_a_command_that_ends_in_a_test_leaves_no_handler_that_ends_the_next_one(test: str) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    FOUND.extend(() if FOUND else before)
    assert before == FOUND and not is_command()
    CliRunner().invoke(app, ["schema", "-f", "yaml"])
    after = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert before[0] is not after[0] and before[1] is not after[1] and is_command()
