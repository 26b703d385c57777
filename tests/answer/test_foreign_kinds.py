"""Laws of kinds of figure and formats of tables that are not of this package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Sweep
from orchestrator.answer import draw, formats, publish
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.errors import SpecError, UsageError
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.load import load_sweep
from orchestrator.recording.bundle.sources import sources
from tests.answer.test_formats import PUBLISHED
from tests.answer.test_tables import made_table
from tests.place import Place
from tests.plugged import COUNTING, TRAINER, written
from trainers.config import examined, foreign, fresh, plugins
from trainers.config.foreign import PluginError

FIGURE = '''"""Nothing but a frame."""

from orchestrator.answer.figures.base import refuse_over


def check(figure):
    refuse_over(figure)


def draw(figure, cells, *, title, stamp):
    from matplotlib.figure import Figure

    made = Figure()
    made.suptitle(title + " ".join(cell.label for cell in cells))
    return made
'''
FORMAT = '''"""In capitals."""

ALIASES = ("loud",)
IN_STORE = True


def write(table):
    return table.spec.name.upper() + "\\n"
'''


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from, with a package that has a kind of figure and a format."""
    site = tmp_path / "site"
    written(site / "toy", __init__="", frame=FIGURE, shout=FORMAT)
    install(site, "toy", {"orch.figures": {"frame": "toy.frame"}, "orch.formats": {"shout": "toy.shout"}})
    monkeypatch.syspath_prepend(str(site))
    for name in [one for one in sys.modules if one.partition(".")[0] in ("toy", "other")]:
        monkeypatch.delitem(sys.modules, name)
    for known in (fresh._at_import, examined._made):  # of a test before
        for name in [one for one in known if one.partition(".")[0] in ("toy", "other")]:
            monkeypatch.delitem(known, name)
    foreign.installed.cache_clear()
    return site


def install(site: Path, name: str, groups: dict[str, dict[str, str]]) -> None:
    """What pip leaves of a package with these entry points."""
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = (
        f"[{group}]\n" + "".join(f"{left} = {right}\n" for left, right in entries.items())
        for group, entries in groups.items()
    )
    (folder / "entry_points.txt").write_text("\n".join(lines))
    foreign.installed.cache_clear()


def tree(**changes: Any) -> dict[str, Any]:
    return COUNTING | {"figures": [{"kind": "frame"}], **changes}


def test_an_installed_package_has_its_kind_of_figure_and_its_format(site: Path) -> None:
    assert "frame" in plugins.names("figures") and {"shout", "md"} <= {*formats.names()}
    table = made_table(PUBLISHED)
    assert formats.written("shout", [table]) == table.written("loud") == f"{table.spec.name.upper()}\n"
    assert f"{table.spec.name}.shout" in publish.table_files([table], [])
    kind = FigureSpec.model_json_schema()["properties"]["kind"]
    assert "frame" in kind["enum"]


@pytest.mark.slow
def test_a_sweep_draws_a_kind_of_figure_from_a_file_that_it_names(ready: Place) -> None:
    written(Path.cwd(), counting=TRAINER, frame=FIGURE, shout=FORMAT)
    own = ["./counting.py", "./frame.py", "./shout.py"]
    sweep = Sweep(tree(plugins=own), home=ready.folder / "runs")
    sweep.run("serial", say=lambda line: None)
    title = sweep.figure("frame").get_suptitle()
    assert "step" in title or "1" in title
    assert sweep.table("t").written("shout") == "T\n"
    with pytest.raises(UsageError, match=r"figure 'frame': .*over"):
        draw.check(FigureSpec(kind="frame", over="count"))


def test_a_kind_of_figure_that_knows_no_width_is_drawn_as_wide_as_is_asked(site: Path) -> None:
    spec, cells = FigureSpec(kind="frame", width=3.2), [CellCurves("a cell", (), (), "")]
    drawn = draw.draw(spec, cells, title="", stamp="")
    assert [round(float(inches), 6) for inches in drawn.get_size_inches()] == [3.2, 2.4]


