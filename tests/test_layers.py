"""What stays small, and what a command loads. Who may import whom: pyproject.toml, by `lint-imports`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.floors import BEGIN, END, PAGE, floors

AGAIN = "docs/structure.md shows other floors; `python -m tests.floors` writes them anew"
ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("orchestrator/**/*.py"), *ROOT.glob("trainers/**/*.py")])
FLOORS = sorted({path.parent for path in FILES})
MAX_LINES = 300  # a longer file is two things
MAX_FUNCTION = 60  # lines of one, its docstring among them
LARGEST = 1 / 4  # of the lines, in one package of the top floor
MAX_ENTRIES = 12  # on one floor, that a person can see at a glance
FAMILIES = {"trainers/methods"}
"""Floors with a file for each thing that a sweep can name, however many those are."""
FOUND_BY_NAME = FAMILIES | {
    *("orchestrator/answer/figures", "orchestrator/answer/formats", "orchestrator/execution/executors"),
    *("orchestrator/execution/screen/mirrors", "orchestrator/recording/stores"),
    *("orchestrator/recording/bundle/others/sources", "trainers/datasets", "trainers/encoders"),
    *("trainers/loops", "trainers/measures/evaluations", "trainers/networks/formats", "trainers/optimizers"),
}
"""Floors of a family's members, a file each; `base` and what begins with an underscore is what they share."""


@pytest.mark.parametrize("floor", FLOORS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_floor_has_no_more_entries_than_one_sees_at_a_glance(floor: Path) -> None:
    entries = [path for path in floor.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    names = [path.stem for path in entries if not path.stem.startswith("__")]  # which Python asks for
    if (place := floor.relative_to(ROOT).as_posix()) in FOUND_BY_NAME:
        names = [name for name in names if name != "base" and not name.startswith("_")]
    assert place in FAMILIES or len(names) <= MAX_ENTRIES, names


def test_a_name_begins_with_an_underscore_only_where_a_family_shares_the_file() -> None:
    hidden = [path.relative_to(ROOT) for path in FILES if re.match("_[^_]", path.name)]
    assert [path for path in hidden if path.parent.as_posix() not in FOUND_BY_NAME] == []


@pytest.mark.parametrize("house", ["orchestrator", "trainers"])
def test_no_package_has_more_than_a_quarter_of_the_lines(house: str) -> None:
    lines = {floor.name: floor.lines for floor in floors(house)}
    assert max(lines.values()) <= LARGEST * sum(lines.values()), lines


@pytest.mark.parametrize("house", ["orchestrator", "trainers"])
def test_the_page_on_the_structure_shows_the_floors_as_they_are(house: str) -> None:
    page = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (.*) \|$", page, re.MULTILINE)
    shown = {name: (int(files), int(lines), told) for name, files, lines, told in rows}
    for floor in floors(house):
        assert floor.name in shown, AGAIN
        files, lines, knows = shown[floor.name]
        assert knows == (", ".join(floor.knows) or "none"), f"{floor.name}: {AGAIN}"
        assert abs(files - floor.files) <= max(2, floor.files / 5), f"{floor.name}: {AGAIN}"
        assert abs(lines - floor.lines) <= max(100, floor.lines / 5), f"{floor.name}: {AGAIN}"


ROOMS = {"ray": "execution/ray", "mlflow": "recording/mlflow", "typer": "commands"}


@pytest.mark.parametrize("framework", ROOMS)
def test_the_contract_of_a_framework_speaks_of_every_file_outside_its_room(framework: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one.get("forbidden_modules") == [framework]]
    for path in ROOT.glob("orchestrator/**/*.py"):
        name = path.relative_to(ROOT).with_suffix("").as_posix()
        if not name.startswith(f"orchestrator/{ROOMS[framework]}") and path.name != "__init__.py":
            module = name.replace("/", ".") + "."
            assert any(module.startswith(f"{source}.") for source in contract["source_modules"]), module


def test_the_driver_of_a_sweep_imports_no_ray() -> None:
    code = (
        "import sys; from orchestrator.commands.look import forecast; from orchestrator.commands.train "
        "import submit; from orchestrator.execution import drive;"
        "print({'ray', 'orchestrator.execution.ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "set()\n"


def test_no_file_is_named_for_nothing() -> None:
    names = {path.stem for path in FILES}
    assert not names & {"utils", "helpers", "manager", "common", "misc"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_is_one_thing_and_says_which(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= MAX_LINES
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    lines = {one.name: (one.end_lineno or 0) - one.lineno + 1 for one in functions}
    assert {name: number for name, number in lines.items() if number > MAX_FUNCTION} == {}


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
        "import sys\nfrom orchestrator.commands.app import app\n"
        f"try: app({arguments!r})\nexcept SystemExit as e: assert not e.code, e.code\n"
        f"print([m for m in {unwanted!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = done.stderr.strip().splitlines()[-1]
    assert loaded in ("[]", "['rich']"), loaded
