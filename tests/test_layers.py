"""Arrows point one way: who may import whom, and what stays small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("orchestrator/**/*.py"), *ROOT.glob("trainers/**/*.py")])
PURE = [f for f in FILES if f.parent.name == "orchestrator" and not f.name.startswith("cli")]
EFFECTS = {"os", "time", "subprocess", "shutil", "tempfile", "socket", "requests", "datetime", "signal"}
MAX_LINES = 400  # a file at the limit is two things


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def importers(package: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in FILES
        for name in imports(path)
        if name == package or name.startswith(f"{package}.")
    }


def test_trainers_have_never_heard_of_a_sweep() -> None:
    for package in ("orchestrator", "ray", "mlflow", "typer", "yaml", "rich"):
        assert not [name for name in importers(package) if name.startswith("trainers/")], package


def test_each_framework_has_one_file() -> None:
    # The cluster, its nodes, rehearsals, the queue, trials, what is heard of them, what their workers do, and
    # drivers that run there: a file each.
    names: tuple[str, ...] = ("cluster", "nodes", "packing", "queue", "tune", "listener", "worker", "jobs")
    assert importers("ray") == {f"orchestrator/adapters/ray_{name}.py" for name in names}
    # Results in one file, notes of drivers in another, and what both need of experiments in a third.
    names = ("store", "drivers", "experiments")
    assert importers("mlflow") == {f"orchestrator/adapters/mlflow_{name}.py" for name in names}
    # S3 in one.
    for package in ("boto3", "botocore"):
        assert importers(package) == {"trainers/folders.py"}
    # One command line in three files: those that train, those that read, and what they share.
    assert importers("typer") == {f"orchestrator/{name}.py" for name in ("cli", "cli_reading", "cli_options")}


def test_the_driver_of_a_sweep_imports_no_ray() -> None:
    modules = ", ".join(f"orchestrator.adapters.{name}" for name in ("sweeping", "forecasting", "submitting"))
    code = f"import sys, {modules}; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"
    # What imports it when it is called is called in the child alone.
    others = [path for path in FILES if not path.name.startswith("ray_")]
    calling = [path.name for path in others if re.search(r"import .*\bray_", path.read_text("utf-8"))]
    assert calling == ["child_process.py"]


def test_the_pure_core_imports_no_adapter_and_no_effect() -> None:
    for path in PURE:
        found = set(imports(path))
        assert not {name for name in found if name.startswith("orchestrator.adapters")}, path.name
        assert not found & EFFECTS, path.name
        assert "open(" not in path.read_text(encoding="utf-8").replace("_open(", ""), path.name


def test_no_file_is_named_for_nothing() -> None:
    names = {path.stem for path in FILES}
    assert not names & {"utils", "helpers", "manager", "common", "misc"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_is_one_thing_and_says_which(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], ["torch", "ray", "mlflow", "pydantic", "matplotlib", "rich", "boto3"]),
        (["validate", "sweeps/smoke.yaml"], ["torch", "ray", "mlflow", "matplotlib", "boto3"]),
        (
            ["plan", "sweeps/smoke.yaml", "--home", "nowhere"],
            ["torch", "ray", "mlflow", "matplotlib", "boto3"],
        ),
    ],
)
def test_a_command_loads_only_what_it_needs(arguments: list[str], unwanted: list[str]) -> None:
    code = (
        "import sys\nfrom orchestrator.cli import app\n"
        f"try: app({arguments!r})\nexcept SystemExit as e: assert not e.code, e.code\n"
        f"print([m for m in {unwanted!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = done.stderr.strip().splitlines()[-1]
    assert loaded in ("[]", "['rich']"), loaded
