"""From rehearsals to shares of a GPU and the end of a sweep, in plain numbers."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.language.resources import SweepResources, TrialResources
from orchestrator.rehearsal.forecast import (
    FILLED,
    Forecast,
    Measurement,
    cost_classes,
    forecast,
    needs_of,
    packing_note,
    resolve_auto,
)
from tests.builders import AXES, TINY, expansion, yaml
from trainers.attempt.rehearsal import Cost

AXIS = "axes: {a: {path: %s, values: [%s]}}\n"


def cost(**more: float) -> Cost:
    """Ten seconds of epoch, five at the end, 8 of 80 GiB of a GPU."""
    values = {"start_s": 0.0, "epoch_s": 10.0, "end_s": 5.0, "step_s": 0.1, "host_gib": 2.0}
    return Cost(**(values | {"gpu_gib": 8.0, "room_gib": 80.0} | more))  # type: ignore[arg-type]


def found(paces: dict[int, float] | None = None, **more: float) -> Measurement:
    return Measurement(cost(**more), paces or {1: 10.0})


def kinds_of(path: str, values: str) -> int:
    asked = expansion(yaml(TINY) + AXIS % (path, values))
    return len(cost_classes(asked.trials, {trial.id: TrialResources() for trial in asked.trials}))


def test_trials_that_differ_in_seed_epochs_and_rates_cost_the_same() -> None:
    assert kinds_of("optimizer.lr", "0.1, 0.2, 0.3") == 1
    assert kinds_of("epochs", "2, 30") == 1
    asked = expansion().trials
    assert len(cost_classes(asked, {trial.id: TrialResources() for trial in asked})) == len(expansion().cells)


def test_trials_that_differ_in_sizes_names_and_what_is_zero_do_not() -> None:
    assert kinds_of("method.predictor.hidden", "8, 16, 32") == 3
    assert kinds_of("precision", "fp32, bf16") == 2
    assert kinds_of("method.momentum", "0.0, 0.5, 0.9") == 2


def test_trials_with_other_needs_are_of_another_kind() -> None:
    asked = expansion(yaml(TINY) + AXIS % ("optimizer.lr", "0.1, 0.2")).trials
    needs = {trial.id: TrialResources(cpus=1 + index) for index, trial in enumerate(asked)}
    assert len(cost_classes(asked, needs)) == 2


@pytest.mark.parametrize("trainer", ["modes", "linear_dynamics", "hltm"])
def test_trials_that_use_no_gpu_ask_for_none_unless_the_file_says_so(trainer: str) -> None:
    (trial,) = expansion(f"version: 1\nname: tiny\nbase: {{trainer: {trainer}}}\nseeds: 1\n").trials
    for asked, share in ((None, 0.0), ("auto", 0.0), (0.5, 0.5)):
        needs = needs_of([trial], SweepResources(gpus=asked), gpus=1.0)[trial.id]
        assert needs.share == share and not needs.is_open
    (other,) = expansion(yaml(TINY) + "seeds: 1\n").trials
    assert needs_of([other], SweepResources(), gpus=1.0)[other.id].share == 1.0


@pytest.mark.parametrize(
    ("paces", "together"),
    [
        ({1: 10.0}, 1),
        ({1: 10.0, 2: 19.0, 4: 30.0, 8: 31.0}, 4),  # the eighth gets nothing more done
        ({1: 10.0, 2: 10.5}, 1),
        ({1: 10.0, 2: 18.0, 4: 17.0, 8: 40.0}, 2),  # what lies behind a step down is not trusted
    ],
)
def test_as_many_trials_share_a_gpu_as_get_more_done_together(paces: dict[int, float], together: int) -> None:
    assert found(paces).together == together
    assert resolve_auto(TrialResources(gpus="auto"), found(paces)).share == pytest.approx(
        1 / together, abs=1e-4
    )


def test_shares_never_add_up_to_more_memory_than_was_free() -> None:
    kinds_on_one_gpu = [cost(gpu_gib=gib, room_gib=80.0) for gib in (0.3, 7.9, 11.0, 26.0, 60.0)]
    paces = {count: float(count) for count in (1, 2, 4, 8, 16, 32, 64)}
    for together in itertools.combinations_with_replacement(kinds_on_one_gpu, 4):
        shares = [
            resolve_auto(TrialResources(gpus="auto"), Measurement(one, paces)).share for one in together
        ]
        if sum(shares) <= 1:
            assert sum(one.gpu_gib or 0.0 for one in together) <= FILLED * 80.0


def test_equal_shares_fill_a_whole_gpu() -> None:
    for together in (1, 2, 4, 8, 16):
        paces = {n: float(n) for n in (1, 2, 4, 8, 16) if n <= together}
        share = resolve_auto(TrialResources(gpus="auto"), found(paces, gpu_gib=0.1)).share
        assert together * share <= 1 < (together + 1) * share


def test_a_trial_too_large_for_sharing_gets_a_whole_gpu() -> None:
    assert resolve_auto(TrialResources(gpus="auto"), found({1: 1.0, 2: 2.0}, gpu_gib=79.0)).share == 1.0


def test_only_what_is_open_is_settled() -> None:
    own = resolve_auto(TrialResources(cpus=3, gpus=0.5, memory_gib="auto"), found())
    assert (own.cpus, own.gpus) == (3, 0.5)
    assert own.memory_gib == pytest.approx(2.3)
    assert not own.is_open
    assert resolve_auto(TrialResources(gpus=0.5, memory_gib=7), found()) == TrialResources(
        gpus=0.5, memory_gib=7
    )


def test_a_share_is_asked_of_a_gpu_only_where_there_is_one() -> None:
    assert SweepResources(gpus="auto").of({}, gpus=0.0).share == 0
    assert SweepResources(gpus="auto").of({}, gpus=1.0).is_open
    assert SweepResources(gpus=0.5).with_auto == SweepResources(gpus=0.5, memory_gib="auto")


def made(
    nodes: list[dict[str, float]], one: Measurement, *, needs: TrialResources, most: int | None = None
) -> Forecast:
    """The forecast of four trials of one kind."""
    asked = expansion(yaml(TINY, AXES), seeds=range(4)).trials[:4]
    own = cost_classes(asked, {trial.id: needs for trial in asked})
    return forecast({kind.name: one for kind in own}, own, asked, nodes, most=most)


def test_the_end_is_when_the_last_trial_ends_that_waited_for_room() -> None:
    one_trial = 2 * 10.0 + 5.0
    alone = made([{"CPU": 1.0}], found(), needs=TrialResources(gpus=0))
    assert (alone.wall_s, alone.together) == (4 * one_trial, 1)
    two = made([{"CPU": 2.0}], found(), needs=TrialResources(gpus=0))
    assert (two.wall_s, two.together) == (2 * one_trial, 2)
    assert made([{"CPU": 2.0}], found(), needs=TrialResources(gpus=0), most=1).wall_s == 4 * one_trial
    assert made([{"CPU": 1.0}, {"CPU": 8.0}], found(), needs=TrialResources(gpus=0)).wall_s == one_trial
    assert two.cpu_hours == pytest.approx(4 * one_trial / 3600)
    assert two.gpu_hours == 0


def test_a_share_must_fit_on_one_gpu() -> None:
    # Two halves are free here, but no GPU has 0.6 of itself twice.
    two_gpus = made([{"CPU": 8.0, "GPU": 2.0}], found(), needs=TrialResources(gpus=0.6))
    assert two_gpus.together == 2


def test_trials_that_share_a_gpu_take_longer_each_and_cost_their_share() -> None:
    paces = {1: 10.0, 2: 16.0}
    both = made([{"CPU": 8.0, "GPU": 1.0}], found(paces), needs=TrialResources(gpus="auto"))
    assert both.together == 2
    assert both.rows[0].trial_s == pytest.approx(25.0 * 2 * 10 / 16)
    assert both.wall_s == pytest.approx(2 * 25.0 * 2 * 10 / 16)
    assert both.gpu_hours == pytest.approx(4 * 25.0 * 10 / 16 / 3600)


def test_every_worker_pays_its_start_once() -> None:
    slow = found(start_s=100.0)
    assert made([{"CPU": 2.0}], slow, needs=TrialResources(gpus=0)).wall_s == 100.0 + 2 * 25.0


def test_trials_are_slowed_by_those_that_really_share_their_gpu() -> None:
    paces = {1: 10.0, 2: 16.0}
    node = [{"CPU": 8.0, "GPU": 1.0}]
    # Twenty would fit, four there are; two, where no more may run; one, where cores allow no more.
    four = made(node, found(paces), needs=TrialResources(gpus=0.05))
    assert four.rows[0].trial_s == pytest.approx(25.0 * 4 * 10 / 16)
    alone = made(node, found(paces), needs=TrialResources(gpus="auto"), most=1)
    assert (alone.wall_s, alone.rows[0].trial_s) == (100.0, 25.0)
    assert made([{"CPU": 1.0, "GPU": 1.0}], found(paces), needs=TrialResources(gpus=0.25)).wall_s == 100.0
    assert (
        made([{"CPU": 8.0, "GPU": 4.0}], found(paces), needs=TrialResources(gpus=0.25)).rows[0].trial_s
        == 25.0
    )


def test_what_was_not_rehearsed_to_its_end_shares_no_gpu() -> None:
    cut = Measurement(cost().model_copy(update={"whole": False}), {1: 1.0, 2: 2.0, 4: 4.0})
    assert resolve_auto(TrialResources(gpus="auto"), cut).share == 1.0
    assert "shares no GPU" in packing_note("a cell", resolve_auto(TrialResources(gpus="auto"), cut), cut)


def test_loops_without_epochs_cost_what_their_real_numbers_say() -> None:
    asked = expansion(
        yaml("""
        version: 1
        name: times
        base: {trainer: linear_dynamics}
        axes: {time: {path: time, values: [20.0, 200.0]}}
    """)
    ).trials
    assert len(cost_classes(asked, {trial.id: TrialResources() for trial in asked})) == 2
