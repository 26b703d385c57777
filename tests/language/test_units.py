"""A table prints a command's numbers in the unit that its settings say, wherever they say it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from orchestrator.answer import formats
from orchestrator.answer.tables import tabulate
from orchestrator.errors import SpecError
from orchestrator.language.load import cross_checked, validated
from orchestrator.planning.expand import expand
from tests.builders import record
from tests.scripted import SWEEP, script

METRIC = {"kind": "final", "unit": "percent"}
SSL = {
    "trainer": "ssl",
    "method": "simsiam",
    "data": {"name": "shapes", "size": 8, "train": 128, "test": 64},
    "encoder": {"name": "mlp", "widths": [16]},
}


@pytest.fixture(autouse=True)
def _a_script() -> None:
    script("pass")


def said(**changes: Any) -> Any:
    """The scripted sweep with other parts, of which {} is none."""
    tree = copy.deepcopy(SWEEP) | changes
    return cross_checked(validated(tree, "t.yaml:1"), "t.yaml:1", tree)


def printed(spec: Any, profile: str | None = None) -> str:
    """The first table, of trials that reported 81.2 each."""
    made = expand(spec, profile=profile)
    (table,) = spec.tables
    records = {trial.id: record(trial.id, metrics={table.metric: 81.2}) for trial in made.trials}
    return formats.load("md").write(tabulate(made, table, records))


def without_metrics() -> dict[str, Any]:
    return {key: value for key, value in SWEEP["base"].items() if key != "metrics"}


def test_what_a_profile_says_of_a_metric_reaches_the_table() -> None:
    spec = said(base=without_metrics(), profiles={"laptop": {"metrics": {"top1": METRIC}}})
    assert "| 81.2 ± 0.0 |" in printed(spec, "laptop")


@pytest.mark.parametrize("dotted", ["metrics", "metrics.top1"])
def test_what_a_level_says_of_a_metric_reaches_the_table(dotted: str) -> None:
    level = {dotted: METRIC if "." in dotted else {"top1": METRIC}}
    spec = said(base=without_metrics(), axes={"lr": {"0.1": level, "0.5": {"params.lr": 0.5}}})
    assert "| 81.2 ± 0.0 |" in printed(spec)


def arms(unit: str) -> dict[str, Any]:
    theirs = without_metrics() | {"metrics": {"probe/top1": {"kind": "final", "unit": unit}}}
    table = {"name": "t", "rows": "arm", "metric": "probe/top1"}
    return {"base": SSL, "axes": {"arm": {"ours": {}, "theirs": theirs}}, "tables": [table], "figures": []}


def test_a_table_whose_cells_report_in_different_units_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError) as caught:
        said(**arms("percent"))
    assert str(caught.value) == (
        "t.yaml:1: tables: table 't': its cells report probe/top1 in different units: a share (trainer "
        "'ssl'), percent (level 'theirs' of axis 'arm'); report and declare one in all, or fix one kind of "
        "cell by where, or give the table a `unit`"
    )
    assert said(**arms("share")).tables[0].in_percent


def test_units_of_two_levels_that_a_table_shows_differ_in_one_line() -> None:
    one, other = ({"metrics": {"top1": {"unit": unit}}} for unit in ("percent", "share"))
    with pytest.raises(SpecError, match=r"percent \(level '0.1' of axis 'lr'\), a share \(level '0.5'"):
        said(base=without_metrics(), axes={"lr": {"0.1": one, "0.5": other}})


def test_what_says_no_unit_has_that_of_whoever_says_one() -> None:
    share, bare = {"metrics": {"top1": {"kind": "final", "unit": "share"}}}, {"metrics": {"top1": "final"}}
    some = {"lr": {"0.1": {"params.lr": 0.1}, "0.5": {"metrics.top1.kind": "curve"}}}
    every = {"lr": {"0.1": share | {"params.lr": 0.1}, "0.5": share | {"params.lr": 0.5}}}
    assert said(base=without_metrics() | share, axes=some).tables[0].in_percent
    assert said(base=without_metrics() | bare, axes=every).tables[0].in_percent
    assert not said(base=without_metrics() | bare).tables[0].in_percent


def test_each_way_out_of_different_units_is_one() -> None:
    sweep = arms("percent")
    for table, percent in (
        ({"where": {"arm": "theirs"}}, False),
        ({"where": {"arm": "ours"}}, True),
        ({"unit": "plain"}, False),
    ):
        (made,) = said(**sweep | {"tables": [sweep["tables"][0] | table]}).tables
        assert made.in_percent is percent


def test_a_metric_that_only_the_command_reports_has_its_unit() -> None:
    sweep = arms("percent")
    theirs = sweep["axes"]["arm"]["theirs"]
    theirs["metrics"] = {"own/top1": METRIC}
    methods = sweep | {"tables": [sweep["tables"][0] | {"metric": "own/top1"}]}
    assert not said(**methods).tables[0].in_percent
