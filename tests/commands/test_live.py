from __future__ import annotations

import io
import signal
import time

import pytest
from rich.console import Console

from orchestrator.commands.screen import live as display
from orchestrator.commands.screen.board import sparkline
from orchestrator.events import Finished, Progressed, Started
from orchestrator.planning.plan import make_plan
from orchestrator.process.signals import stop_signals
from orchestrator.process.words import duration
from tests.builders import expansion, outcome, record, report, table_yaml


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless a test moves it."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_forecast_is_the_pace_so_far_over_what_is_left(clock: list[float]) -> None:
    made = expansion()
    progress = display.Progress(make_plan(made, {}))
    assert progress.forecast_s() is None
    first = made.trials[0]
    progress.take(Started(first.id, 1, "here"))
    for epoch in range(3):
        progress.take(Progressed(first.id, report(epoch)))
    clock[0] = 10.0
    progress.take(Finished(first.id, outcome()))
    assert progress.forecast_s() == pytest.approx(70.0)  # 7 of 8 trials left at 10 s each


def test_the_forecast_and_the_last_word_count_trials_of_later_turns(clock: list[float]) -> None:
    made = expansion()
    first = make_plan(made, {})._replace(todo=made.trials[:2], later=6)
    live = display.LiveDisplay(first, console=Console(file=io.StringIO(), force_terminal=True, width=100))
    for trial in first.todo:
        live.on_event(Started(trial.id, 1, "here"))
        clock[0] += 10.0
        live.on_event(Finished(trial.id, outcome()))
    assert live.progress.forecast_s() == pytest.approx(60.0)
    text = picture_of(live)
    live.close()
    assert "2/8 done · 0 running · about 1m 00s left" in text
    assert "these trials have ended; those that start from their encoders come next" in text


def test_epochs_repeated_from_a_checkpoint_do_not_count_as_pace(clock: list[float]) -> None:
    made = expansion()
    progress = display.Progress(make_plan(made, {}))
    progress.take(Started(made.trials[0].id, 1, "here"))
    replayed = report(1).model_copy(update={"replayed": True})
    progress.take(Progressed(made.trials[0].id, replayed))
    clock[0] = 10.0
    assert progress.forecast_s() is None


def test_a_log_has_a_line_for_each_finished_trial_and_for_a_lost_worker(clock: list[float]) -> None:
    made, out = expansion(), io.StringIO()
    done = {made.trials[0].id: record(made.trials[0].id)}
    lines = display.LineDisplay(make_plan(made, done), say=lambda line: print(line, file=out))
    trial = made.trials[1]
    lines.on_event(Started(trial.id, 1, "here"))
    lines.on_event(started := Started(trial.id, 2, "there"))
    lines.tell(started, "goes on from its checkpoint")
    lines.on_event(Finished(trial.id, outcome(0.815)))
    assert out.getvalue().splitlines() == [
        "EMA · regular · seed 0: goes on from its checkpoint",
        "[2/8] ✓ EMA · regular · seed 0: completed  probe/top1 81.5 %",
    ]


def test_the_live_table_shows_epoch_loss_rank_and_what_is_done(clock: list[float]) -> None:
    made = expansion()
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    live = display.LiveDisplay(make_plan(made, {}), console=console)
    trial = made.trials[0]
    live.on_event(Started(trial.id, 1, "here"))
    live.on_event(Progressed(trial.id, report(1, **{"train/loss": -1.25, "F/rankme": 7.5})))
    picture = Console(file=io.StringIO(), width=100)
    picture.print(live)
    live.close()
    text = picture.file.getvalue()  # type: ignore[attr-defined]
    assert all(part in text for part in ("EMA · symmetric · seed 0", "1/2", "-1.250", "7.5"))
    assert "0/8 done · 1 running" in text


def test_the_live_table_has_the_seeds_that_only_some_cells_have(clock: list[float]) -> None:
    made = expansion(table_yaml() + "cell_seeds: [{where: {ema: EMA}, seeds: 4}]\n")
    live = display.LiveDisplay(make_plan(made, {}), console=Console(file=io.StringIO(), force_terminal=True))
    lines = picture_of(live).splitlines()
    live.close()
    assert lines[0].split() == ["seed", "0", "1", "2", "3"]
    assert [line.count("·") for line in lines[1:5]] == [5, 5, 3, 3]  # one of them in the label


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.4, "59s"), (60, "1m 00s"), (3599, "59m 59s"), (3900, "1h 05m")]
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_forecast_waits_for_a_whole_trial_and_does_not_count_the_start_of_ray(clock: list[float]) -> None:
    made = expansion()
    progress = display.Progress(make_plan(made, {}))
    clock[0] = 40.0  # Ray starts
    progress.take(Started(made.trials[0].id, 1, "here"))
    clock[0] = 49.0
    progress.take(Progressed(made.trials[0].id, report(1)))
    assert progress.forecast_s() is None  # the first epoch is slow
    clock[0] = 50.0
    progress.take(Finished(made.trials[0].id, outcome()))
    assert progress.forecast_s() == pytest.approx(70.0)
    slow = display.Progress(make_plan(made, {}))
    slow.take(Started(made.trials[0].id, 1, "here"))
    clock[0] += 100.0
    slow.take(Progressed(made.trials[0].id, report(1)))
    assert slow.forecast_s() == pytest.approx(1500.0)  # nobody waits an hour for a first word


