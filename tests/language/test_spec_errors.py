"""Bad input: each problem is one line with file:line, the full path, what was got and the nearest name."""

from __future__ import annotations

import re

import pytest

from orchestrator.errors import SpecError
from orchestrator.planning.expand import expand
from tests.builders import TINY, indented, sweep, table_yaml, yaml


def problems(text: str, **options: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        expand(sweep(text), default_place="sweep.yaml:1", **options)  # type: ignore[arg-type]
    return str(caught.value).splitlines()


def only(text: str) -> str:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


def test_a_misspelt_key_at_the_top() -> None:
    line = only(table_yaml() + "sedes: 3\n")
    assert line == "sweep.yaml:28: sedes: no such field; did you mean 'seeds'?"


def test_a_misspelt_field_deep_in_the_base() -> None:
    text = yaml(TINY).replace("hidden: 16}}", "hiden: 16}}")
    assert only(text) == "sweep.yaml:6: method.predictor.hiden: no such field; did you mean 'hidden'?"


def test_a_wrong_type() -> None:
    text = yaml(TINY).replace("epochs: 2\n  probe", "epochs: many\n  probe")
    assert only(text).startswith("sweep.yaml:11: epochs: input should be a valid integer")
    assert "'many'" in only(text)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("epochs: true", "epochs: expected a number, got True"),
        ('epochs: "2"', "epochs: expected a number, without quotes, got '2'"),
        ("optimizer: {lr: '0.1'}", "optimizer.lr: expected a number, without quotes, got '0.1'"),
        ("optimizer: {lr: true}", "optimizer.lr: expected a number, got True"),
    ],
)
def test_what_only_looks_like_a_number_is_refused_with_its_line(written: str, told: str) -> None:
    text = yaml(TINY).replace("epochs: 2\n  probe", f"{written}\n  probe")
    assert only(text) == f"sweep.yaml:11: {told}"


def test_an_unknown_plugin_lists_those_that_exist() -> None:
    line = only(yaml(TINY).replace("name: byol", "name: boyl"))
    assert line.startswith("sweep.yaml:6: method: no method named 'boyl'; available: barlow_twins, byol, ")
    assert line.endswith("did you mean 'byol'?")


def test_a_level_that_sets_an_unknown_path_names_the_line_of_the_level() -> None:
    text = yaml(TINY) + "axes:\n  m:\n    a: {method.momentum: 0.9}\n    b: {method.momentun: 0.9}\n"
    assert only(text) == "sweep.yaml:17: method.momentun: no such field; did you mean 'momentum'?"


def test_a_profile_that_sets_a_wrong_value_names_its_line() -> None:
    text = yaml(TINY) + "profiles:\n  laptop: {epochs: 0}\n"
    assert problems(text, profile="laptop") == [
        "sweep.yaml:15: epochs: input should be greater than or equal to 1, got 0"
    ]


def test_several_problems_come_at_once() -> None:
    text = yaml(TINY).replace("hidden: 16}}", "hiden: 16}}").replace("batch_size: 64", "batch_size: x")
    assert len(problems(text)) == 2


