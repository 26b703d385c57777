from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import SpecError, UsageError
from orchestrator.planning.expand import Expansion, expand
from orchestrator.planning.losses import overruled
from orchestrator.planning.trials import trial_id
from tests.builders import TINY, expansion, sweep, table_yaml, yaml


def cells(text: str, **options: object) -> Expansion:
    return expand(sweep(text), **options)  # type: ignore[arg-type]


def labels(text: str) -> list[str]:
    return [cell.label for cell in cells(text).cells]


TWO_AXES = yaml(
    TINY,
    """
    axes:
      m: {path: method.momentum, values: [0, 0.5, 0.9]}
      lr: {path: optimizer.lr, values: [0.1, 0.2]}
    """,
)


def test_a_grid_has_every_combination_once() -> None:
    assert labels(TWO_AXES) == [f"{m} · {lr}" for m in ("0", "0.5", "0.9") for lr in ("0.1", "0.2")]


def test_one_at_a_time_is_the_base_and_each_level_alone() -> None:
    text = TWO_AXES + "design: one_at_a_time\n"
    assert labels(text) == ["base", "0", "0.5", "0.9", "0.1", "0.2"]


def test_a_level_equal_to_the_base_shares_the_trial_of_the_base() -> None:
    text = TWO_AXES.replace("name: byol,", "name: byol, momentum: 0.5,") + "design: one_at_a_time\n"
    made = cells(text)
    assert (len(made.cells), len(made.trials)) == (6, 5)
    assert made.cells[0].id == made.cells[2].id


def test_leave_one_out_is_everything_and_everything_but_one_part() -> None:
    text = yaml(
        TINY,
        """
        axes:
          ema: {EMA: {method.momentum: 0.9}}
          symmetric: {symmetric: {method.predictor.symmetric: true}}
        design: leave_one_out
        """,
    )
    assert labels(text) == ["EMA · symmetric", "symmetric", "EMA"]


def test_zipped_paths_move_together() -> None:
    text = yaml(TINY) + "axes: {z: {zip: {epochs: [1, 2], optimizer.lr: [0.1, 0.2]}}}\n"
    configs = [cell.config().model_dump() for cell in cells(text).cells]
    assert [(c["epochs"], c["optimizer"]["lr"]) for c in configs] == [(1, 0.1), (2, 0.2)]


def test_a_conditional_axis_applies_only_where_its_condition_holds() -> None:
    text = yaml(
        TINY,
        """
        axes:
          method: {BYOL: {}, SimSiam: {method: {name: simsiam, predictor.hidden: 16}}}
          m: {when: {method: BYOL}, path: method.momentum, values: [0.5, 0.9]}
        """,
    )
    assert labels(text) == ["BYOL · 0.5", "BYOL · 0.9", "SimSiam"]


def test_more_samples_keep_the_first_ones() -> None:
    def drawn(number: int) -> list[str]:
        axis = f"axes: {{lr: {{path: optimizer.lr, loguniform: [1e-3, 1], samples: {number}}}}}\n"
        return labels(yaml(TINY) + axis)

    assert drawn(5)[:3] == drawn(3)
    assert len(set(drawn(20))) == 20
    assert all(1e-3 <= float(label) <= 1 for label in drawn(20))


@pytest.mark.parametrize("sampler", ["uniform: [0.1, 0.9]", "integers: [1, 9]", "choice: [3, 4, 5, 6, 7, 8]"])
def test_every_sampler_stays_in_its_range(sampler: str) -> None:
    path = "method.momentum" if "uniform" in sampler else "epochs"
    text = yaml(TINY) + f"axes: {{x: {{path: {path}, {sampler}, samples: 3, sample_seed: 2}}}}\n"
    values = [float(label) for label in labels(text)]
    assert all(0.1 <= value <= 9 for value in values)


def test_dotted_and_nested_settings_are_equal() -> None:
    dotted = yaml(TINY) + "axes: {a: {x: {method.predictor.hidden: 4}}}\n"
    nested = yaml(TINY) + "axes: {a: {x: {method: {predictor: {hidden: 4}}}}}\n"
    assert cells(dotted).trials[0].id == cells(nested).trials[0].id


