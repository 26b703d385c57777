"""Bad input: each problem is one line with file:line, the full path, what was got and the nearest name."""

from __future__ import annotations

import json
import re

import pytest

from orchestrator.answer import publish
from orchestrator.commands.screen.grid import validated
from orchestrator.errors import SpecError, UsageError
from orchestrator.planning.expand import expand
from orchestrator.planning.layout import layout
from tests.builders import TINY, expansion, indented, sweep, table_yaml, yaml


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


@pytest.mark.parametrize("design", ["one_at_a_time", "leave_one_out"])
def test_a_condition_is_of_a_grid_alone(design: str) -> None:
    axes = "axes: {m: {path: epochs, values: [3]}, k: {when: {m: 3}, path: batch_size, values: [32]}}\n"
    assert only(yaml(TINY) + axes + f"design: {design}\n") == (
        f"sweep.yaml:14: axes.k.when: conditions need `design: grid`; {design} moves an axis whatever level "
        "the others have; leave `when` out, or choose grid"
    )


@pytest.mark.parametrize(
    ("axis", "two"),
    [
        ("path: epochs, values: [3], uniform: [0, 1], samples: 2", ("values", "uniform")),
        ("path: epochs, values: [3], samples: 2", ("values", "samples")),
        ("path: epochs, values: [3], sample_seed: 2", ("values", "sample_seed")),
        ("path: epochs, integers: [3, 4], choice: [3, 4], samples: 2", ("integers", "choice")),
        ("zip: {batch_size: [32]}, path: epochs, values: [3]", ("zip", "path")),
        ("zip: {batch_size: [32]}, samples: 1", ("zip", "samples")),
        ("levels: {a: {epochs: 3}}, labels: [b]", ("levels", "labels")),
        ("levels: {a: {epochs: 3}}, path: epochs, values: [3]", ("levels", "path")),
        ("levels: {a: {epochs: 3}}, zip: {epochs: [3]}", ("levels", "zip")),
    ],
)
def test_two_keys_of_an_axis_of_which_one_would_be_left_out_are_an_error(
    axis: str, two: tuple[str, str]
) -> None:
    assert only(yaml(TINY) + f"axes: {{m: {{{axis}}}}}\n") == (
        f"sweep.yaml:14: axes.m: '{two[0]}' and '{two[1]}' exclude each other; keep one of the two"
    )


@pytest.mark.parametrize("trainer", ["{name: modes}", "[ssl]", "3"])
def test_a_trainer_that_is_no_name_is_one_line_whatever_the_tables(trainer: str) -> None:
    for text in (table_yaml(), table_yaml() + "evaluations: {few: knn}\nresources: {gpus: 2}\n"):
        found = problems(text.replace("trainer: ssl", f"trainer: {trainer}"))
        assert len(found) == 1 and "sweep.yaml:5: trainer: no trainer named" in found[0]
        found = problems(text.replace("EMA: {", f"EMA: {{trainer: {trainer}, ", 1))
        assert any("sweep.yaml:17: trainer: no trainer named" in line for line in found), found


def test_a_condition_without_a_level_is_an_error() -> None:
    axes = "  k: {when: {ema: []}, path: epochs, values: [1, 2]}\nseeds"
    told = "axes.k: when: ema has no level, so that the axis never applies; name one, or leave `ema` out"
    assert told in only(table_yaml().replace("seeds", axes))


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


# A name that is not there


def test_an_unknown_name_is_told_where_it_is_written_and_once() -> None:
    text = yaml(TINY).replace("name: byol", "name: byoll") + yaml(
        """
        axes:
          m: {path: method.momentum, values: [0.5, 0.9]}
          W_p: {symmetric: {method.predictor.symmetric: true}, regular: {method.predictor.symmetric: false}}
        """
    )
    assert only(text).startswith("sweep.yaml:6: method: no method named 'byoll'; ")


def test_what_is_wrong_in_the_base_is_not_told_at_the_lines_of_levels() -> None:
    text = yaml(TINY).replace("name: byol,", "name: byol, stop_gradient: false,") + yaml(
        """
        axes:
          scale: {path: method.loss_scale, values: [1, 2]}
          W_p: {symmetric: {method.predictor.symmetric: true}, regular: {method.predictor.symmetric: false}}
        """
    )
    assert only(text).startswith("sweep.yaml:6: method: stop_gradient: false needs momentum 0")


