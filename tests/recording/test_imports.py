"""Results of others stand beside ours: found again, marked, and never taken for a trial that was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.text import Text

from orchestrator.answer import publish
from orchestrator.answer.comparison.beside import curves_of_others, with_others
from orchestrator.answer.formats import text_of
from orchestrator.answer.tables import Table
from orchestrator.errors import SpecError, UsageError
from orchestrator.execution.run import plan_sweep
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.planning.expand import Expansion
from orchestrator.recording.bundle.imported import imported_into, keep, name_of
from orchestrator.recording.bundle.merging import checked, merge
from orchestrator.recording.bundle.others.columns import Columns, columns_from
from orchestrator.recording.bundle.others.filling import Filled, fill
from orchestrator.recording.bundle.others.sources import names, read
from orchestrator.recording.bundle.reading import Bundle
from orchestrator.recording.memory import MemoryStore
from tests.builders import INFO, TINY, expansion, outcome, yaml
from tests.recording.test_bundle import exported, rewritten

HEAD = "ema,predictor,seed,probe/top1\n"
FOUR = HEAD + "EMA,symmetric,0,0.8\nEMA,symmetric,1,0.6\nNo EMA,regular,7,0.5\nNo EMA,symmetric,0,0.2\n"
DAY = "2026-01-31"


@pytest.fixture
def whole() -> Expansion:
    return expansion()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs.csv"


def filled(
    whole: Expansion,
    file: Path,
    text: str | bytes,
    *words: str,
    percent: bool = False,
    source: str = "theirs",
) -> Filled:
    """What a CSV file of that text comes to."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    runs = read("csv", str(file))
    said = columns_from(words, whole.spec)
    return fill(whole, runs, said, source=source, date=DAY, percent=percent)


def wrong(whole: Expansion, file: Path, text: str | bytes, *words: str, percent: bool = False) -> str:
    """The lines that such a file ends in."""
    with pytest.raises((UsageError, SpecError)) as error:
        filled(whole, file, text, *words, percent=percent)
    return str(error.value).replace(str(file.parent) + "/", "")


def kept(store: MemoryStore, made: Filled, *, replace: bool = False) -> tuple[int, int, list[str]]:
    told = keep(store, made.results, INFO.provenance, question=None, replace=replace)
    return len(told.added), len(told.there), told.other


def table(whole: Expansion, store: MemoryStore) -> Table:
    """The tiny sweep's table with what was imported."""
    own = publish.table(whole, store.records([trial.id for trial in whole.trials]), None)
    return with_others(own, imported_into(store, "tiny"))


def test_columns_are_found_by_their_names(whole: Expansion, file: Path) -> None:
    made = filled(whole, file, FOUR)
    assert [(one.origin.levels, one.origin.seed, dict(one.metrics)) for one in made.results] == [
        ({"ema": "EMA", "predictor": "symmetric"}, 0, {"probe/top1": 0.8}),
        ({"ema": "EMA", "predictor": "symmetric"}, 1, {"probe/top1": 0.6}),
        ({"ema": "No EMA", "predictor": "symmetric"}, 0, {"probe/top1": 0.2}),
        ({"ema": "No EMA", "predictor": "regular"}, 7, {"probe/top1": 0.5}),
    ]


def test_a_result_says_which_file_and_line_it_is_from(whole: Expansion, file: Path) -> None:
    origin = filled(whole, file, FOUR).results[0].origin
    assert (origin.file, origin.date, origin.source) == ("runs.csv", DAY, "theirs")
    assert origin.place.endswith("runs.csv:2")
    assert len(origin.sha256) == 64


def test_flags_and_a_file_say_which_column_is_what(whole: Expansion, file: Path) -> None:
    (file.parent / "map.yaml").write_text(
        "axes:\n  predictor: {column: head, levels: {s: symmetric, 1: regular}}\nmetrics: {probe/top1: acc}\n"
    )
    text = "momentum,head,run_seed,acc\n0.90,s,0.0,0.5\n0,1,1,0.4\n"
    words = (str(file.parent / "map.yaml"), "ema=momentum", "seed=run_seed")
    levels = [one.origin.levels for one in filled(whole, file, text, *words).results]
    assert levels == [
        {"ema": "EMA", "predictor": "symmetric"},
        {"ema": "No EMA", "predictor": "regular"},
    ]


def test_percent_becomes_a_share(whole: Expansion, file: Path) -> None:
    made = filled(whole, file, HEAD + "EMA,symmetric,0,85.7\n", percent=True)
    assert made.results[0].metrics["probe/top1"] == pytest.approx(0.857)


