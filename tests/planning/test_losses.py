"""No setting is lost in silence: what a level undoes is an error, or it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.answer.tables import tabulate
from orchestrator.commands.request import Request
from orchestrator.commands.screen.grid import plan_text, validated
from orchestrator.errors import SpecError
from orchestrator.language.load import load
from orchestrator.planning.expand import expand
from orchestrator.planning.find import find_trials
from orchestrator.planning.plan import make_plan
from tests.builders import TINY, expansion, sweep, yaml

BASE = yaml(TINY).replace("predictor: {hidden: 16}", "predictor.kind: linear")
PREDICTOR = """
  predictor: {symmetric: {method.predictor.symmetric: true}, free: {method.predictor.symmetric: false}}
"""


def problems(text: str, **options: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        expand(sweep(text), default_place="sweep.yaml:1", **options)  # type: ignore[arg-type]
    return str(caught.value).splitlines()


def test_a_level_that_discards_what_base_and_another_axis_set_names_both_and_two_ways_out() -> None:
    found = problems(BASE + f"axes:{PREDICTOR}  method: {{BYOL: {{}}, SimSiam: {{method.name: simsiam}}}}\n")
    discards = "sweep.yaml:16: method.name: level 'SimSiam' of axis 'method' discards method.predictor"
    again = "set it again beside method.name, or move"
    assert found == [
        f"{discards}.kind: linear of the base (sweep.yaml:6), and it becomes mlp; {again} it to an axis that "
        "says with `when:` where it applies",
        f"{discards}.symmetric: true of axis 'predictor' (sweep.yaml:15), and it becomes false; {again} axis "
        "'predictor' below 'method', with `when:` where it applies",
    ]


def test_a_bare_name_discards_as_a_block_with_that_name_does() -> None:
    (line,) = problems(BASE + "axes: {method: {BYOL: {}, SimSiam: {method: simsiam}}}\n")
    assert line.startswith("sweep.yaml:14: method.name: level 'SimSiam' of axis 'method' discards")


UNNAMED = yaml(TINY) + "  optimizer: {lr: 0.5, weight_decay: 0.01}\n"
NAMINGS = ("optimizer: %s", "optimizer.name: %s", "optimizer: {name: %s}")


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_name_over_a_block_without_one_is_a_change_from_the_default(naming: str) -> None:
    lars, sgd = (f"axes: {{o: {{none: {{}}, named: {{{naming % name}}}}}}}\n" for name in ("lars", "sgd"))
    found = problems(UNNAMED + lars)
    assert [line.partition("; ")[0] for line in found] == [
        "sweep.yaml:15: optimizer.name: level 'named' of axis 'o' discards optimizer.lr: 0.5 of the base "
        "(sweep.yaml:14), and it becomes 0.2",
        "sweep.yaml:15: optimizer.name: level 'named' of axis 'o' discards optimizer.weight_decay: 0.01 of "
        "the base (sweep.yaml:14), and it becomes 1.5e-06",
    ]
    (one,) = {cell.id for cell in expansion(UNNAMED + sgd).cells}
    assert one == expansion(UNNAMED).cells[0].id


@pytest.mark.parametrize("naming", NAMINGS)
def test_the_default_name_is_changed_by_profiles_files_and_what_is_typed_too(
    naming: str, tmp_path: Path
) -> None:
    (line, _) = problems(UNNAMED + f"profiles: {{p: {{{naming % 'lars'}}}}}\n", profile="p")
    assert "profile 'p' discards optimizer.lr: 0.5 of the base" in line
    (line,) = extending(UNNAMED + "profiles: {p: {}}\n", f"base: {{{naming % 'lars'}}}\n")
    assert "discards optimizer.weight_decay: 0.01 of the base of a.yaml" in line
    (file := tmp_path / "s.yaml").write_text(UNNAMED)
    told = Request(file, changes=["optimizer=lars"]).headline
    assert "--set optimizer.name discards optimizer.lr: 0.5 of the base, and it becomes 0.2" in told
    made = expansion(UNNAMED, changes={"optimizer": "sgd"})
    assert made.cells[0].id == expansion(UNNAMED).cells[0].id


def test_a_bare_name_keeps_what_is_said_of_a_block_that_has_no_default_name() -> None:
    text = yaml(TINY).replace("name: shapes, size: 8", "size: 8")
    named = expansion(text + "axes: {d: {shapes: {data: shapes}}}\n")
    assert named.cells[0].id == expansion(yaml(TINY)).cells[0].id


def test_a_trainer_whose_optimizer_is_no_plug_in_keeps_what_is_said_beside_its_name(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_TRAINER)
    text = f"""
