"""Cells are found by what a person calls them."""

from __future__ import annotations

import pytest

from orchestrator.errors import UsageError
from orchestrator.planning.evaluations import evaluations
from orchestrator.planning.find import find_evaluations, find_trials
from tests.builders import TINY, expansion, yaml

RATES = yaml(TINY) + yaml(
    """
    axes:
      rate: {path: optimizer.lr, values: [1, 0.01]}
      way:
        plain: {method.momentum: 0.5}
        plain, but longer: {method.momentum: 0.6}
        a=b, rate: {method.momentum: 0.7}
        étage: {method.momentum: 0.8}
    """
)


def found(text: str, source: str = RATES) -> str:
    return find_trials(expansion(source), text)[0].cell.label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("1.0 · plain", "1 · plain"),
        ("1e-2 · PLAIN", "0.01 · plain"),
        ("1e0·plain, but longer", "1 · plain, but longer"),
        ("rate=1.0,way=plain", "1 · plain"),
        ("way=plain, but longer, rate=1", "1 · plain, but longer"),
        ("rate=0.010,way=a=b, rate", "0.01 · a=b, rate"),
        ("1 · e\u0301tage", "1 · étage"),
    ],
)
def test_a_cell_is_found_however_its_numbers_and_letters_are_written(text: str, label: str) -> None:
    assert found(text) == label


def test_a_level_with_a_comma_is_never_taken_for_the_one_before_the_comma() -> None:
    with pytest.raises(UsageError, match="no cell 'rate=1,way=plain, but shorter'"):
        found("rate=1,way=plain, but shorter")
    with pytest.raises(UsageError, match="no cell 'ratio=1,way=plain'"):
        found("ratio=1,way=plain")


@pytest.mark.parametrize("text", ["EMA", "ema", "1", "1.0", "01"])
def test_what_a_cell_is_called_exactly_comes_before_what_is_like_it(text: str) -> None:
    levels = ", ".join(f"'{k}': {{knn.k: {n}}}" for n, k in enumerate(("EMA", "ema", "1", "1.0", "2"), 3))
    source = yaml(TINY) + f"axes: {{k: {{{levels}}}}}\n"
    if text == "01":  # as much the one as the other
        with pytest.raises(UsageError, match=r"fits 2 cells: 1; 1\.0"):
            found(text, source)
    else:
        assert found(text, source) == text


def test_a_label_that_begins_an_id_is_the_label() -> None:
    source = yaml(TINY) + "axes: {k: {LABEL: {knn.k: 3}, other: {knn.k: 4}}}\n"
    label = expansion(source).trials[1].id[:4]
    assert found(label, source.replace("LABEL", f"'{label}'")) == label


def test_evaluations_are_found_by_numbers_too() -> None:
    made = expansion(RATES + "evaluations: {few: {name: knn}}\n")
    (trial,) = find_evaluations(evaluations(made, {}), "1.00 · plain · FEW")
    assert trial.cell.label == "1 · plain · few"
    (same,) = find_evaluations(evaluations(made, {}), "way=plain, but longer, rate=1.0, evaluation=few")
    assert same.cell.label == "1 · plain, but longer · few"