def test_a_line_per_epoch_is_a_curve_and_its_last_value_the_result(whole: Expansion, file: Path) -> None:
    text = "ema,predictor,seed,step,probe/top1\nEMA,symmetric,0,2,0.5\nEMA,symmetric,0,1,0.4\n"
    (one,) = filled(whole, file, text, "epoch=step").results
    assert one.curves == {"probe/top1": ((1, 0.4), (2, 0.5))}
    assert one.metrics == {"probe/top1": 0.5}
    store = MemoryStore()
    kept(store, filled(whole, file, text, "epoch=step"))
    (record,) = imported_into(store, "tiny")
    assert store.curves([record.trial_id])[record.trial_id].metrics == dict(one.curves)


@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_a_byte_order_mark_is_no_part_of_a_name(whole: Expansion, file: Path, mark: str) -> None:
    assert len(filled(whole, file, mark + FOUR).results) == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "runs.csv: is empty; expected a first line with the names of columns"),
        (HEAD, "runs.csv: has names of columns, and no line below them"),
        (HEAD + "EMA,symmetric,0\n", "runs.csv:2: has 3 fields, and the first line 4"),
        (HEAD + "EMA,symmetric,0,85,7\n", "runs.csv:2: has 5 fields, and the first line 4; a comma inside"),
        (HEAD + 'EMA,symmetric,0,"0,7"\n', "runs.csv:2: 'probe/top1' is '0,7', and no number; write a point"),
        (HEAD + "EMA,symmetric,0,good\n", "runs.csv:2: 'probe/top1' is 'good', and no number"),
        (HEAD + "EMA,symmetric,0,1_0\n", "runs.csv:2: 'probe/top1' is '1_0', and no number"),
        (HEAD + "EMA,symmetric,0,nan\n", "runs.csv:2: 'probe/top1' is 'nan', and no number; leave it empty"),
        (HEAD + "EMA,symmetric,0,85%\n", "runs.csv:2: 'probe/top1' is '85%', and no number; leave out the"),
        (HEAD + "EMA,symmetric,0,85.7\n", "runs.csv:2: 'probe/top1' is 85.7, and probe/top1 is a share from"),
        (HEAD + "EMA,symmetric,0,-1\n", "runs.csv:2: 'probe/top1' is -1, and probe/top1 is not below 0"),
        (HEAD + "EMA,symmetric,,0.5\n", "runs.csv:2: has no seed in 'seed'"),
        (HEAD + "EMA,symmetric,x,0.5\n", "runs.csv:2: seed 'x' is no whole number from 0 to 2147483647"),
        (HEAD + "EMA,symmetric,-1,0.5\n", "runs.csv:2: seed '-1' is no whole number"),
        (HEAD + "EMA,crooked,0,0.5\n", "runs.csv:2: no level 'crooked' on axis 'predictor'"),
        (HEAD + "EMA,,0,0.5\n", "runs.csv:2: tiny has no cell with ema=EMA"),
        (HEAD + "EMA,symmetric,0,\n", "runs.csv: no run has a number of probe/top1"),
        (HEAD + 2 * "EMA,symmetric,0,0.5\n", "runs.csv:3: is EMA · symmetric, seed 0, as is runs.csv:2"),
        (HEAD.replace(",", ";"), "runs.csv: has semicolons between its columns; save it with commas"),
        ("a,a\n1,2\n", "runs.csv: two columns are called 'a'; give one another name"),
        (HEAD.replace("seed", "run"), "runs.csv: has names of columns"),
        (
            "ema,predictor,probe/top1\nEMA,symmetric,0.5\n",
            "no column for the seed; say which with --map seed=",
        ),
        (
            "ema,seed,probe/top1\nEMA,0,0.5\n",
            "no column for axis 'predictor'; say which with --map predictor=",
        ),
        (
            "ema,predictor,seed,acc\nEMA,symmetric,0,1\n",
            "no column for a metric; say which with --map probe/t",
        ),
        (
            HEAD.encode() + b"\xc4\xd6,symmetric,0,0.5\n",
            "runs.csv:2: byte 0xc4 is no UTF-8; save it as CSV in",
        ),
        (FOUR.encode("utf-16"), "runs.csv: is UTF-16, or no text; save it as CSV in UTF-8"),
        (HEAD + '"EMA,symmetric,0,0.5\n', "runs.csv:2: unexpected end of data"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(
    whole: Expansion, file: Path, text: str | bytes, told: str
) -> None:
    line = wrong(whole, file, text)
    assert line.startswith(told)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["probe/top11=acc"], "--map: no trial reports 'probe/top11'; did you mean 'probe/top1'?"),
        (["seed="], "--map seed=: expected NAME=COLUMN, such as seed=run_seed"),
        (["seed=seeed"], "runs.csv: no column 'seeed'; did you mean 'seed'?"),
        (["nowhere.yaml"], "--map nowhere.yaml: No such file or directory; expected a file of YAML"),
        (["run=x"], "--map run=x: expected parts in braces, each once, such as {ema}/seed{seed}"),
    ],
)
def test_what_is_wrong_with_a_flag_is_one_line(
    whole: Expansion, file: Path, words: list[str], told: str
) -> None:
    assert wrong(whole, file, FOUR, *words).startswith(told)


