"""Laws of stdin, stdout and stderr: what they do not take ends nothing, and closed ones harm no file."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.process.streams import ignoring_closed_pipes, room
from tests.place import typed

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no disk that is always full")


@needs_full
def test_a_word_that_a_full_disk_does_not_take_is_no_error_and_a_result_is_one() -> None:
    with FULL.open("wb", buffering=0) as full:
        with ignoring_closed_pipes():
            full.write(b"running\n")
        with pytest.raises(OSError, match="No space left"), ignoring_closed_pipes(ignoring_full_disks=False):
            full.write(b"a table\n")


@needs_full
@pytest.mark.parametrize(
    ("stdout", "words", "code", "says"),
    [
        (True, ("--help",), 4, "orch: standard output: No space left on device; make room, and ask for the "),
        (True, ("schema",), 4, "orch: standard output: No space left on device; make room, and ask for the "),
        (False, ("validate", "nowhere.yaml"), 2, ""),
        (False, ("nonsense",), 2, ""),
    ],
)
def test_a_full_disk_below_a_stream_is_at_most_a_line_and_an_exit_code(
    stdout: bool, words: tuple[str, ...], code: int, says: str
) -> None:
    with FULL.open("w") as full:
        streams = {"stdout": full, "stderr": subprocess.PIPE} if stdout else {"stderr": full}
        done = subprocess.run(typed(*words), text=True, check=False, cwd=ROOT, **streams)
    assert done.returncode == code
    assert not stdout or (done.stderr.startswith(says) and done.stderr.count("\n") == 1)


CLOSED = """
import os, sys
from pathlib import Path
for number in map(int, sys.argv[1]):
    os.close(number)
from orchestrator.execution.child.messages import Said, Submit
from orchestrator.execution.child.process import Child
job = Submit(name="x", files={}, command=(), address="x")
line = b'{"event": "said", "text": "there"}\\n'
code = f"import os, sys; os.read(int(sys.argv[1]), 9); os.write(int(sys.argv[2]), {line!r})"
child = Child(job, log=Path(os.devnull), command=(sys.executable, "-c", code))
said = child.listen(30)
child.end()
os._exit(0 if said == Said("there") else 1)
"""


@pytest.mark.parametrize("closed", ["12", "02", "012"])
def test_a_child_is_heard_though_its_drivers_streams_were_closed(closed: str) -> None:
    assert subprocess.run([sys.executable, "-c", CLOSED, closed], check=False, cwd=ROOT).returncode == 0


def test_streams_that_were_closed_are_open_to_nowhere() -> None:
    code = (
        "import os, sys; from orchestrator.process.streams import open_closed_streams; open_closed_streams();"
        "print('words', file=sys.stderr); print('more', flush=True);"
        "kept = [os.path.samefile(f'/dev/fd/{number}', os.devnull) for number in range(3)];"
        "os._exit(0 if kept == [True] * 3 else 1)"
    )
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(command, check=False, cwd=ROOT).returncode == 0


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_lines_of_some_length_and_nothing_else_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    for stream, length in ((_Terminal(), 50), (io.StringIO(), None), (None, None)):
        monkeypatch.setattr(sys, "stdout", stream)
        assert room() == length
