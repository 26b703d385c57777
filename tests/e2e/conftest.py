"""A folder with a sweep file, where commands run as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import table_yaml

FIGURES = "figures:\n  - {kind: eigenspace}\n"


class Place:
    """A folder with a sweep file, where commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(table_yaml() + FIGURES)

    def write(self, text: str, name: str = "sweep.yaml") -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def orch(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "orchestrator.cli", *words]
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=os.environ | environment,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
