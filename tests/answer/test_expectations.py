"""What is expected before training, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestrator.answer.comparison.expectations import Judged, written_down
from orchestrator.answer.formats import text_of
from orchestrator.answer.statistics.bounds import above, below, mostly
from orchestrator.answer.tables import tabulate
from orchestrator.errors import SpecError, UsageError
from orchestrator.execution.run import plan_sweep, run_sweep
from orchestrator.planning.expand import Expansion
from orchestrator.planning.layout import layout
from orchestrator.recording.bundle.merging import checked, merge
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.mlflow.tags import end_tags, first_tags, record_from
from orchestrator.records import SweepInfo, TrialRecord
from tests.builders import INFO, expansion, indented, outcome, record, table_yaml
from tests.execution.test_run import Fates
from tests.recording.test_bundle import exported

SYMMETRIC = "{ema: No EMA, predictor: symmetric}"
BASELINE = "{ema: EMA, predictor: regular}"
WORSE = f"{{cell: {SYMMETRIC}, minus: {BASELINE}, at_most: -5}}"
COLLAPSE = f"{{cell: {SYMMETRIC}, collapses: true}}"
SUBJECT = "'No EMA · symmetric' minus 'EMA · regular'"


def sweep(*expected: str, seeds: int = 9) -> Expansion:
    return expansion(table_yaml(indented(f"expectations: [{', '.join(expected)}]\n")), seeds=range(seeds))


def trained(
    made: Expansion, value: Callable[[str, int], float | str], under: Mapping[str, str] | None = None
) -> dict[str, TrialRecord]:
    """A record per trial with a number, or of a status, begun under these expectations; None: the sweep's."""
    expected = written_down(made) if under is None else under
    found = {}
    for one in made.trials:
        result = value(one.cell.label, one.seed)
        number, status = (None, result) if isinstance(result, str) else (result, "completed")
        number = 0.1 if status == "collapsed" else number
        found[one.id] = record(one.id, number, status=status, expected=expected)
    return found


def ours(label: str, seed: int) -> float:
    return (0.2 if label == "No EMA · symmetric" else 0.8) + 0.001 * seed + 0.002 * (seed % 2)


def verdicts(made: Expansion, records: Mapping[str, TrialRecord]) -> tuple[Judged, ...]:
    return tabulate(made, made.spec.tables[0], records).judged


def test_a_difference_holds_fails_or_is_undecided_by_tests_and_never_by_a_bare_mean() -> None:
    made = sweep(WORSE)
    (held,) = verdicts(made, trained(made, ours))
    assert (held.says, held.verdict) == (f"{SUBJECT} at most -5 points", "holds")
    assert held.found == "-60.0, 90 % interval -60.0 to -60.0, n = 9"
    (failed,) = verdicts(made, trained(made, lambda label, seed: 0.5 + 0.01 * (seed % 3)))
    assert failed.verdict == "does not hold"
    near = trained(made, lambda label, seed: 0.5 - 0.055 * (label != "EMA · regular") * (seed % 3))
    assert [one.verdict for one in verdicts(made, near)] == ["undecided"]


def test_three_seeds_decide_no_expectation_and_how_many_could_is_told() -> None:
    made = sweep(WORSE, seeds=3)
    (found,) = verdicts(made, trained(made, ours))
    assert found.verdict == "undecided"
    assert found.found.endswith("n = 3; fewer than 5 seeds cannot decide")


def test_bounds_of_a_value_both_count_and_expectations_of_a_table_are_judged_together() -> None:
    value = f"{{cell: {BASELINE}, at_least: 78, at_most: 82}}"
    made = sweep(value, seeds=5)
    assert verdicts(made, trained(made, ours))[0].verdict == "holds"
    outside = trained(made, lambda label, seed: 0.9 + 0.001 * seed)
    assert verdicts(made, outside)[0].verdict == "undecided"  # either bound could be broken: 2 / 2⁵ is 6 %
    several = sweep(value, WORSE, COLLAPSE, seeds=5)
    assert {one.verdict for one in verdicts(several, trained(several, ours))} == {"undecided"}  # Holm


def test_a_collapse_is_expected_of_most_trials_and_not_of_a_mean() -> None:
    made = sweep(COLLAPSE, f"{{cell: {BASELINE}, collapses: false}}")
    records = trained(made, lambda label, _: "collapsed" if label == "No EMA · symmetric" else 0.8)
    first, second = verdicts(made, records)
    assert (first.verdict, first.found) == ("holds", "9 of 9 collapsed")
    assert (second.says, second.verdict) == ("'EMA · regular' does not collapse", "holds")
    assert [one.verdict for one in verdicts(made, trained(made, ours))] == ["does not hold", "holds"]


def test_a_cell_whose_trials_diverged_is_never_decided_by_the_others() -> None:
    made = sweep(WORSE)
    records = trained(made, lambda label, seed: "diverged" if seed == 0 else ours(label, seed))
    (found,) = verdicts(made, records)
    assert found.verdict == "undecided" and "2 diverged and have no number" in found.found