def test_ctrl_c_is_answered_inside_the_live_table_and_ends_its_forecast(
    clock: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    made = expansion()
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with stop_signals() as stop:
        live = display.LiveDisplay(make_plan(made, {}), console=console)
        live.on_event(Started(made.trials[0].id, 1, "here"))
        clock[0] = 10.0
        live.on_event(Finished(made.trials[0].id, outcome()))
        assert "about 1m 10s left" in picture_of(live)
        stop.take(signal.SIGINT)
        assert "left" not in picture_of(live).splitlines()[-2]
        assert "stopping; Ctrl-C (again) stops at once" in picture_of(live)
        live.close()
        assert capfd.readouterr().err == ""
        assert stop.answers


def test_a_forecast_falls_while_nothing_happens_and_does_not_climb_for_a_little_noise(
    clock: list[float],
) -> None:
    made = expansion()
    progress = display.Progress(make_plan(made, {}))
    before = float("inf")
    for trial, seconds in zip(made.trials, (10.0, 10.5, 9.8, 10.2), strict=False):
        progress.take(Started(trial.id, 1, "here"))
        clock[0] += seconds
        progress.take(Finished(trial.id, outcome()))
        told = progress.forecast_s()
        assert told is not None and told < before
        clock[0] += 0.1
        assert progress.forecast_s() == pytest.approx(told - 0.1)
        before = told


def test_a_forecast_grows_where_trials_are_much_slower_than_those_before(clock: list[float]) -> None:
    made = expansion()
    progress = display.Progress(make_plan(made, {}))
    for seconds in (10.0, 100.0):
        trial = made.trials[int(seconds > 10)]
        progress.take(Started(trial.id, 1, "here"))
        clock[0] += seconds
        progress.take(Finished(trial.id, outcome()))
    assert progress.forecast_s() == pytest.approx(110.0 / 2 * 6)


def test_what_is_left_of_a_trial_falls_until_its_next_epoch(clock: list[float]) -> None:
    made = expansion()
    progress = display.Progress(make_plan(made, {}))
    progress.take(Started(made.trials[0].id, 1, "here"))
    clock[0] = 10.0
    progress.take(Progressed(made.trials[0].id, report(1)))
    clock[0] = 13.0
    ((_, one),) = progress.rows()
    assert one.left_s() == pytest.approx(7.0)


def test_cells_and_seeds_fill_up(clock: list[float]) -> None:
    made = expansion()
    first, second, third = made.trials[:3]
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    live = display.LiveDisplay(make_plan(made, {first.id: record(first.id)}), console=console)
    assert "waiting for workers" in picture_of(live)
    for trial in (second, third):
        live.on_event(Started(trial.id, 1, "here"))
    assert "waiting" not in picture_of(live)
    live.on_event(Progressed(second.id, report(1)))
    live.on_event(Finished(third.id, outcome(status="collapsed", reason="rank 1.2 of 16")))
    text = picture_of(live)
    live.close()
    signs = {(trial.cell.label, trial.seed): "·" for trial in made.trials}
    signs |= {(t.cell.label, t.seed): sign for t, sign in ((first, "✓"), (second, "▅"), (third, "†"))}
    rows = [line.rstrip() for line in text.splitlines()]
    for cell in made.cells:
        wanted = " ".join(signs[cell.label, seed] for seed in made.seeds)
        assert any(row.startswith(f"  {cell.label} ") and row.endswith(wanted) for row in rows)
    assert "† collapsed" in text and "running" in text


def test_of_more_cells_than_fit_those_that_run_are_shown(clock: list[float]) -> None:
    made = expansion()
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=10)
    live = display.LiveDisplay(make_plan(made, {}), console=console)
    last = made.trials[-1]
    live.on_event(Started(last.id, 1, "here"))
    text = picture_of(live)
    live.close()
    assert f"  {last.cell.label}" in text and f"and {len(made.cells) - 1} more cells" in text


def test_a_rank_that_falls_is_a_line_that_falls() -> None:
    assert sparkline([8, 8, 4, 1]) == "██▅▂" and sparkline([]) == "" and sparkline([0.0]) == ""
    assert len(sparkline(range(100))) == 16


@pytest.mark.parametrize("width", [1, 7, 40, 1000])
def test_the_live_table_fits_any_width_and_shows_no_escape_of_a_trial(width: int, clock: list[float]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)
    made = expansion()
    live = display.LiveDisplay(make_plan(made, {}), console=console)
    live.on_event(Started(made.trials[0].id, 1, "here"))
    live.on_event(Finished(made.trials[0].id, outcome(reason="\x1b[31m\x9b")))
    assert all(len(line) <= width for line in picture_of(live, width=width).splitlines())
    live.close()
    assert "\x1b[31m" not in console.file.getvalue() and "\x9b" not in console.file.getvalue()  # type: ignore[attr-defined]


def picture_of(live: display.LiveDisplay, *, width: int = 100) -> str:
    picture = Console(file=io.StringIO(), width=width)
    picture.print(live)
    return picture.file.getvalue()  # type: ignore[attr-defined, no-any-return]