def test_a_new_name_starts_its_block_afresh_and_the_same_name_does_not() -> None:
    other = yaml(TINY) + "axes: {e: {x: {encoder.name: convnet}, y: {encoder: {name: mlp}}}}\n"
    fresh, same = (cell.config().model_dump()["encoder"] for cell in cells(other).cells)
    assert "widths" not in fresh
    assert same["widths"] == (16,)


def test_what_a_common_family_of_methods_shares_survives_a_new_name() -> None:
    text = yaml(TINY).replace("name: byol, predictor", "name: byol, momentum: 0.5, loss_scale: 2, predictor")
    text += "axes: {m: {family: {method.name: directpred}, other: {method: {name: moco, momentum: 0.9}}}}\n"
    family, other = (cell.config().model_dump()["method"] for cell in cells(text).cells)
    assert (family["momentum"], family["loss_scale"]) == (0.5, 2)
    assert other["momentum"] == 0.9  # said again: it is no BYOL, whose momentum means another thing


def test_a_bare_name_is_short_for_a_block_with_that_name() -> None:
    text = yaml(TINY) + "axes: {e: {x: {encoder: convnet}, y: {encoder: {name: convnet}}}}\n"
    first, second = cells(text).cells
    assert first.id == second.id


def test_a_profile_lies_over_the_base_and_under_the_axes() -> None:
    text = TWO_AXES + "profiles: {p: {optimizer.lr: 0.7, epochs: 9}}\n"
    config = cells(text, profile="p").cells[0].config().model_dump()
    assert (config["optimizer"]["lr"], config["epochs"]) == (0.1, 9)


def test_set_lies_over_the_profile_and_under_the_axes() -> None:
    text = TWO_AXES + "profiles: {p: {epochs: 9}}\n"
    made = cells(text, profile="p", changes={"epochs": 4, "optimizer.lr": 0.7})
    config = made.cells[0].config().model_dump()
    assert (config["optimizer"]["lr"], config["epochs"]) == (0.1, 4)


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'laptop'"):
        cells(TWO_AXES + "profiles: {laptop: {epochs: 9}}\n", profile="laptp")


def test_a_child_file_changes_only_what_it_says() -> None:
    parent = table_yaml()
    child = "extends: parent.yaml\nname: child\nbase: {epochs: 7}\nseeds: 1\n"
    spec = sweep(child, {"parent.yaml": parent})
    config = expand(spec).cells[0].config().model_dump()
    assert (spec.name, len(spec.axes), config["epochs"], config["batch_size"]) == ("child", 2, 7, 64)


def test_a_childs_profile_lies_over_its_parents_profile_of_that_name() -> None:
    parent = yaml(TINY) + "profiles: {p: {epochs: 9, optimizer.lr: 0.7}, q: {epochs: 3}}\n"
    child = "extends: parent.yaml\nname: child\nprofiles: {p: {epochs: 5}}\n"
    spec = sweep(child, {"parent.yaml": parent})
    config = expand(spec, profile="p").cells[0].config().model_dump()
    assert (config["epochs"], config["optimizer"]["lr"]) == (5, 0.7)
    assert expand(spec, profile="q").cells[0].config().model_dump()["epochs"] == 3


def test_trials_come_seed_by_seed_so_that_every_cell_has_a_number_early() -> None:
    assert [trial.seed for trial in expansion().trials] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_more_seeds_keep_the_ids_of_the_first() -> None:
    few, many = expansion(seeds=[0, 1]), expansion(seeds=range(5))
    assert {t.id for t in few.trials} < {t.id for t in many.trials}


def test_the_fast_id_of_a_trial_is_the_id_of_its_config() -> None:
    for text in (table_yaml(), TWO_AXES):
        for trial in cells(text, seeds=[0, 7]).trials:
            assert trial.id == trial_id(trial.config)
            assert trial.config.seed == trial.seed


def test_a_sampler_draws_no_value_twice_and_more_samples_keep_the_first() -> None:
    def drawn(samples: int) -> list[str]:
        text = yaml(TINY) + f"axes: {{w: {{path: batch_size, integers: [16, 20], samples: {samples}}}}}\n"
        return list(sweep(text).axes["w"].labels)

    assert drawn(5)[:3] == drawn(3) and sorted(drawn(5)) == ["16", "17", "18", "19", "20"]
    with pytest.raises(SpecError, match="only 5 different values to draw, 'samples' asks for 6"):
        drawn(6)


