"""`orch compare` as a user meets it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from orchestrator import Sweep
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.workspace import Workspace
from orchestrator.records import Curves, TrialRecord
from tests.answer.test_comparison import records
from tests.builders import expansion, table_yaml
from tests.place import Place

TWO = ["EMA · symmetric", "ema=No EMA,predictor=symmetric"]
BASELINE = ["--against", "ema=EMA,predictor=regular"]


@pytest.fixture
def filled(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place whose store has a number for every trial of the tiny sweep."""

    def of(sweep: Sweep) -> dict[str, TrialRecord]:
        return records(sweep.expansion)

    monkeypatch.setattr(Sweep, "records", of)
    return place


def test_each_cell_has_a_line_and_the_last_line_says_what_the_seeds_cannot_decide(filled: Place) -> None:
    lines = filled.orch("compare", "sweep.yaml", "--seeds", "3", *BASELINE).stdout.splitlines()
    assert lines[0] == "tiny: probe/top1 in %, against EMA · regular"
    assert lines[2].split()[:7] == ["n", "mean", "±", "sd", "difference", "p", "p"]
    (collapsed,) = [line for line in lines if line.startswith("No EMA · symmetric")]
    assert "-64.1 [-65.3, -63.0]" in collapsed and "0.250" in collapsed and "undecided" in collapsed
    assert "0/3 [0, 71 %]" in collapsed
    assert lines[-1].startswith("3 seeds cannot decide ")


def test_before_any_trial_there_is_a_line_for_each_cell_and_nothing_to_compare(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sweep, "records", lambda sweep: {})
    monkeypatch.setattr("orchestrator.commands.reading._hint_at_others", lambda request: None)
    text = place.orch("compare", "sweep.yaml", *BASELINE).stdout
    assert text.splitlines()[4].split() == ["EMA", "·", "symmetric", "0", *"-----", "undecided"] + 2 * [
        "0/0",
        "[0,",
        "100",
        "%]",
    ]
    assert text.splitlines()[-1].startswith("No seed to compare yet: EMA · symmetric, No EMA · symmetric")
    assert "No seed to compare yet" in place.orch("compare", "sweep.yaml", "--effects").stdout


def test_json_is_one_document_and_csv_has_its_rows(filled: Place) -> None:
    words = ["compare", "sweep.yaml", "--seeds", "9", *BASELINE, "--margin", "0.02"]
    told = json.loads(filled.orch(*words, "-f", "json").stdout)
    assert (told["against"], told["margin"], told["unit"]) == ("EMA · regular", 0.02, "share")
    assert told["decision"].startswith("Different at 5 %")
    rows = list(csv.DictReader(io.StringIO(filled.orch(*words, "-f", "csv").stdout)))
    assert [row["cell"] for row in rows] == [cell["cell"] for cell in told["cells"]]
    assert list(rows[0]) == list(told["cells"][0])
    assert [row["p"] for row in rows] == ["" if c["p"] is None else str(c["p"]) for c in told["cells"]]


def test_python_has_the_same_numbers(filled: Place) -> None:
    words = ["--seeds", "9", *BASELINE, "--metric", "probe/top1", "-f", "json"]
    told = json.loads(filled.orch("compare", "sweep.yaml", *words).stdout)
    frame = Sweep.load(filled.folder / "sweep.yaml", seeds=9, home=filled.folder).compare(BASELINE[1])
    assert list(frame["difference"].dropna()) == [c["difference"] for c in told["cells"] if c["pairs"]]
    assert frame.attrs["decision"] == told["decision"]


def test_effects_are_what_each_axis_does(filled: Place) -> None:
    words = ["compare", "sweep.yaml", "--seeds", "9", "--effects"]
    told = json.loads(filled.orch(*words, "-f", "json").stdout)
    names = ["ema: No EMA - EMA", "predictor: regular - symmetric", "ema: No EMA × predictor: regular"]
    assert [one["effect"] for one in told["effects"]] == names
    assert "Different at 5 %, all comparisons together: " in filled.orch(*words).stdout.splitlines()[-1]
    frame = Sweep.load(filled.folder / "sweep.yaml", seeds=9, home=filled.folder).effects()
    assert list(frame["p_holm"]) == [one["p_holm"] for one in told["effects"]]
    assert filled.orch(*words, "-f", "csv").stdout.count("\n") == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "orch: compare needs one of CELL CELL, --against CELL and --effects\n"),
        ([*BASELINE, "--effects"], "orch: compare needs one of CELL CELL, --against CELL and --effects\n"),
        ([*TWO, "--effects"], "orch: compare needs one of CELL CELL, --against CELL and --effects\n"),
        ([*TWO, "--margin", "0.1"], "orch: --margin asks about cells; give it with --against CELL\n"),
        ([TWO[0]], "orch: compare: expected two cells behind the file, got 1; put a label in quotes\n"),
        ([*TWO, "EMA · regular"], "expected two cells behind the file, got 3; put a label in quotes\n"),
        ([TWO[0], TWO[0]], "are one cell, 'EMA · symmetric'; name two\n"),
        ([*TWO, "-f", "csv"], "orch: no format 'csv' of two cells; known: json, text\n"),
        (
            [*TWO, "--metric", "probe/top"],
            "orch: metric 'probe/top' was never reported; did you mean 'probe/top1'?",
        ),
        (["--effects", "--margin", "0.1"], "orch: --margin asks about cells; give it with --against CELL\n"),
        (["--against", "nope"], "orch: no cell 'nope'; known: EMA · symmetric, EMA · regular, "),
        ([*BASELINE, "-f", "xml"], "orch: no format 'xml' of a comparison; known: csv, json, text\n"),
        ([*BASELINE, "--margin", "2"], "a share in [0, 1], so 2 points are 0.02\n"),
    ],
)
def test_a_mistake_is_one_line(filled: Place, words: list[str], said: str) -> None:
    done = filled.orch("compare", "sweep.yaml", *words, code=2)
    assert said in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


