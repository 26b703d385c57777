"""A rehearsal trains the trial itself, looks at it from outside, and leaves no trace of it."""

from __future__ import annotations

import pytest

from tests.trainers.builders import RUNTIME, config
from trainers.attempt import rehearsal
from trainers.attempt.isolation import run_trial
from trainers.attempt.rehearsal import RehearsalError, pace, rehearse
from trainers.loops import hltm

MANY_STEPS = config(data={"name": "shapes", "size": 8, "train": 4096, "test": 40}, batch_size=16, epochs=50)


def test_a_rehearsal_finds_start_epoch_end_step_and_memory() -> None:
    cost = rehearse(MANY_STEPS, runtime=RUNTIME)
    assert cost.whole
    assert cost.epoch_s > 0 < cost.end_s
    assert cost.step_s is not None
    # 256 steps, the views of each between two of them, and the spectra after the last.
    assert 0.3 * cost.epoch_s < 256 * cost.step_s <= 1.5 * cost.epoch_s
    assert 0.05 < cost.host_gib < 8
    assert (cost.gpu_gib, cost.room_gib) == (None, None)


def test_a_trial_costs_its_epochs_and_one_end() -> None:
    cost = rehearse(config(), runtime=RUNTIME)
    assert cost.of(10) == pytest.approx(10 * cost.epoch_s + cost.end_s)
    assert cost.of(0) == cost.end_s


def test_an_epoch_beyond_the_limit_is_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "WARM_S", 0.05)
    cost = rehearse(MANY_STEPS, runtime=RUNTIME, limit_s=1e-3)
    assert not cost.whole
    assert cost.end_s == 0
    assert cost.step_s is not None
    assert cost.epoch_s == pytest.approx(256 * cost.step_s)


def test_the_evaluations_own_optimizer_is_no_step_of_training() -> None:
    # Sixteen steps of training; the probe takes two hundred.
    trial = config(
        data={"name": "shapes", "size": 8, "train": 64, "test": 40}, batch_size=4, probe={"epochs": 200}
    )
    cost = rehearse(trial, runtime=RUNTIME)
    assert cost.step_s is not None
    assert cost.step_s * 16 < 2 * cost.epoch_s < cost.end_s * 20


@pytest.mark.slow
def test_a_loop_without_an_optimizer_is_rehearsed_by_its_epochs() -> None:
    cost = rehearse(hltm.Config(depth=3, hidden=2, epochs=7), runtime=RUNTIME)
    assert cost.step_s is None
    assert cost.epoch_s > 0
    assert (
        pace(hltm.Config(depth=3, hidden=2, epochs=1), runtime=RUNTIME, ready=lambda: None, window_s=0.1)
        is None
    )


@pytest.mark.slow
def test_a_trial_that_fails_fails_its_rehearsal_with_the_same_reason() -> None:
    with pytest.raises(RehearsalError, match="batch_size 256 exceeds the 64 training images"):
        rehearse(config(batch_size=256), runtime=RUNTIME)
    with pytest.raises(RehearsalError, match="batch_size 256 exceeds"):
        pace(config(batch_size=256), runtime=RUNTIME, ready=lambda: None, window_s=0.1)


@pytest.mark.slow
def test_a_trial_after_a_rehearsal_has_the_numbers_of_one_before() -> None:
    def numbers() -> dict[str, float]:
        outcome = run_trial(config(), runtime=RUNTIME, folder=None, report=lambda message: None)
        return {k: v for k, v in outcome.metrics.items() if not k.startswith("time/")}

    before = numbers()
    rehearse(config(epochs=50), runtime=RUNTIME)
    pace(MANY_STEPS, runtime=RUNTIME, ready=lambda: None, window_s=0.1)
    assert numbers() == before


@pytest.mark.slow
def test_a_pace_is_counted_from_when_all_are_ready() -> None:
    asked: list[bool] = []
    steps_per_s = pace(MANY_STEPS, runtime=RUNTIME, ready=lambda: asked.append(True), window_s=0.3)
    assert asked == [True]
    assert steps_per_s is not None
    assert steps_per_s > 1


def test_a_trial_too_short_for_a_pace_has_none() -> None:
    assert pace(config(epochs=1), runtime=RUNTIME, ready=lambda: None, window_s=0.1) is None