def test_a_problem_shared_by_many_cells_is_told_once() -> None:
    text = yaml(TINY).replace("widths: [16]", "widths: [x]")
    text += "axes:\n  lr: {path: optimizer.lr, values: [1, 2, 3, 4]}\n"
    assert len(problems(text)) == 1


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("seeds: 0", "seeds: expected a number of seeds from 1"),
        ("seeds: []", "seeds: expected a number of seeds"),
        ("seeds: [1, 1]", "seeds: expected a number of seeds"),
        ("seeds: true", "seeds: expected a number of seeds"),
        ("seeds: 2.5", "seeds: expected a number of seeds"),
        ("axes: {m: {}}", "axes.m: an axis needs at least one level; got none"),
        ("axes: {m: {path: epochs, values: []}}", "axes.m: an axis needs at least one level; got none"),
        ("axes: {m: {path: epochs}}", "axes.m: 'path' needs 'values' or a sampler"),
        ("axes: {m: {zip: {epochs: [1], batch_size: [2, 3]}}}", "axes.m: zip: lists of different lengths"),
        ("axes: {m: {path: epochs, values: [1, 1]}}", "axes.m: two levels are labelled '1'"),
        ("axes: {m: {path: epochs, loguniform: [0, 1], samples: 2}}", "axes.m: loguniform: low must be"),
        ("axes: {m: {path: epochs, uniform: [0, 1]}}", "axes.m: uniform: 'samples' must say how many"),
        ("axes: {m: 3}", "axes.m: expected labelled levels"),
        ("axes: {m: {a: {seed: 1}}}", "base.seed: the seed is not a setting"),
        ("axes: {m: {a: {'x..y': 1}}}", "x..y"),
        ("version: 2", "version"),
        ("design: gird", "design"),
        ("tables: [{name: t, rows: emma}]", "tables.0.rows: no axis 'emma'"),
        ("figures: [{kind: eigenspaces}]", "figures.0.kind"),
        ("schedule: {name: asha, metrics: x}", "schedule.metrics: no such field; did you mean 'metric'?"),
    ],
)
def test_each_wrong_part_of_a_file_has_its_own_line(extra: str, says: str) -> None:
    text = yaml(TINY)
    if extra.startswith("version"):
        text = text.replace("version: 1\n", "")
    found = problems(text + extra + "\n")
    assert any(says in line for line in found), found
    assert all(line.startswith("sweep.yaml:") for line in found)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("published: {source: s, tolerance: 1, values: [[1, 2]]}", "expected 2 rows of 2 values, got 1 rows"),
        ("published: {source: s, tolerance: 1, values: [[1], [2]]}", "got 2 rows of 1"),
        ("published: {source: s, profile: papr, tolerance: 1, values: [[1, 2], [3, 4]]}", "no profile"),
        ("where: {emma: EMA}", "no such axis; did you mean 'ema'?"),
        ("where: {ema: EMAA}", "no level 'EMAA' on axis 'ema'; did you mean 'EMA'?"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_its_sweep_says_where(extra: str, says: str) -> None:
    found = problems(table_yaml(extra + "\n"))
    assert any(says in line for line in found), found


def test_an_axis_that_no_table_place_tells_apart_is_an_error() -> None:
    text = table_yaml().replace("seeds: 2", "  lr: {path: optimizer.lr, values: [1, 2]}\nseeds: 2")
    assert "axis 'lr' is neither in rows, columns nor where" in only(text)


def test_a_table_and_a_pruning_schedule_exclude_each_other() -> None:
    assert "needs equal budgets" in only(table_yaml() + "schedule: {name: asha}\n")


def test_a_condition_on_a_later_axis_is_an_error() -> None:
    text = yaml(TINY) + yaml(
        """
        axes:
          a: {when: {b: x}, levels: {y: {epochs: 1}}}
          b: {x: {epochs: 2}}
        """
    )
    assert "axes.a.when.b: no earlier axis" in only(text)


def test_a_missing_block_is_named_with_the_trainer_that_needs_it() -> None:
    text = yaml(TINY).replace("  encoder: {name: mlp, widths: [16]}\n", "")
    assert "base.encoder: is missing; every 'ssl' trial needs it" in only(text)


def test_a_setting_given_dotted_and_nested_in_one_block_is_an_error() -> None:
    text = yaml(TINY) + "axes:\n  m:\n    a: {method.momentum: 0, method: {momentum: 1}}\n"
    assert "set twice" in only(text)


def test_a_file_that_extends_itself_is_an_error() -> None:
    with pytest.raises(SpecError, match="a circle"):
        sweep("extends: sweep.yaml\n" + yaml(TINY))


def test_indentation_of_the_builders_is_what_the_errors_count() -> None:
    assert indented("x: 1\n") == "    x: 1\n"


@pytest.mark.parametrize(
    ("block", "again", "called"),
    [
        ("tables", "  - {name: main, rows: ema, columns: predictor}\n", "main"),
        ("figures", "figures:\n  - {kind: curves}\n  - {kind: curves}\n", "curves"),
    ],
)
def test_two_tables_or_figures_of_one_name_would_overwrite_each_other(
    block: str, again: str, called: str
) -> None:
    assert f"two {block} are called '{called}'; give one another `name`" in only(table_yaml() + again)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("views: {crop: {scale: [3, 0]}}", "expected 0 < low <= high <= 1"),
        ("views: {crop: {scale: [3, 5]}}", "expected 0 < low <= high <= 1"),
        ("views: {crop: {ratio: [0, 1]}}", "ratio: expected 0 < low <= high"),
        ("projector: {hidden: [-3]}", "greater than or equal to 1"),
        ("encoder: {name: convnet, channels: []}", "expected at least one width"),
    ],
)
def test_nonsense_is_refused_before_it_trains(setting: str, message: str) -> None:
    name = setting.split(":")[0]
    text = re.sub(rf"^  {name}:.*\n", "", yaml(TINY), flags=re.MULTILINE)
    assert message in only(text.replace("base:\n", f"base:\n  {setting}\n"))


def test_an_axis_over_an_unknown_path_names_its_line() -> None:
    text = yaml(TINY) + "axes:\n  m:\n    path: method.momentun\n    values: [0.5, 0.9]\n"
    line = only(text)
    assert line.startswith("sweep.yaml:16: method.momentun: no such field; did you mean 'momentum'?")