def told(curves: bool = True) -> Curves:
    spread = {"train/loss": ((0, 4.0), (1, 2.0)), "F/rankme": ((0, 3.0), (1, 9.0))}
    return Curves(metrics=spread if curves else {})


@pytest.fixture
def drawn(filled: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The same with curves, but for the trials of one cell."""
    ids = {one.id for one in expansion(seeds=range(3)).trials if "regular" in one.label}
    monkeypatch.setattr(MemoryStore, "curves", lambda self, asked: {i: told(i not in ids) for i in asked})
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: MemoryStore())
    return filled


def test_two_cells_stand_side_by_side_with_settings_numbers_and_curves(drawn: Place) -> None:
    lines = drawn.orch("compare", "sweep.yaml", *TWO, "--seeds", "3").stdout.splitlines()
    assert lines[:3] == ["tiny: two cells side by side", "  A: EMA · symmetric", "  B: No EMA · symmetric"]
    (setting,) = [line.split() for line in lines if "method.momentum" in line]
    assert setting == ["method.momentum", "0.9", "0.0"] and any("are alike" in line for line in lines)
    (top1,) = [line for line in lines if line.startswith("  probe/top1 in %")]
    assert "85.1 ± 0.8 (3)" in top1 and "-65.0 [" in top1
    at = next(i for i, line in enumerate(lines) if line.startswith("  train/loss"))
    assert [line.split() for line in lines[at : at + 2]] == [
        ["train/loss", "A", "4", "2", "█▁"],
        ["B", "4", "2", "█▁"],
    ]


def test_two_cells_stand_in_the_order_in_which_they_were_named(drawn: Place) -> None:
    said = drawn.orch("compare", "sweep.yaml", *reversed(TWO), "--seeds", "3").stdout.splitlines()
    assert said[1:3] == ["  A: No EMA · symmetric", "  B: EMA · symmetric"]
    (top1,) = [line.split() for line in said if line.startswith("  probe/top1 in %")]
    assert (top1[3], top1[7], top1[11]) == ("20.1", "85.1", "+65.0")
    document = drawn.orch("compare", "sweep.yaml", *reversed(TWO), "--seeds", "3", "-f", "json").stdout
    (metric,) = json.loads(document)["metrics"]
    assert metric["first"]["mean"] < metric["second"]["mean"] and metric["difference"]["mean"] > 0


def test_two_cells_whose_trials_end_early_are_not_sent_to_a_test_that_refuses_them(drawn: Place) -> None:
    text = table_yaml().partition("tables:")[0]
    drawn.write(
        text + "schedule: {name: asha, metric: train/loss, mode: min, grace_epochs: 1}\n", "early.yaml"
    )
    said = drawn.orch("compare", "early.yaml", *TWO).stdout
    assert "has a `schedule`, which ends trials early" in said and "--against" not in said
    assert "has a `schedule`" in drawn.orch("compare", "early.yaml", *BASELINE, code=2).stderr
    assert "--against CELL" in drawn.orch("compare", "sweep.yaml", *TWO).stdout


def test_two_cells_are_one_document_for_programs(drawn: Place) -> None:
    words = ["compare", "sweep.yaml", TWO[0], "EMA · regular", "--seeds", "3", "-f", "json"]
    found = json.loads(drawn.orch(*words).stdout)
    assert found["different"] == [{"setting": "method.predictor.symmetric", "first": True, "second": False}]
    assert [one["config"]["method"]["name"] for one in found["cells"]] == ["byol", "byol"]
    (metric,) = found["metrics"]
    assert metric["difference"]["n"] == 3 and len(metric["first"]["values"]) == 3
    loss = next(one for one in found["curves"] if one["metric"] == "train/loss")
    assert loss["first"]["median"] == [4.0, 2.0] and loss["second"] is None


def test_two_cells_without_results_say_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: MemoryStore())
    said = place.orch("compare", "sweep.yaml", *TWO).stdout
    assert "after training: no number yet" in said and "by epoch: no curve yet" in said
    assert "method.momentum" in said


def test_one_metric_may_be_asked_for(drawn: Place) -> None:
    said = drawn.orch("compare", "sweep.yaml", *TWO, "--seeds", "3", "--metric", "F/rankme").stdout
    assert "F/rankme" in said and "train/loss" not in said and "after training: no number yet" in said


def test_in_a_narrow_terminal_columns_stand_below_each_other(
    filled: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.commands.screen.comparison.room", lambda: 80)
    lines = filled.orch("compare", "sweep.yaml", "--seeds", "3", *BASELINE).stdout.splitlines()
    rows = [line for line in lines if line.startswith("No EMA · symmetric")]
    assert len(rows) == 3 and "undecided" in rows[1] and all(len(line) <= 80 for line in lines)
