"""Every benchmark starts: at its smallest size, in a process of its own, as a person types it."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import table_yaml

FOLDER = Path(__file__).parents[1] / "benchmarks"
_EPOCHS = ["--device", "cpu", "--width", "4", "--batch", "8", "--size", "8", "--steps", "2"]
SMALLEST = {
    "answer_speed.py": [],
    "chance_slope.py": ["--draws", "1"],
    "epoch_speed.py": [*_EPOCHS, "--precision", "fp32", "--packed", "2"],
    "first_command.py": ["--runs", "1", "--spec", "sweep.yaml", "--", "--executor", "serial"],
    "fused_trees.py": ["--seeds", "2", "--rounds", "1", "--steps", "1"],
    "linear_slope.py": ["--seeds", "1", "--steps", "2"],
    "matrix_roots.py": ["--sizes", "16"],
    "modes_speed.py": ["--trajectories", "200", "--processes", "1"],
    "overhead.py": ["--trials", "6", "--beside"],
    "plan_speed.py": ["--repeats", "1"],
    "reading_speed.py": ["--runs", "8", "--repeats", "1"],
    "scaling.py": ["--quick"],
    "shapes_difficulty.py": ["--size", "8", "--seeds", "1", "--epochs", "1"],
    "soak.py": ["--trials", "4", "--epochs", "1", "--images", "64"],
    "start_speed.py": ["--rounds", "1", "--spec", "sweep.yaml"],
    "student_speed.py": ["--rounds", "1", "--epochs", "1", "--train", "256"],
    "step_speed.py": ["--width", "4", "--batch", "8", "--rounds", "1", "--steps", "1"],
}
ELSEWHERE = {"chaos.py", "scaling_driver.py", "scaling_stores.py", "student.py"}
"""Started by tests/e2e/test_chaos.py, by scaling.py and by student_speed.py."""
NEEDS = {"step_speed.py": "lightly", "student_speed.py": "lightly"}
SCRIPTS = {path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}


def test_every_script_has_a_smallest_size() -> None:
    assert SMALLEST.keys() | ELSEWHERE == SCRIPTS


@pytest.mark.parametrize("path", sorted(FOLDER.glob("**/*.py")), ids=lambda path: path.name)
def test_what_a_benchmark_takes_from_the_packages_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("orchestrator", "trainers")):
            at = FOLDER.parent / str(node.module).replace(".", "/")
            file = at.with_suffix(".py") if at.with_suffix(".py").exists() else at / "__init__.py"
            named = re.findall(r"\w+", file.read_text(encoding="utf-8"))  # read, for to import Ray takes long
            parts = {part.stem for part in at.glob("*")}
            assert {one.name for one in node.names} <= {*named, *parts}, (node.module, file)


def test_a_pretended_trial_is_called_as_a_real_one_is() -> None:
    def arguments(file: Path, name: str) -> list[str]:
        body = ast.parse(file.read_text(encoding="utf-8")).body
        (found,) = [one for one in body if isinstance(one, ast.FunctionDef) and one.name == name]
        return [one.arg for one in found.args.args]

    real = arguments(FOLDER.parent / "orchestrator/execution/ray/worker.py", "train_one")
    assert arguments(FOLDER / "scaling_trials.py", "_pretend") == real


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_starts_and_ends_well(name: str, tmp_path: Path) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    (tmp_path / "sweep.yaml").write_text(table_yaml(), encoding="utf-8")
    command = [sys.executable, str(FOLDER / name), *SMALLEST[name]]
    environment = os.environ | {"PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.strip()