def test_what_a_level_makes_wrong_is_told_at_its_line_whatever_other_axes_there_are() -> None:
    text = yaml(TINY) + yaml(
        """
        axes:
          gradient: {stopped: {}, flowing: {method.stop_gradient: false}}
          W_p: {symmetric: {method.predictor.symmetric: true}, regular: {method.predictor.symmetric: false}}
        """
    )
    assert only(text).startswith("sweep.yaml:16: method: stop_gradient: false needs momentum 0")


# Metrics


@pytest.mark.parametrize(
    ("metric", "hint"),
    [
        ("knn/acc", "did you mean 'knn/top1'?"),
        ("probe/tpo1", "did you mean 'probe/top1'?"),
        (
            "accuracy",
            "known are those of train, dynamics, time, F, Wp, alignment, embedding, feature, probe, knn",
        ),
    ],
)
def test_a_metric_that_no_trial_reports_is_told_with_its_line(metric: str, hint: str) -> None:
    line = only(table_yaml(f"metric: {metric}\n"))
    assert line == f"sweep.yaml:28: tables.0.metric: no trial reports '{metric}'; {hint}"


def test_curves_and_schedules_need_a_metric_of_each_epoch() -> None:
    line = only(table_yaml() + "figures:\n  - {kind: curves, columns: [train/loss, knn/top1]}\n")
    assert line.startswith(
        "sweep.yaml:29: figures.0.columns: 'knn/top1' is known at the end of a trial alone"
    )
    line = only(table_yaml() + "figures:\n  - {kind: eigenspace, over: dynamics/tim}\n")
    assert line.endswith("figures.0.over: no trial reports 'dynamics/tim'; did you mean 'dynamics/time'?")
    line = only(
        yaml(TINY) + "axes: {m: {path: epochs, values: [3, 4]}}\nschedule: {name: asha, metric: loss}\n"
    )
    assert line.startswith(
        "sweep.yaml:15: schedule.metric: no trial reports 'loss'; known are those of train"
    )


def test_a_metric_of_any_trainer_of_the_sweep_will_do() -> None:
    text = table_yaml("metric: modes/alive\n")
    assert "no trial reports 'modes/alive'" in only(text)
    sweep(
        text.replace("seeds: 2", "  arm: {a: {}, b: {trainer: linear_dynamics}}\nseeds: 2").replace(
            "columns: predictor", "columns: [predictor, arm]"
        )
    )


def test_a_metric_that_these_settings_do_not_report_is_told_before_training() -> None:
    for extra, right in (("", False), ("  probe.best: true\n", True)):
        text = table_yaml("metric: probe/best_top1\n").replace("  epochs: 2\n", "  epochs: 2\n" + extra)
        made = expansion(text.replace("  probe: {epochs: 2}\n", ""))
        if right:
            publish.check(made)
        else:
            with pytest.raises(
                UsageError, match="none of its cells reports 'probe/best_top1', as they are set"
            ):
                publish.check(made)


def test_a_method_of_the_users_own_may_add_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers.methods import byol

    monkeypatch.setattr(byol, "METRICS", ("byol/drift",), raising=False)
    sweep(table_yaml("metric: byol/drift\n"))


# Numbers that do not fit each other


@pytest.mark.parametrize("grace", [2, 3])
def test_a_schedule_must_leave_epochs_to_prune(grace: int) -> None:
    schedule = f"schedule: {{name: asha, grace_epochs: {grace}}}\n"
    line = only(yaml(TINY) + schedule)
    assert line.startswith(
        f"sweep.yaml:11: schedule.grace_epochs: {grace} epochs for every trial, but cell 'base'"
    )
    expansion(yaml(TINY).replace("  epochs: 2", f"  epochs: {grace + 1}") + schedule)


@pytest.mark.parametrize(
    ("data", "number"),
    [
        ("{name: shapes, train: 50, test: 10}", 50),
        ("{name: digits}", 1438),
        ("{name: cifar10, train: 30}", 30),
        ("{name: stl10, train: 30, unlabelled: 3}", 33),
    ],
)
def test_a_batch_larger_than_the_data_is_told_when_the_file_is_checked(data: str, number: int) -> None:
    text = re.sub("data: {.*}", f"data: {data}", yaml(TINY)).replace("batch_size: 64", "batch_size: 3000")
    with pytest.raises(
        UsageError, match=rf"cell 'base': batch_size 3000 exceeds the {number} training images"
    ):
        validated(sweep(text), "sweep.yaml")
    validated(sweep(text.replace("3000", str(number))), "sweep.yaml")


