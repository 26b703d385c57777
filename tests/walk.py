"""How far a command walks through the orchestrator: files, moves between them, and what is done how often.

    python -m tests.walk      # plan, sweep, plan, table of sweeps/smoke.yaml, each in a process of its own

A move is a call from one of its files into another, whatever libraries lie between, in the thread that types
the command; what is done when a file is imported is none.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import orchestrator

ROOT = f"{Path(orchestrator.__file__).parent}{os.sep}"
COUNTED = {
    "files parsed": ("language/yaml_text.py", "parse"),
    "expanded": ("planning/expand.py", "expand"),
    "planned": ("planning/plan.py", "make_plan"),
    "tables made": ("answer/tables/__init__.py", "tabulate"),
    "store asked": ("recording/mlflow/reader.py", "records"),
    "journals replayed": ("recording/journal/files.py", "waiting"),
}
SPEC = "sweeps/smoke.yaml"
COMMANDS = (["plan"], ["sweep", "--executor", "serial", "--quiet"], ["plan"], ["table"])


class Walk:
    """Inside, every call in the orchestrator is noted."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.moves = 0
        self.calls: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Walk:
        sys.setprofile(self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    @property
    def counted(self) -> dict[str, int]:
        """How often each of `COUNTED` was called."""
        return {what: self.calls[place] for what, place in COUNTED.items()}

    def _heard(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(ROOT) or code.co_name == "<module>":
            return
        here = code.co_filename.removeprefix(ROOT)
        self.files.add(here)
        self.calls[here, code.co_name] += 1
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(ROOT):
            caller = caller.f_back
        self.moves += caller is not None and caller.f_code.co_filename != code.co_filename


def inside(file: Path, words: list[str]) -> None:
    """Be `orch` with these words, and write down how far that walked."""
    sys.argv = ["orch", *words]
    walk = Walk()
    try:
        with walk:
            runpy.run_module("orchestrator", run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
    file.write_text(json.dumps({"files": len(walk.files), "moves": walk.moves} | walk.counted))


def main() -> None:
    """Walk the commands one after another in a new home, and print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        for command, *flags in COMMANDS:
            words = [command, SPEC, "--home", f"{folder}/runs", *flags]
            found = Path(folder) / "walk.json"
            typed = [sys.executable, "-m", "tests.walk", str(found), *words]
            subprocess.run(typed, check=True, stdout=subprocess.DEVNULL)
            told = json.loads(found.read_text())
            print(f"orch {command:6}", ", ".join(f"{name} {number}" for name, number in told.items()))


if __name__ == "__main__":
    inside(Path(sys.argv[1]), sys.argv[2:]) if sys.argv[1:] else main()
