"""`orch compare` as a user meets it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from orchestrator import Sweep
from orchestrator.records import TrialRecord
from tests.answer.test_comparison import records
from tests.place import Place

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
        ([], "orch: compare needs one of --against CELL and --effects\n"),
        ([*BASELINE, "--effects"], "orch: compare needs one of --against CELL and --effects\n"),
        (["--effects", "--margin", "0.1"], "orch: --margin asks about cells; give it with --against CELL\n"),
        (["--against", "nope"], "orch: no cell 'nope'; known: EMA · symmetric, EMA · regular, "),
        ([*BASELINE, "-f", "xml"], "orch: no format 'xml' of a comparison; known: csv, json, text\n"),
        ([*BASELINE, "--margin", "2"], "a share in [0, 1], so 2 points are 0.02\n"),
    ],
)
def test_a_mistake_is_one_line(filled: Place, words: list[str], said: str) -> None:
    done = filled.orch("compare", "sweep.yaml", *words, code=2)
    assert said in done.stderr and done.stderr.count("\n") == 1 and not done.stdout