# What people write


@pytest.mark.parametrize("written", ["0-4", "'0-4'", "0-2,3,4", "5", "[0, 1, 2, 3, 4]"])
def test_seeds_may_be_written_as_a_range(written: str) -> None:
    assert sweep(yaml(TINY) + f"seeds: {written}\n").seed_list == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("written", ["4-0", "0-4,2", "-3", "0-", "a", "0-99999", "''", "1.5", "[true]"])
def test_seeds_that_are_none_are_refused(written: str) -> None:
    line = only(yaml(TINY) + f"seeds: {written}\n")
    assert line.startswith("sweep.yaml:14: seeds: expected a number of seeds from 1 to 10000, or a list")


@pytest.mark.parametrize("written", ["0", "0.0", "0e3", "'0'"])
def test_a_level_is_found_by_its_value(written: str) -> None:
    text = """
        axes:
          m: {path: method.momentum, values: [0, 1e-3]}
          w: {when: {m: ZERO}, levels: {x: {}}}
        tables: [{name: t, rows: m, columns: w, baseline: {m: ZERO, w: x}, where: {m: ZERO}}]
        figures: [{kind: curves, where: {m: ZERO}}]
        resources: {cells: [{cpus: 2, where: {m: ZERO}}]}
    """
    made = sweep(yaml(TINY, text).replace("ZERO", written))
    (table,), (figure,), (cells,) = made.tables, made.figures, made.resources.cells
    for found in (table.baseline, table.where, figure.where, cells.where):
        assert found["m"] == "0"
    assert made.axes["w"].when == {"m": ("0",)}


def test_a_number_is_found_however_its_level_was_written() -> None:
    text = yaml(TINY) + "axes: {m: {0.990: {method.momentum: 0.99}, 1e-3: {method.momentum: 0.001}}}\n"
    made = sweep(text + "tables: [{name: t, rows: m, baseline: {m: 0.99}, where: {m: 0.001}}]\n")
    assert (made.tables[0].baseline, made.tables[0].where) == ({"m": "0.990"}, {"m": "1e-3"})
    line = only(text + "tables: [{name: t, rows: m, baseline: {m: 5}}]\n")
    assert "no level '5' on axis 'm'" in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base:\n  trainer: ssl\n  epochs=3\n", "write `epochs: 3`, as `epochs=3` is for --set"),
        (
            "version: 1\nbase: epochs=3\n",
            "base: expected a mapping of settings, got 'epochs=3'; write epochs: 3",
        ),
        ("base:\n\ttrainer: ssl\n", "a tab stands before the first word: indent with spaces"),
    ],
)
def test_what_people_write_gets_a_hint(text: str, says: str) -> None:
    assert any(says in line for line in problems(text))


@pytest.mark.parametrize(
    ("where", "values"), [("{ema: EMA}", "[[1, 2]]"), ("{predictor: regular}", "[[1], [2]]")]
)
def test_published_values_are_of_the_rows_and_columns_that_where_leaves(where: str, values: str) -> None:
    extra = f"where: {where}\npublished: {{source: s, values: {values}}}\n"
    text = table_yaml(extra).replace("baseline: {ema: EMA, predictor: regular}", "best: highest")
    made = expand(sweep(text))
    found = layout(made, made.spec.tables[0]).published
    assert [[100 * value for value in row if value] for row in found] == json.loads(values)
    whole = text.replace(values, "[[1, 2], [3, 4]]")
    assert "got 2 rows of 2" in only(whole)


def test_several_gpus_are_for_cells_whose_trainer_uses_them_whatever_the_base_has() -> None:
    arms = "axes: {arm: {ours: {}, theirs: {trainer: command, run: [python, '{seed}']}}}\n"
    needs = "resources: {cells: [{where: {arm: %s}, gpus: 4}]}\n"
    assert sweep(yaml(TINY) + arms + needs % "theirs").resources.cells[0].gpus == 4
    for wrong in (needs % "ours", "resources: {gpus: 4}\n"):
        told = only(yaml(TINY) + arms + wrong)
        assert "4 GPUs for a trial, and trainer 'ssl' uses one; lower it to 1" in told
