"""How a driver waits for others, and what it does when they were faster: with a store in memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from orchestrator.answer.comparison.precision import aimed
from orchestrator.commands.screen.live import QuietDisplay
from orchestrator.errors import ExecutionError, UsageError
from orchestrator.execution import drive, rounds
from orchestrator.execution.child.executor import ChildExecutor
from orchestrator.execution.options import Options
from orchestrator.execution.publishing import Answer, answered, published
from orchestrator.execution.run import SweepResult, plan_sweep, run_sweep
from orchestrator.execution.screen.lines import Listening
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.process.driver import Owner
from orchestrator.process.signals import Stop
from orchestrator.recording import workspace as of_workspace
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.workspace import workspace
from orchestrator.records import Curves
from tests.builders import INFO, expansion, outcome, table_yaml
from tests.execution.test_run import Fates
from tests.trainers.builders import save

OTHER = Owner("elsewhere", 7, "orch sweep")


class Store(MemoryStore):
    """A store in memory that is never away."""

    away = None


class Script:
    """Claims that go as they are told to: who has what at each taking, and when they lapse."""

    def __init__(self, *takings: set[str], lapses: Collection[bool] = ()) -> None:
        self.takings, self.lapses = list(takings), list(lapses)

    def take(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        if not trial_ids:
            return {}
        return dict.fromkeys(self.takings.pop(0) & set(trial_ids) if self.takings else set(), OTHER)

    def held(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        return {}  # free for a moment, and taken again

    def lapsed(self) -> bool:
        return bool(self.lapses and self.lapses.pop(0))


def trained(
    store: Store, claims: Script, home: Path, executor: Any, **options: bool
) -> tuple[SweepResult, list[str]]:
    said: list[str] = []
    executor.close = lambda: None
    prepared: Any = rounds.Prepared(
        plan_sweep(expansion(), store),
        store,
        executor,
        INFO,
        workspace(home, None, None),
        Options(executor="serial", address=None, **options),  # type: ignore[arg-type]
    )
    screen: Any = lambda plan: Listening(QuietDisplay(plan))  # noqa: E731
    return rounds.trained(prepared, claims, Stop(), said.append, screen), said  # type: ignore[arg-type]


@pytest.mark.parametrize("away", [None, "the tracker does not answer"])
def test_what_trials_first_began_under_is_known_only_of_a_store_that_answers(
    away: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    monkeypatch.setattr(store, "away", away)
    monkeypatch.setitem(globals(), "INFO", INFO.model_copy(update={"expected": {"what": "words"}}))
    result, _ = trained(store, Script(), tmp_path, Fates(lambda trial: "completed"))
    assert {one.perhaps_begun_before for one in result.records.values()} == {away is not None}


@pytest.mark.parametrize("fresh", [True, False])
def test_a_checkpoint_that_cannot_be_removed_is_never_where_a_fresh_trial_goes_on(
    fresh: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trial in expansion().trials:
        save(tmp_path / "trials" / trial.id, 1)

    def refused(self: object, name: str) -> None:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr("trainers.attempt.folders.DiskFolder.remove", refused)
    sweep = Fates(lambda trial: "completed")
    if not fresh:  # what is only tidied up fails nothing
        assert trained(Store(), Script(), tmp_path, sweep)[0].trained.total() == 8
        return
    with pytest.raises(ExecutionError, match=r"trials/\w{12}: a checkpoint cannot be removed .*; remove it"):
        trained(Store(), Script(), tmp_path, sweep, fresh=True)


@pytest.mark.parametrize("fresh", [True, False])
def test_executors_are_told_which_trials_begin_anew_for_nodes_have_checkpoints_of_their_own(
    fresh: bool, tmp_path: Path
) -> None:
    sweep = Fates(lambda trial: "completed")
    trained(Store(), Script(), tmp_path, sweep, fresh=fresh)
    assert {trial.anew is not None for trial in sweep.ran} == {fresh} and len(sweep.ran) == 8


def test_what_is_trained_anew_has_what_was_expected_when_it_first_began(
    tmp_path: Path,
) -> None:
    store, sweep = Store(), Fates(lambda trial: "completed")
    trained(store, Script(), tmp_path, sweep)
    plan = plan_sweep(expansion(), store)
    anew = plan._replace(todo=plan.done, done=(), anew=frozenset(trial.id for trial in plan.done))
    knowing = INFO.model_copy(update={"expected": {"what": "words that were written after looking"}})
    quiet: Any = lambda what: None  # noqa: E731
    result = run_sweep(anew, store=store, executor=sweep, info=knowing, on_event=quiet, discard=quiet)
    assert len(result.records) == 8 and not any(one.expected for one in result.records.values())
    assert not any(one.expected for one in store.records(list(result.records)).values())


def test_what_is_trained_anew_stays_unknown_where_nobody_knew_what_it_first_began_under(
    tmp_path: Path,
) -> None:
    store, made = Store(), expansion()
    knowing = INFO.model_copy(update={"expected": {"what": "words"}})
    for trial in made.trials:
        store.begin(trial.facts, knowing)
        store.finish(trial.id, outcome(details={"perhaps_begun_before": True}), knowing)
    plan = plan_sweep(made, store)
    anew = plan._replace(todo=plan.done, done=(), anew=frozenset(trial.id for trial in plan.done))
    quiet: Any = lambda what: None  # noqa: E731
    sweep: Any = Fates(lambda trial: "completed")
    result = run_sweep(anew, store=store, executor=sweep, info=knowing, on_event=quiet, discard=quiet)
    for records in (result.records, store.records(list(result.records))):
        assert len(records) == 8 and all(one.perhaps_begun_before for one in records.values())


def test_waiting_for_the_same_driver_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "WAIT_S", 0.0)
    theirs = {trial.id for trial in expansion().trials[:3]}
    result, said = trained(Store(), Script(*[theirs] * 5), tmp_path, Fates(lambda trial: "completed"))
    assert sum(line.startswith("waiting for 3 trials") for line in said) == 1
    assert result.trained["completed"] == 8


def test_a_driver_that_was_taken_for_dead_trains_only_what_is_left(tmp_path: Path) -> None:
    store, executor = Store(), Fates(lambda trial: "completed")
    trials = expansion().trials

    class Awake(Script):
        def lapsed(self) -> bool:
            if len(executor.ran) == 1 and not store.records([trials[7].id]):
                for trial in trials[:6]:
                    store.begin(trial.facts, INFO, attempt="theirs")
                    store.finish(trial.id, outcome(), INFO)
                return True
            return False

    result, said = trained(store, Awake(), tmp_path, executor)
    assert [trial.id for trial in executor.ran] == [trials[0].id, trials[6].id, trials[7].id]
    assert any("have done 6 trials" in line for line in said)
    assert len(result.records) == 8 and all(record.is_done for record in result.records.values())


def test_a_sweep_is_planned_again_only_where_the_store_has_more_once_claims_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Plan] = []

    def counted(*given: Any) -> Plan:
        made.append(make_plan(*given))
        return made[-1]

    monkeypatch.setattr(rounds, "make_plan", counted)
    first, *others = expansion().trials
    everything = Fates(lambda trial: "completed")
    trained(Store(), Script(), tmp_path, everything)
    assert (len(everything.ran), made) == (8, [])

    store, the_rest = Store(), Fates(lambda trial: "completed")

    class JustBefore(Script):
        def take(self, trial_ids: Collection[str]) -> dict[str, Owner]:
            store.begin(first.facts, INFO)
            store.finish(first.id, outcome(), INFO)
            return {}

    result, _ = trained(store, JustBefore(), tmp_path, the_rest)
    assert [trial.id for trial in the_rest.ran] == [trial.id for trial in others]
    assert [plan.done for plan in made] == [(first,)] and len(result.records) == 8


def shown_by(store: Store, seeds: list[int], done: list[int]) -> str:
    """What the summary shows after a sweep over `seeds` of which those in `done` have results."""
    asked = expansion(seeds=seeds)
    for trial in asked.trials:
        if trial.seed in done:
            store.begin(trial.facts, INFO)
            store.finish(trial.id, outcome(), INFO)
    plan = plan_sweep(asked, store)
    result = SweepResult(Counter(), plan.records, False)
    published(plan, store, answered(asked, result), INFO, say=lambda line: None)  # type: ignore[arg-type]
    return store.summaries["tiny"]["main.md"].decode()


def test_the_summary_keeps_the_most_complete_table_whichever_seeds_were_asked_for_last() -> None:
    store = Store()
    three = shown_by(store, [0, 1, 2], [0, 1, 2])
    assert shown_by(store, [0], []) == three
    assert shown_by(store, [1, 2], []) == three
    assert shown_by(store, [0, 1, 2, 3], [3]) != three


@pytest.mark.parametrize("figures", ["", "figures: [{kind: curves, columns: [F/rankme]}, {kind: slope}]\n"])
def test_the_report_in_the_store_has_curves_and_says_which_figure_could_not_be_drawn(
    figures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asked, said = Store(), expansion(table_yaml() + figures), list[str]()
    for trial in asked.trials:
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(), INFO)
    curves = Curves(metrics={"train/loss": ((1, 0.5), (2, 0.25))})
    monkeypatch.setattr(store, "curves", lambda ids: dict.fromkeys(ids, curves))
    plan = plan_sweep(asked, store)
    result = SweepResult(Counter(), plan.records, False)
    published(plan, store, answered(asked, result), INFO, say=said.append)  # type: ignore[arg-type]
    html = store.summaries["tiny"]["report.html"].decode()
    drawn = re.findall(r'<img src="data:image/png;base64,[^"]*" alt="(\w+) of tiny', html)
    assert drawn == (["slope"] if figures else ["curves"])
    wrong = "metric &#39;F/rankme&#39; was never reported"
    assert (wrong in html) == bool(figures) == any("F/rankme" in line for line in said)


def test_the_summary_of_an_edited_sweep_is_not_kept_from_it_by_a_larger_old_one() -> None:
    store = Store()
    first = shown_by(store, [0, 1, 2], [0, 1, 2])
    changed = expansion(seeds=[0], changes={"epochs": 1})
    for trial in changed.trials:
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(0.25), INFO)
    plan = plan_sweep(changed, store)
    result = SweepResult(Counter(), plan.records, False)
    published(plan, store, answered(changed, result), INFO, say=print)  # type: ignore[arg-type]
    assert store.summaries["tiny"]["main.md"].decode() != first
    store._content["tiny", None] = "0123456789ab"  # as 0.1.0 wrote it
    assert shown_by(store, [0], []) != first


def swept(
    store: Store,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    only: rounds.Only | None = None,
) -> tuple[SweepResult, list[str], list[str], list[bool]]:
    """A sweep for narrow intervals: what is said and shown, and whether drivers of other homes are asked."""
    said, shown, together = list[str](), list[str](), list[bool]()

    class Claimed(Script):
        release = lambda self: None  # noqa: E731

    def claims_of(*given: object, shared: bool) -> Claimed:
        together.append(shared)
        return Claimed()

    monkeypatch.setattr(drive, "claims_of", claims_of)
    monkeypatch.setattr(drive, "published", lambda plan, store, answer, info, say: answer.result)
    executor: Any = Fates(lambda trial: "completed")
    executor.close = lambda: None
    asked = aimed(expansion(seeds=range(2)), 1.0, 4, lambda made: store.records([t.id for t in made.trials]))
    plan = plan_sweep(asked, store)
    prepared: Any = rounds.Prepared(
        plan if only is None else plan._replace(todo=only(plan)),
        store,
        executor,
        INFO,
        workspace(home, None, None),
        Options(executor="serial", address=None),
        only,
        trains=False,  # as far as was known when it was prepared
    )
    result = drive.sweep(
        prepared,
        say=said.append,
        show=lambda answer: shown.append(str(answer.tables[0])),
        screen=lambda plan: Listening(QuietDisplay(plan)),  # type: ignore[arg-type]
    )
    return result, said, shown, together


class Ready(Store):
    """A store that a whole sweep ends with."""

    notes = ()
    carry = close = lambda self: None


def test_a_sweep_for_narrow_intervals_goes_on_until_they_are_and_then_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Ready()
    result, said, shown, first = swept(store, tmp_path, monkeypatch)
    assert result.trained["completed"] == 3 * 4  # equal numbers: two seeds are no interval, three are one
    assert "intervals are wider than asked for: 4 trials more" in said
    assert len(shown) == 1 and "reached in every cell" in shown[0]
    again, _, _, second = swept(store, tmp_path, monkeypatch)
    assert again.trained.total() == 0
    assert first + second == [True, True]  # who may train more asks drivers of other homes, too


def test_what_is_run_again_of_a_sweep_for_narrow_intervals_is_what_failed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, failed = Ready(), expansion(seeds=range(2)).trials[0]
    store.begin(failed.facts, INFO)
    store.finish(failed.id, outcome(status="failed"), INFO)
    result, said, _, _ = swept(store, tmp_path, monkeypatch, only=lambda plan: plan.failed_before)
    assert result.trained == {"completed": 1} and set(result.records) == {failed.id}
    assert not any(line.startswith("intervals are wider") for line in said)


@pytest.mark.parametrize("only_read", [None, "a bundle"])
def test_where_nothing_can_be_written_a_whole_sweep_is_shown_and_one_that_trains_is_refused_at_once(
    only_read: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, said, shown = Store(), list[str](), list[Answer]()
    for trial in expansion().trials:
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(), INFO)

    def refuse(*_: object, **__: object) -> None:
        raise UsageError("a home")

    monkeypatch.setattr(of_workspace, "make_folder", refuse)
    monkeypatch.setattr(ChildExecutor, "prepare", refuse)
    space = workspace(tmp_path / "runs", None, None)
    server: dict[str, Any] = {"file": None, "reader": lambda: None, "may_be_away": True}
    at = space.store_at._replace(**server, to_read=lambda: store, to_write=refuse, only_read=only_read)
    space = space._replace(store_at=at)
    how = Options(executor="ray", address=None)
    result = drive.sweep(
        drive.prepare(expansion(), space, how, say=said.append),
        say=said.append,
        show=shown.append,
        screen=lambda plan: Listening(QuietDisplay(plan)),  # type: ignore[arg-type]
    )
    assert len(shown[0].tables) == 1 and all(record.is_done for record in result.records.values())
    assert f"nothing is written: {only_read or 'a home'}" in said and not result.unpublished
    assert store.summaries == {} and list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match=only_read or "a home"):
        drive.prepare(expansion(seeds=range(3)), space, how, say=said.append)
