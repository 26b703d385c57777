"""A sweep whose processes are killed at random leaves what an undisturbed one leaves. Minutes: slow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = "10"


@pytest.mark.slow
@pytest.mark.parametrize("where", [[], ["--local"]], ids=["server", "file"])
def test_random_kills_cost_a_sweep_nothing_that_it_was_told(tmp_path: Path, where: list[str]) -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "chaos.py"), "--kills", KILLS, *where]
    ended = subprocess.run(
        [*script, "--home", str(tmp_path / "home")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stdout
