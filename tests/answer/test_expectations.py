"""What is expected before training, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from orchestrator.answer import publish
from orchestrator.answer.comparison.expectations import Judged, written_down
from orchestrator.answer.formats import text_of
from orchestrator.answer.statistics.bounds import above, below, mostly
from orchestrator.answer.tables import tabulate
from orchestrator.errors import SpecError, StoreAway, UsageError
from orchestrator.events import Event, OnEvent, Progressed, Started
from orchestrator.execution.run import plan_sweep, run_sweep
from orchestrator.language.table_spec import TableSpec
from orchestrator.planning.expand import Expansion
from orchestrator.planning.layout import layout
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.bundle.merging import checked, merge
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.mlflow.tags import end_tags, first_tags, record_from
from orchestrator.records import SweepInfo, TrialRecord
from tests.answer.test_evaluation_columns import asked as evaluated
from tests.builders import INFO, expansion, indented, outcome, record, report, table_yaml
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
    for expected in (COLLAPSE, COLLAPSE.replace("true", "false")):
        made = sweep(expected)
        for status in ("diverged", "collapsed", "completed"):
            records = trained(made, lambda label, seed, status=status: "diverged" if seed == 0 else status)
            (found,) = verdicts(made, records)
            assert found.verdict == "undecided" and found.found.endswith("diverged")


def test_whether_it_was_predicted_is_what_each_trial_was_begun_under() -> None:
    made = sweep(WORSE)
    assert verdicts(made, {})[0].written == "nothing of it is trained yet"
    assert verdicts(made, trained(made, ours))[0].written == "predicted before training"
    assert verdicts(made, trained(made, ours, {}))[0].written == "all its 18 trials began without it"
    early = {i: one for i, one in trained(made, ours, {}).items() if i in {t.id for t in made.trials[:4]}}
    assert verdicts(made, trained(made, ours) | early)[0].written.startswith(
        "2 of its 18 trials began without it"
    )


def test_an_expectation_that_is_edited_after_training_is_told_with_what_it_said() -> None:
    before, after = sweep(WORSE), sweep(WORSE.replace("-5", "-1"))
    (found,) = verdicts(after, trained(after, ours, written_down(before)))
    assert found.written == (
        "edited after all its 18 trials had begun, trained under: main: probe/top1 of "
        f"{SUBJECT} at most -5 points"
    )


@pytest.mark.parametrize("bound", ["-0.1234567", "-5.00000001", "-5"])
def test_a_bound_is_shown_and_compared_as_it_was_written(bound: str) -> None:
    made = sweep(WORSE.replace("-5", bound))
    (found,) = verdicts(made, trained(made, ours))
    assert found.says == f"{SUBJECT} at most {bound} points" and found.written == "predicted before training"
    other = sweep(WORSE.replace("-5", f"{bound}1" if "." in bound else f"{bound}.00000001"))
    edited = verdicts(other, trained(other, ours, written_down(made)))[0].written
    # Of a kept -5 nobody knows whether an earlier version left out digits.
    assert edited.startswith("edited after all its" if "." in bound else "unknown whether before training")


def test_of_a_bound_that_was_kept_with_six_digits_nobody_knows_the_others() -> None:
    kept, made = sweep(WORSE.replace("-5", "-0.123457")), sweep(WORSE.replace("-5", "-0.1234567"))
    (found,) = verdicts(made, trained(made, ours, written_down(kept)))
    assert found.written.startswith("unknown whether before training: what all its 18 trials")
    (same,) = verdicts(kept, trained(kept, ours, written_down(made)))
    assert same.written.startswith("edited after all its 18 trials had begun")


def test_an_expectation_of_an_evaluation_is_not_said_to_be_ahead_of_training_that_was_before() -> None:
    made = evaluated(f"metric: near/top1, expectations: [{{cell: {BASELINE}, at_least: 45}}]", seeds=2)
    records = trained(made, lambda label, seed: "collapsed" if "No" in label else 0.5, {})
    shown = tabulate(made, made.spec.tables[0], records)
    assert shown.judged[0].written == "all its 2 trials began without it"
    assert "all 2 collapsed" in text_of("text", tabulate(made, words(made), records))


def words(made: Expansion) -> TableSpec:
    return made.spec.tables[0].model_copy(update={"marks": "words"})


UNKNOWN = "unknown whether before training: what all its 4 trials first began under is not known"


def told_under(made: Expansion) -> SweepInfo:
    return SweepInfo(**dict(INFO) | {"expected": written_down(made)})


def run(made: Expansion, store: MemoryStore, executor: Fates, **how: bool) -> Mapping[str, TrialRecord]:
    result = run_sweep(
        plan_sweep(made, store),
        store=store,
        executor=executor,  # type: ignore[arg-type]
        info=told_under(made),
        on_event=lambda event: None,
        discard=lambda trial_id: None,
        **how,  # type: ignore[arg-type]
    )
    return result.records


def test_nothing_is_called_predicted_while_the_store_cannot_say_what_trials_first_began_under() -> None:
    made, store = sweep(WORSE, seeds=2), MemoryStore()
    away = run(made, store, Fates(lambda trial: "completed"), asked=False)
    assert verdicts(made, away)[0].written == UNKNOWN
    for form in ("text", "md", "html", "tex", "json"):
        assert UNKNOWN in text_of(form, tabulate(made, made.spec.tables[0], away))
    known = store.records(
        [one.id for one in made.trials]
    )  # it was delivered: the store has seen the beginning
    assert verdicts(made, known)[0].written == "predicted before training"
    assert publish.content(made, away) != publish.content(made, known)  # the summary is made again


def test_a_trial_that_waits_in_a_journal_is_not_called_predicted_while_the_tracker_is_away(
    tmp_path: Path,
) -> None:
    store, before, after = MemoryStore(), sweep(seeds=1), sweep(WORSE, seeds=1)
    gone, info = [True], told_under(after)
    trials = [one for one in after.trials if one.cell.label in ("No EMA · symmetric", "EMA · regular")]
    for trial in trials:
        store.begin(trial.facts, told_under(before), attempt="1")  # the tracker knows, and is away

    def connect() -> MemoryStore:
        if gone:
            raise StoreAway("the tracker does not answer")
        return store

    def seen() -> str:
        known = FinishedTrials(tmp_path, store="test")
        journaled = JournaledStore(connect, root=tmp_path, name="test", known=known)
        found = journaled.records([one.id for one in after.trials])
        journaled.close()
        return verdicts(after, found)[0].written

    writer = JournaledStore(connect, root=tmp_path, name="test", known=FinishedTrials(tmp_path, store="test"))
    for trial in trials:
        writer.begin(trial.facts, info, attempt="2")
    assert seen() == UNKNOWN.replace("4", "2")
    for trial in trials:
        writer.finish(trial.id, outcome(), info)
    assert seen() == UNKNOWN.replace("4", "2")
    gone.clear()
    assert seen() == "all its 2 trials began without it"
    writer.close()


class Resuming(Fates):
    """An executor whose trials go on from a checkpoint."""

    def run(self, trials: Sequence[TrialSpec], on_event: OnEvent) -> None:
        def also(event: Event) -> None:
            on_event(event)
            if isinstance(event, Started):
                on_event(Progressed(event.trial_id, report(1).model_copy(update={"replayed": True})))

        super().run(trials, also)


def test_a_trial_that_goes_on_from_a_checkpoint_that_no_store_knows_is_not_called_predicted(
    tmp_path: Path,
) -> None:
    made, store = sweep(WORSE, seeds=2), MemoryStore()
    result = run(made, store, Resuming(lambda trial: "completed"))
    assert verdicts(made, result)[0].written == UNKNOWN
    assert verdicts(made, store.records([one.id for one in made.trials]))[0].written == UNKNOWN
    bundle, other = exported(tmp_path / "b.orch.zip", store, made), MemoryStore()
    merge(bundle, other, checked(bundle))
    assert verdicts(made, other.records([one.id for one in made.trials]))[0].written == UNKNOWN


def test_it_stays_unknown_in_mlflow_and_when_the_trial_goes_on_again() -> None:
    made, store = sweep(WORSE, seeds=1), MemoryStore()
    run(made, store, Resuming(lambda trial: "worker"))  # fails, and is tried again
    again = run(made, store, Fates(lambda trial: "completed"))
    assert all(one.perhaps_begun_before for one in again.values())
    assert all(one.perhaps_begun_before for one in store.records([t.id for t in made.trials]).values())
    trial, details = made.trials[0], {"perhaps_begun_before": True}
    tags = first_tags(trial.facts, told_under(made), worker=None, attempt=None)
    tags |= end_tags(trial.id, outcome(details=details), told_under(made))
    assert record_from(trial.id, run="1", state="FINISHED", tags=tags, metrics={}).perhaps_begun_before


def test_a_trial_that_the_store_has_seen_begin_may_go_on_and_stays_predicted() -> None:
    made, store = sweep(WORSE, seeds=2), MemoryStore()
    run(made, store, Fates(lambda trial: "worker"))
    again = run(made, store, Resuming(lambda trial: "completed"))
    assert verdicts(made, again)[0].written == "predicted before training"


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


def test_the_only_cell_of_a_sweep_without_axes_needs_no_level() -> None:
    text = table_yaml().partition("axes:")[0]
    text += "seeds: 6\ntables:\n  - {name: one, rows: cells, expectations: [{cell: {}, at_least: 40}]}\n"
    made = expansion(text, seeds=range(6))
    told = {one.id: record(one.id, 0.5) for one in made.trials}
    (judged,) = tabulate(made, made.spec.tables[0], told).judged
    assert judged.verdict == "holds"


def test_tests_of_a_bound_cannot_be_passed_by_few_values() -> None:
    assert above([1.0, 1.001, 0.999], 0.0) == 1 / 8
    assert below([1.0, 1.001, 0.999], 2.0) == 1 / 8
    assert above([1.0], 0.0) == 1.0 == above([], 0.0)
    assert above([0.0, 0.0, 0.0], 0.0) == 1.0
    assert mostly(5, 5) == pytest.approx((1 / 32, 1.0))
    assert mostly(0, 0) == (1.0, 1.0)