def test_a_metric_whose_name_no_store_takes_is_not_imported(file: Path) -> None:
    text = "version: 1\nname: own\nbase: {trainer: command, run: [echo, '{seed}']}\nseeds: 1\n"
    told = wrong(expansion(text), file, "seed,acc\n0,0.5\n", "acc@1=acc")
    assert told.startswith("'acc@1' is no name of a metric: expected letters")


def test_a_share_is_not_taken_for_percent(whole: Expansion, file: Path) -> None:
    assert "has nothing above 1, which is no percent but a share" in wrong(whole, file, FOUR, percent=True)


def test_a_file_that_is_wrong_all_over_is_not_told_line_by_line(whole: Expansion, file: Path) -> None:
    lines = wrong(whole, file, HEAD + 99 * "EMA,crooked,0,0.5\n").split("\n")
    assert len(lines) == 11
    assert lines[-1] == "and 89 more such lines"


def test_a_file_that_is_too_large_is_not_read(
    whole: Expansion, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.recording.bundle.others.sources.base.MOST_BYTES", 10)
    assert "and at most 0 MiB are read; leave out columns and lines" in wrong(whole, file, FOUR)


def test_there_is_a_kind_of_source_for_each_file() -> None:
    assert "csv" in names()
    with pytest.raises(UsageError, match="no source of runs 'excel'; expected a bundle, or csv"):
        read("excel", "runs.xlsx")


def test_an_import_satisfies_no_plan(whole: Expansion, file: Path) -> None:
    store = MemoryStore()
    assert kept(store, filled(whole, file, FOUR)) == (4, 0, [])
    assert len(plan_sweep(whole, store).todo) == len(whole.trials) == 8
    assert store.asked_for("tiny") == {}
    assert len(store.asked_for(name_of("tiny"))) == 4


def test_the_same_file_is_imported_once(whole: Expansion, file: Path) -> None:
    store = MemoryStore()
    kept(store, filled(whole, file, FOUR))
    assert kept(store, filled(whole, file, FOUR)) == (0, 4, [])


def test_other_numbers_of_one_source_are_named_and_replaced_where_that_is_asked_for(
    whole: Expansion, file: Path
) -> None:
    store, other = MemoryStore(), HEAD + "EMA,symmetric,0,0.9\n"
    kept(store, filled(whole, file, FOUR))
    added, there, lines = kept(store, filled(whole, file, other))
    assert (added, there) == (0, 0)
    assert "probe/top1 0.8, here 0.9; kept as the store has it" in lines[0]
    assert kept(store, filled(whole, file, other), replace=True) == (1, 0, [])
    assert [one.metrics for one in imported_into(store, "tiny")] == [{"probe/top1": 0.9}]


def test_a_table_shows_others_beside_ours_and_counts_them_in_nothing(whole: Expansion, file: Path) -> None:
    store = MemoryStore()
    for trial in whole.trials:
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(0.4), INFO)
    kept(store, filled(whole, file, FOUR))
    own = publish.table(whole, store.records([trial.id for trial in whole.trials]), None)
    shown = table(whole, store)
    assert [e._replace(beside=()) for _, _, e in shown.flat()] == [e for _, _, e in own.flat()]
    text = text_of("text", shown)
    assert "theirs (imported)" in text.splitlines()[2]
    assert "70.0 ± 14.1 (n=2)" in text
    assert "theirs: imported, not trained here, and in no other number (runs.csv, sha256" in text
    assert "imported" not in text_of("text", own)


@pytest.mark.parametrize("form", ["text", "md", "tex", "html", "csv", "json"])
def test_every_format_marks_what_was_imported(whole: Expansion, file: Path, form: str) -> None:
    store = MemoryStore()
    kept(store, filled(whole, file, FOUR))
    assert "imported" in text_of(form, table(whole, store))


def test_curves_of_others_are_drawn_where_a_figure_shows_metrics(whole: Expansion, file: Path) -> None:
    store = MemoryStore()
    lines = "EMA,symmetric,0,1,0.4\nEMA,symmetric,0,2,0.5\n"
    kept(store, filled(whole, file, "ema,predictor,seed,step,probe/top1\n" + lines, "epoch=step"))
    others = imported_into(store, "tiny")
    beside = curves_of_others(whole, others, store.curves([one.trial_id for one in others]))
    assert [one.label for _, one in beside] == ["EMA · symmetric (theirs)"]
    spec = FigureSpec(kind="curves", columns=("probe/top1",))
    drawn = publish.figure(whole, spec, {}, {}, beside=beside)
    assert any("theirs" in text.get_text() for text in drawn.findobj(Text))
    elsewhere = FigureSpec(kind="curves", columns=("probe/top1",), where={"ema": "No EMA"})
    with pytest.raises(UsageError):
        publish.figure(whole, elsewhere, {}, {}, beside=beside)