# Cells of another trainer

ARMS = yaml(
    """
    version: 1
    name: arms
    base: {trainer: modes, eta: 0.02, time: 5}
    profiles:
      long: {time: 50}
    axes:
      arm:
        one mode: {}
        matrices: {trainer: linear_dynamics, size: 4, time: 7}
      α_p: {path: alpha_p, values: [1.0, 2.0]}
      β:
        when: {arm: [matrices]}
        path: beta
        values: [0.4, null]
    """
)


def test_a_level_may_choose_another_trainer_and_starts_from_nothing_but_the_levels() -> None:
    made = cells(ARMS, profile="long")
    kinds = [(cell.config().trainer, cell.label) for cell in made.cells]
    assert [kind for kind, _ in kinds] == ["modes"] * 2 + ["linear_dynamics"] * 4
    one, matrices = made.cells[1].config(), made.cells[4].config()
    assert (one.eta, one.time, one.alpha_p) == (0.02, 50, 2.0)  # type: ignore[attr-defined]
    assert (matrices.eta, matrices.time, matrices.alpha_p) == (0.04, 7, 2.0)  # type: ignore[attr-defined]
    assert [trial_id(cell.config(3)) for cell in made.cells] == [cell.trial_id(3) for cell in made.cells]


def test_a_profile_of_one_trainer_does_not_move_the_trials_of_another() -> None:
    ids = [
        {t.id for t in cells(ARMS, profile=p).trials if t.cell.loop.__module__.endswith("dynamics")}
        for p in (None, "long")
    ]
    assert ids[0] == ids[1] and len(ids[0]) == 4


def test_a_setting_that_the_chosen_trainer_does_not_have_is_an_error_at_its_line() -> None:
    with pytest.raises(SpecError, match=r"sweep.yaml:10: sise: no such field; did you mean 'size'"):
        cells(ARMS.replace("size: 4", "sise: 4"))
    wrong = ARMS.replace("trainer: linear_dynamics", "trainer: matrices").replace("eta: 0.02", "eta: -1")
    with pytest.raises(
        SpecError, match=r"sweep.yaml:10: trainer: no trainer named 'matrices'; available"
    ) as caught:
        cells(wrong)
    assert "eta: " in str(caught.value)  # what else is wrong is told with it


def test_fields_that_do_not_go_together_are_an_error_at_the_line_of_one() -> None:
    with pytest.raises(SpecError, match=r"sweep.yaml:10: data: expected 4 eigenvalues"):
        cells(ARMS.replace("size: 4", "size: 4, data: [1.0]"), default_place="sweep.yaml:1")


def test_a_change_of_the_command_line_does_not_reach_cells_of_another_trainer_and_that_is_told() -> None:
    made = cells(ARMS, changes={"time": 9})
    assert dict(overruled(made)) == {"time": 4}
    assert [cell.config().time for cell in made.cells] == [9, 9, 7, 7, 7, 7]  # type: ignore[attr-defined]


PICKY = '''"""A trainer that refuses a width by a validator of its own, and is never run."""

from typing import Literal

from pydantic import field_validator

from trainers.config.base import LoopConfig


class Config(LoopConfig):
    trainer: Literal["picky"] = "picky"
    width: int = 8

    @field_validator("width")
    @classmethod
    def _even(cls, width: int) -> int:
        if width % 2:
            raise ValueError(f"{width} is odd")
        return width


def fit(config, runtime, folder, report):
    raise NotImplementedError
'''


def test_what_a_trainers_own_validator_refuses_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(PICKY)
    head = f"version: 1\nname: t\nplugins: [{tmp_path / 'picky.py'}]\nbase: {{trainer: picky}}\n"
    with pytest.raises(SpecError) as caught:
        expansion(head + "axes: {w: {path: width, values: [14, 15]}, s: {x: {}, y: {}}}\n")
    assert str(caught.value) == "sweep.yaml:5: width: 15 is odd"
    assert len(expansion(head + "axes: {w: {path: width, values: [14, 16]}}\n").cells) == 2