version: 1
name: t
plugins: [{tmp_path / "own.py"}]
base: {{trainer: own, optimizer: {{lr: 0.5}}, teacher: {{widths: [16]}}}}
axes: {{o: {{adam: {{optimizer.name: adam}}, sgd: {{optimizer.name: sgd}}}}, t: {{t: {{teacher: mlp}}}}}}
"""
    configs = [cell.config() for cell in expansion(text).cells]
    assert [one.optimizer.lr for one in configs] == [0.5, 0.5]  # type: ignore[attr-defined]
    assert configs[0].teacher.widths == (16,)  # type: ignore[attr-defined]


OWN_TRAINER = '''"""Trains nothing, with an optimizer of its own kind."""

from typing import Annotated, Literal

from pydantic import SerializeAsAny

from trainers.config.base import Frozen, LoopConfig
from trainers.config.plugins import Plugin
from trainers.encoders.base import EncoderConfig


class Optimizer(Frozen):
    name: Literal["adam", "sgd"] = "adam"
    lr: float = 0.1


class Config(LoopConfig):
    trainer: Literal["own"] = "own"
    optimizer: Optimizer = Optimizer()
    teacher: Annotated[SerializeAsAny[EncoderConfig], Plugin("encoders")]


def fit(config, runtime, folder, report):
    raise NotImplementedError
'''


def test_cells_that_a_level_makes_one_are_an_error() -> None:
    said_again = "{method: {name: simsiam, predictor: {kind: linear, symmetric: true}}}"
    (line,) = problems(BASE + f"axes:{PREDICTOR}  method: {{BYOL: {{}}, SimSiam: {said_again}}}\n")
    assert (
        "'SimSiam' of axis 'method' replaces method.predictor.symmetric of axis 'predictor', so that" in line
    )
    assert "cells 'free · SimSiam' and 'symmetric · SimSiam' become one" in line and "`when:`" in line


def test_a_level_for_which_another_axis_means_nothing_is_an_error() -> None:
    axes = (
        "{m: {path: method.momentum, values: [0.1, 0.9]}, method: {BYOL: {}, SimCLR: {method.name: simclr}}}"
    )
    (line,) = problems(BASE + f"axes: {axes}\n")
    assert "'SimCLR' of axis 'method' discards method.momentum of axis 'm', so that cells" in line


@pytest.mark.parametrize(
    "axes",
    [
        "{method: {BYOL: {}, SimSiam: {method: {name: simsiam, predictor.kind: linear}}},%s}",
        "{method: {BYOL: {}, SimCLR: {method.name: simclr}}, m: {when: {method: BYOL}, "
        "path: method.momentum, values: [0.1, 0.9]}}",
        "{optimizer: {SGD: {}, Adam: {optimizer.name: adam}}, lr: {path: optimizer.lr, values: [0.1, 0.2]}}",
        "{m: {path: method.momentum, values: [0.1, 0.2]}, method: {BYOL: {}, DP: {method: directpred}}}",
    ],
    ids=["below the names", "when", "below", "of a common family"],
)
def test_each_way_out_is_a_way_out(axes: str) -> None:
    made = expansion(BASE + f"axes: {axes.replace('%s', PREDICTOR)}\n")
    assert len({cell.id for cell in made.cells}) == len(made.cells) > 2


def test_a_field_that_the_new_name_does_not_have_is_no_loss() -> None:
    assert len(expansion(BASE + "axes: {m: {BYOL: {}, SimCLR: {method.name: simclr}}}\n").trials) == 2


def test_a_profile_loses_nothing_in_silence_either() -> None:
    (line,) = problems(BASE + "profiles: {p: {method.name: simsiam}}\n", profile="p")
    assert line.startswith("sweep.yaml:14: method.name: profile 'p' discards method.predictor.kind: linear")


def test_a_name_that_is_typed_brings_its_own_defaults() -> None:
    made = expansion(BASE, changes={"method": "simsiam"})
    assert made.cells[0].config().method.predictor.kind == "mlp"  # type: ignore[attr-defined]


def extending(parent: str, child: str) -> list[str]:
    """What is wrong with a sweep of three files, of which the last one changes nothing."""
    files = {"a.yaml": parent, "b.yaml": "extends: a.yaml\nversion: 1\n" + child}
    files["c.yaml"] = "extends: b.yaml\nversion: 1\nbase: {optimizer.lr: 0.2}\n"
    try:
        expand(load("c.yaml", lambda name, child: (name, files[name])), profile="p", default_place="c.yaml:1")
    except SpecError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("child", "by", "line"),
    [
        ("base: {method.name: simsiam}\n", "the base of b.yaml", 3),
        ("profiles: {p: {method: simsiam}}\n", "profile 'p'", 3),
    ],
)
def test_a_file_loses_nothing_in_silence_of_the_file_that_it_extends(child: str, by: str, line: int) -> None:
    (found,) = extending(BASE + "profiles: {p: {epochs: 2}}\n", child)
    of = "the base of a.yaml" if "of b" in by else "the base"
    assert found.startswith(
        f"b.yaml:{line}: method.name: {by} discards method.predictor.kind: linear of {of} (a.yaml:6), and it "
        "becomes mlp; set it again beside method.name, or move it"
    )


def test_a_profile_of_a_file_loses_nothing_in_silence_of_that_which_it_extends() -> None:
    under = "profiles: {p: {method: {name: moco, predictor.kind: linear}}}\n"
    found = extending(yaml(TINY) + under, "profiles: {p: {method.name: simsiam}}\n")
    discards = "profile 'p' of b.yaml discards method.predictor.kind: linear of profile 'p' of a.yaml"
    assert any(discards in line for line in found)


@pytest.mark.parametrize("again", ["linear", "mlp"])
def test_what_a_later_file_or_a_level_says_again_is_no_loss(again: str) -> None:
    child = f"base: {{method: {{name: simsiam, predictor.kind: {again}}}}}\n"
    assert extending(BASE + "profiles: {p: {epochs: 2}}\n", child) == []
    level = f"axes: {{m: {{path: method.predictor.kind, values: [{again}]}}}}\n"
    assert extending(BASE + "profiles: {p: {epochs: 2}}\n", "base: {method.name: simsiam}\n" + level) == []


def test_what_a_typed_name_discards_is_told(tmp_path: Path) -> None:
    (file := tmp_path / "s.yaml").write_text(BASE)
    told = Request(file, changes=["method=simsiam"]).headline
    assert "--set method.name discards method.predictor.kind: linear of the base, and it becomes mlp" in told
    for kept in (
        ["method=directpred"],
        ["method=simclr"],
        ["method.name=simsiam", "method.predictor.kind=linear"],
    ):
        assert "discards" not in Request(file, changes=kept).headline


# Cells that are one by design

EQUAL = yaml(TINY).replace("name: byol,", "name: byol, momentum: 0.5,") + yaml(
    """
    axes: {m: {path: method.momentum, values: [0.5, 0.9]}}
    design: one_at_a_time
    tables: [{name: t, rows: m, metric: probe/top1}]
    """
)
SAID = "cells 'base' and '0.5' are one config, trained once"


def test_cells_that_are_one_by_design_are_told_by_validate_plan_and_table() -> None:
    made = expansion(EQUAL)
    assert (len(made.cells), len(made.trials)) == (3, 2)
    assert f"sweep.yaml: {SAID}" in validated(sweep(EQUAL), "sweep.yaml").splitlines()
    assert SAID in plan_text(make_plan(made, {})).splitlines()
    assert SAID in tabulate(made, made.spec.tables[0], {}).notes


def test_a_sweep_whose_cells_differ_says_nothing_of_that() -> None:
    assert expansion().merged == ()


@pytest.mark.parametrize("name", ["base", "0.5", "m=0.5", "m=5e-1"])
def test_each_of_the_cells_that_are_one_can_be_named(name: str) -> None:
    made = expansion(EQUAL, seeds=[0, 1])
    (first, second) = find_trials(made, name)
    assert first.id == made.trials[0].id and (first.seed, second.seed) == (0, 1)
    assert first.cell.label == (name if "=" not in name else "0.5")


def test_a_label_with_an_equals_sign_can_be_named() -> None:
    made = expansion(yaml(TINY) + "axes: {k: {k=3: {knn.k: 3}, k=4: {knn.k: 4}}}\n")
    assert find_trials(made, "k=4")[0].cell.label == "k=4"