def test_whether_it_was_predicted_is_what_each_trial_was_begun_under() -> None:
    made = sweep(WORSE)
    assert verdicts(made, {})[0].written == "nothing of it is trained yet"
    assert verdicts(made, trained(made, ours))[0].written == "predicted before training"
    assert verdicts(made, trained(made, ours, {}))[0].written == "written after all its 18 trials had begun"
    early = {i: one for i, one in trained(made, ours, {}).items() if i in {t.id for t in made.trials[:4]}}
    assert verdicts(made, trained(made, ours) | early)[0].written.startswith(
        "written after 2 of its 18 trials"
    )


def test_an_expectation_that_is_edited_after_training_is_told_with_what_it_said() -> None:
    before, after = sweep(WORSE), sweep(WORSE.replace("-5", "-1"))
    (found,) = verdicts(after, trained(after, ours, written_down(before)))
    assert found.written == (
        "edited after all its 18 trials had begun, which were trained under: main: probe/top1 of "
        f"{SUBJECT} at most -5 points"
    )


def test_every_format_says_it() -> None:
    made = sweep(WORSE)
    shown = tabulate(made, made.spec.tables[0], trained(made, ours))
    for form in ("text", "md", "html", "tex"):
        text = text_of(form, shown)
        assert "holds" in text and "predicted before training" in text
    (told,) = json.loads(text_of("json", shown))["expectations"]
    assert told["verdict"] == "holds"


def test_a_trial_keeps_what_was_expected_when_it_first_began() -> None:
    store, before, after = MemoryStore(), sweep(WORSE), sweep(WORSE.replace("-5", "-1"))
    trial = before.trials[0]
    told = [SweepInfo(**dict(INFO) | {"expected": written_down(one)}) for one in (before, after)]
    store.begin(trial.facts, told[0])
    store.begin(trial.facts, told[1])
    store.finish(trial.id, outcome(), told[1])
    assert store.records([trial.id])[trial.id].expected == written_down(before)
    tags = first_tags(trial.facts, told[0], worker=None, attempt=None) | end_tags(
        trial.id, outcome(), told[1]
    )
    read = record_from(trial.id, run="1", state="FINISHED", tags=tags, metrics={})
    assert read.expected == written_down(before)


def test_what_waits_in_a_journal_does_not_change_what_a_trial_was_begun_under(tmp_path: Path) -> None:
    store, before, after = MemoryStore(), sweep(WORSE), sweep(WORSE.replace("-5", "-1"))
    trial = before.trials[0]
    told = [SweepInfo(**dict(INFO) | {"expected": written_down(one)}) for one in (before, after)]
    store.begin(trial.facts, told[0], attempt="1")
    journaled = JournaledStore(lambda: store, root=tmp_path, name="test")
    journaled.begin(trial.facts, told[1], attempt="2")  # goes on, and the store has not heard of it
    assert store.records([trial.id])[trial.id].attempts == 1
    assert journaled.records([trial.id])[trial.id].expected == written_down(before)
    journaled.close()


def test_a_sweep_writes_them_down_with_its_trials_and_a_bundle_takes_them_along(tmp_path: Path) -> None:
    made, store = sweep(WORSE, seeds=2), MemoryStore()
    info = SweepInfo(**dict(INFO) | {"expected": written_down(made)})
    result = run_sweep(
        plan_sweep(made, store),
        store=store,
        executor=Fates(lambda trial: "completed"),  # type: ignore[arg-type]
        info=info,
        on_event=lambda event: None,
        discard=lambda trial_id: None,
    )
    assert verdicts(made, result.records)[0].written == "predicted before training"
    bundle, other = exported(tmp_path / "b.orch.zip", store, made), MemoryStore()
    merge(bundle, other, checked(bundle))
    again = other.records([one.id for one in made.trials])
    assert verdicts(made, again)[0].written == "predicted before training"


def test_records_and_sweeps_without_expectations_are_written_as_before() -> None:
    assert "expected" not in record("0" * 12).model_dump()
    assert "expected" not in INFO.model_dump()


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (f"{{cell: {BASELINE}}}", "expected at_least, at_most or both"),
        (f"{{cell: {BASELINE}, at_least: 3, at_most: 1}}", "is not below"),
        (f"{{cell: {BASELINE}, minus: {SYMMETRIC}, collapses: true}}", "said of one cell"),
        ("{cell: {ema: Ema, predictor: regular}, at_least: 1}", "no level 'Ema'"),
        (f"{WORSE}, {WORSE.replace('at_most: -5', 'at_least: -9')}", "the same is expected twice"),
    ],
)
def test_a_wrong_expectation_names_its_line(expected: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        sweep(expected)


def test_an_expectation_that_fits_several_cells_is_an_error_before_training() -> None:
    made = sweep("{cell: {ema: EMA}, at_least: 1}")
    with pytest.raises(UsageError, match=r"expected cell .* fits 2 of its cells"):
        layout(made, made.spec.tables[0])


def test_tests_of_a_bound_cannot_be_passed_by_few_values() -> None:
    assert above([1.0, 1.001, 0.999], 0.0) == 1 / 8
    assert below([1.0, 1.001, 0.999], 2.0) == 1 / 8
    assert above([1.0], 0.0) == 1.0 == above([], 0.0)
    assert above([0.0, 0.0, 0.0], 0.0) == 1.0
    assert mostly(5, 5) == pytest.approx((1 / 32, 1.0))
    assert mostly(0, 0) == (1.0, 1.0)