def test_two_sources_stand_in_columns_of_their_own(whole: Expansion, file: Path) -> None:
    store = MemoryStore()
    kept(store, filled(whole, file, FOUR))
    kept(store, filled(whole, file, FOUR, source="others"))
    assert [source.name for source in table(whole, store).sources] == ["others", "theirs"]


def test_a_source_without_the_tables_metric_is_a_note(whole: Expansion, file: Path) -> None:
    store = MemoryStore()
    kept(
        store,
        filled(whole, file, HEAD.replace("probe", "knn") + "EMA,symmetric,0,0.5\n", "knn/top1=knn/top1"),
    )
    assert "theirs (imported) has no probe/top1 of these cells" in table(whole, store).notes


def test_imports_survive_a_bundle_and_stay_what_they_are(
    whole: Expansion, file: Path, tmp_path: Path
) -> None:
    store, other = MemoryStore(), MemoryStore()
    kept(
        store,
        filled(whole, file, "ema,predictor,seed,step,probe/top1\nEMA,symmetric,0,2,0.5\n", "epoch=step"),
    )
    bundle = exported(tmp_path / "tiny.orch.zip", store, whole)
    merged = merge(bundle, other, checked(bundle))
    assert len(merged.added) == 1
    assert imported_into(other, "tiny")[0].imported == imported_into(store, "tiny")[0].imported
    (one,) = merged.added
    assert other.curves([one])[one].metrics == {"probe/top1": ((2, 0.5),)}
    assert plan_sweep(whole, other).done == ()
    again = merge(bundle, other, checked(bundle))
    assert (again.added, again.there) == ([], [one])


def test_of_a_bundle_whose_import_is_from_more_than_a_store_keeps_nothing_is_told(
    whole: Expansion, file: Path, tmp_path: Path
) -> None:
    def lengthen(members: dict[str, bytes]) -> None:
        path = next(one for one in members if one.endswith("trial.json"))
        told = json.loads(members[path])
        told["record"]["imported"]["file"] = "x" * 4000
        members[path] = json.dumps(told).encode()

    store = MemoryStore()
    kept(store, filled(whole, file, HEAD + "EMA,symmetric,0,0.5\n"))
    bundle = exported(tmp_path / "tiny.orch.zip", store, whole)
    with pytest.raises(UsageError, match="is not from where it says; it was changed"):
        checked(Bundle(rewritten(bundle, lengthen, sums=True)))


CONDITIONAL = """
    axes:
      ema: {levels: {EMA: {method.momentum: 0.9}, No EMA: {method.momentum: 0.0}}}
      predictor:
        levels: {symmetric: {method.predictor.symmetric: true}, regular: {method.predictor.symmetric: false}}
        when: {ema: EMA}
"""


def test_a_condition_takes_an_axis_out_of_a_run(file: Path) -> None:
    whole = expansion(yaml(TINY, CONDITIONAL))
    text = "ema,predictor,seed,probe/top1\nEMA,symmetric,0,0.5\nNo EMA,symmetric,0,0.4\nNo EMA,,1,0.3\n"
    levels = [one.origin.levels for one in filled(whole, file, text).results]
    assert levels == [{"ema": "EMA", "predictor": "symmetric"}, {"ema": "No EMA"}, {"ema": "No EMA"}]


def test_runs_without_seeds_are_numbered_only_where_that_is_said(whole: Expansion, file: Path) -> None:
    text = "ema,predictor,probe/top1\n" + 2 * "EMA,symmetric,0.5\n"
    assert [one.origin.seed for one in filled(whole, file, text, "seed=#").results] == [0, 1]


def test_lines_of_epochs_are_not_numbered(whole: Expansion, file: Path) -> None:
    told = wrong(whole, file, FOUR, "seed=#", "epoch=seed")
    assert told.startswith("--map seed=#: lines of epochs belong together by their seed; name its column")


def test_columns_of_nothing_are_said_not_to_be_used(whole: Expansion, file: Path) -> None:
    made = filled(whole, file, "note," + HEAD + "x,EMA,symmetric,0,0.5\n,EMA,regular,0,\n")
    assert (made.unused, made.empty) == (("note",), 1)


def test_nothing_said_is_nothing_known() -> None:
    assert columns_from([], expansion().spec) == Columns()
