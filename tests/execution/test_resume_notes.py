"""What is told of where a trial goes on, and that its log has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.events import Event, Progressed, Started
from orchestrator.execution.screen.lines import ResumeNotes
from orchestrator.planning.plan import make_plan
from orchestrator.recording.logs import TrialLogs
from tests.builders import expansion, record, report
from trainers.attempt.folders import Folder, S3Folder

MADE = expansion()
ONE = MADE.trials[0].id


def notes(events: Sequence[Event], *, status: str = "missing", folder: Folder = Path("/trials")) -> list[str]:
    """What is said of one trial, which stood so when the sweep began."""
    records = {} if status == "missing" else {ONE: record(ONE, None, status=status)}
    resumes = ResumeNotes(make_plan(MADE, records), folder)
    return [note for event in events if (note := resumes.note(event))]


def epochs(*numbers: int, replayed: bool = False) -> list[Event]:
    made = [report(epoch) for epoch in numbers]
    return [Progressed(ONE, one.model_copy(update={"replayed": replayed})) for one in made]


def begun(attempt: int = 1, worker: str = "node1:7") -> Event:
    return Started(ONE, attempt, worker)


def test_of_a_new_trial_nothing_is_said() -> None:
    assert notes([begun(), *epochs(0, 1, 2)]) == []


def test_a_trial_that_goes_on_is_told_once_with_epoch_and_place() -> None:
    events = [begun(), *epochs(0, 1, replayed=True), *epochs(2)]
    assert notes(events, status="stopped", folder=S3Folder("bucket", "a")) == [
        f"goes on from its checkpoint after epoch 1, in s3://bucket/a/{ONE}"
    ]


def test_a_trial_that_was_begun_and_finds_no_checkpoint_is_told_with_its_worker() -> None:
    for status in ("running", "stopped"):
        assert notes([begun(), *epochs(0, 1)], status=status) == [
            f"starts anew on node1:7: no checkpoint there in /trials/{ONE}"
        ]


def test_a_trial_that_lost_its_worker_starts_anew_only_where_there_is_no_checkpoint() -> None:
    lost = [begun(), *epochs(0, 1), begun(2, "node2:9")]
    assert notes([*lost, *epochs(0)]) == [f"starts anew on node2:9: no checkpoint there in /trials/{ONE}"]
    assert "after epoch 1" in notes([*lost, *epochs(0, 1, replayed=True), *epochs(2)])[0]


def test_a_trials_log_has_the_note_before_what_follows(tmp_path: Path) -> None:
    logs = TrialLogs(tmp_path)
    for event in epochs(1, replayed=True):
        logs.on_event(event)
    logs.on_event(epochs(2)[0], "goes on from its checkpoint after epoch 1")
    lines = [line.partition(" ")[2] for line in (tmp_path / f"{ONE}.log").read_text().splitlines()]
    assert lines[0] == "goes on from its checkpoint after epoch 1" and lines[1].startswith("epoch 2/2")