def test_kinds_of_figure_of_ones_own_travel_with_the_sweep_file() -> None:
    written(Path.cwd(), counting=TRAINER, frame=FIGURE)
    Sweep(tree(plugins=["./counting.py", "./frame.py"])).save("s.yaml")
    assert load_sweep(Path("s.yaml")).figures[0].kind == "frame"
    assert {Path(name).name for name in sources(Path("s.yaml"), trust=False).contents} == {
        "s.yaml",
        "counting.py",
        "frame.py",
    }


def test_a_figure_is_no_part_of_a_trials_identity() -> None:
    written(Path.cwd(), counting=TRAINER, frame=FIGURE)
    with_it, without = Sweep(tree(plugins=["./counting.py", "./frame.py"])), Sweep(COUNTING)
    assert [trial.id for trial in with_it.trials] == [trial.id for trial in without.trials]


def test_of_two_packages_with_one_name_an_error_names_both_and_orchs_own_stays(site: Path) -> None:
    written(site / "other", __init__="", md=FORMAT, frame=FIGURE)
    install(site, "other", {"orch.figures": {"frame": "other.frame"}, "orch.formats": {"md": "other.md"}})
    assert formats.load("md").__name__ == "orchestrator.answer.formats.md"
    with pytest.raises(
        UsageError, match=r"(toy|other).frame:1: figure kind 'frame' is also in (toy|other).frame"
    ):
        draw.load("frame")
    assert "t.md" in {f"t.{name}" for name in formats.kept()}  # of the package's own


def test_a_broken_one_is_one_line_where_it_is_asked_for_and_breaks_nothing_else(site: Path) -> None:
    written(site / "toy", frame="1 / 0\n", shout="def write(table):\n    pass\n")
    with pytest.raises(UsageError, match=r"toy/frame.py:1: cannot be imported: ZeroDivisionError") as caught:
        draw.load("frame")
    assert "\n" not in str(caught.value)
    with pytest.raises(
        UsageError, match=r"toy\.shout:1: no `IN_STORE = True` or `False`, which every table form"
    ):
        formats.load("shout")
    assert "md" in formats.kept() and "shout" not in formats.kept()
    written(Path.cwd(), counting=TRAINER)
    with pytest.raises(SpecError, match=r"figures.0.kind: .*toy/frame.py:1: cannot be imported"):
        Sweep(tree())


@pytest.mark.slow
def test_an_error_while_drawing_or_writing_is_one_line_with_its_place(site: Path, ready: Place) -> None:
    written(site / "toy", frame=FIGURE + "\ndraw = lambda *_, **__: 1 / 0\n")
    written(site / "toy", shout=FORMAT.replace("table.spec", "table.spek"))
    written(Path.cwd(), counting=TRAINER)
    sweep = Sweep(tree(), home=ready.folder / "runs")
    said: list[str] = []
    sweep.run("serial", say=said.append)
    assert len(sweep.records()) == 2
    told = [line for line in said if "failed: " in line]
    assert any("toy/frame.py:17: failed: ZeroDivisionError: division by zero" in line for line in told)
    assert any("toy/shout.py:8: failed: AttributeError: " in line for line in told)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", ":1: no class `Config` of its own; expected one that derives from MethodConfig"),
        (FIGURE.replace("def check", "def checks"), ":1: no function `check`, which every figure kind has"),
        (FORMAT.replace("IN_STORE = True", ""), ":1: no `IN_STORE = True` or `False`, which every table"),
    ],
)
def test_what_a_file_lacks_is_told(text: str, words: str) -> None:
    written(Path.cwd(), wrong=text)
    with pytest.raises(PluginError) as caught:
        foreign.join("./wrong.py")
    assert str(caught.value).startswith(f"wrong.py{words}")
