"""Who begins with code of their own: `orch init` and `orch check-plugin` as they are typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from orchestrator import Sweep
from orchestrator.language.load import load_sweep
from tests.place import Place
from tests.plugged import METHOD, OPTIMIZER, written

pytestmark = pytest.mark.filterwarnings("default")
PAGE = Path(__file__).parents[2] / "docs" / "own_code.md"


def test_what_is_written_is_what_its_page_shows_and_can_be_planned(place: Place) -> None:
    said = place.orch("init", "mine").stdout
    assert said.splitlines()[-1] == "next:  orch sweep mine/mine.yaml"
    shown = dict(
        re.findall(r"^`(\w+\.\w+)`:\n\n```\w+\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    )
    for name in ("mybyol.py", "mine.yaml"):
        assert (place.folder / "mine" / name).read_text() == shown[name]
    assert "mybyol" in (place.folder / "mine" / "schema.json").read_text()
    assert len(Sweep.load("mine/mine.yaml").trials) == 6


def test_the_files_have_the_folders_name(place: Place) -> None:
    place.orch("init", "deep/1e3")
    assert load_sweep(Path("deep/1e3/1e3.yaml")).name == "1e3"
    assert "orch sweep 1e3.yaml" in Path("deep/1e3/README.md").read_text()
    assert json.loads(Path("deep/1e3/schema.json").read_text())


def test_nothing_that_is_there_is_overwritten(place: Place) -> None:
    (place.folder / "mine").mkdir()
    for name in ("README.md", "mine.yaml"):
        (place.folder / "mine" / name).write_text("precious")
    told = place.orch("init", "mine", code=2).stderr
    assert told == (
        "orch: mine/mine.yaml, mine/README.md: there already, and nothing is overwritten; "
        "choose another folder: orch init FOLDER\n"
    )
    assert sorted(path.name for path in (place.folder / "mine").iterdir()) == ["README.md", "mine.yaml"]


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("my sweep", "orch: folder 'my sweep' would be the sweep's name, which has letters, digits, "),
        ("/", "orch: folder '' would be the sweep's name"),
        ("sweep.yaml", "orch: sweep.yaml: File exists; choose another folder\n"),
    ],
)
def test_a_folder_that_cannot_be_one_is_told_in_a_line(place: Place, folder: str, says: str) -> None:
    told = place.orch("init", folder, code=2).stderr
    assert told.startswith(says) and told.count("\n") == 1


@pytest.mark.slow
def test_a_plug_in_that_keeps_its_promises_is_told_line_by_line(place: Place) -> None:
    written(place.folder, plain=OPTIMIZER)
    lines = place.orch("check-plugin", "plain.py").stdout.splitlines()
    assert lines[0] == "plain.py: optimizer 'plain'" and lines[-1] == "plain.py: keeps 5 of 5 promises"
    assert all(line.startswith("  ok   ") for line in lines[1:-1])


@pytest.mark.slow
def test_a_promise_that_is_broken_ends_in_exit_code_2_and_an_error_is_told_once(place: Place) -> None:
    written(place.folder, mine=METHOD.replace("return Siamese", "return 1 / 0, Siamese"))
    lines = place.orch("check-plugin", "mine.py", code=2).stdout.splitlines()
    assert lines[2].endswith(
        "its loss is one finite number: ZeroDivisionError: division by zero (mine.py:22)"
    )
    assert lines[3].endswith(": as above") and lines[-1] == "mine.py: keeps 1 of 13 promises"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def check(figure): ...\ndef draw(figure, cells, *, title, stamp): ...\n", "figure kind 'own'"),
        ("IN_STORE = False\ndef write(table): ...\n", "table format 'own'"),
    ],
)
def test_a_kind_of_figure_and_a_table_format_are_found_and_have_no_checks(
    place: Place, text: str, what: str
) -> None:
    written(place.folder, own=text)
    assert (
        place.orch("check-plugin", "own.py").stdout == f"own.py: {what} is found; there are no checks of it\n"
    )


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        ("def\n", (), "own.py:1: not valid Python: "),
        ("x = 1\n", (), "own.py:1: no class `Config` of its own; expected one that derives from "),
        (
            "import nowhere\n",
            (),
            "own.py:1: cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
        ),
        (METHOD.replace("= 1.0", ""), (), "own.py: hat: is missing; give it by --set hat=VALUE"),
        (METHOD, ("--set", "hatt=2"), "--set hatt=2: hatt: no such field; did you mean 'hat'?"),
    ],
)
def test_what_is_no_plug_in_is_the_line_that_validate_gives(
    place: Place, text: str, words: tuple[str, ...], says: str
) -> None:
    written(place.folder, own=text)
    told = place.orch("check-plugin", "own.py", *words, code=2)
    assert told.stderr.startswith(says) and told.stderr.count("\n") == 1 and told.stdout == ""
