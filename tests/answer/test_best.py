"""The best cell is marked where seeds show which it is."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.answer.comparison.best import best
from orchestrator.answer.formats import text_of
from orchestrator.answer.tables import Table, tabulate
from tests.builders import expansion, record, table_yaml

LEVELS = {"EMA · symmetric": 0.8, "EMA · regular": 0.7, "No EMA · symmetric": 0.2, "No EMA · regular": 0.5}
WOBBLE = (0.0, 0.011, -0.007, 0.004, 0.002, -0.012, 0.006, 0.001, -0.003)


def made(value: Callable[[str, int], float], seeds: int = 9, which: str = "highest") -> Table:
    asked = expansion(table_yaml(f"best: {which}\n"), seeds=range(seeds))
    records = {one.id: record(one.id, value(one.cell.label, one.seed)) for one in asked.trials}
    return tabulate(asked, asked.spec.tables[0], records)


def marked(table: Table) -> list[str]:
    return [f"{row} · {column}" for row, column, one in table.flat() if one.is_best]


def apart(label: str, seed: int) -> float:
    return LEVELS[label] + WOBBLE[seed] * (1 + list(LEVELS).index(label))


def test_the_best_cell_is_marked_in_every_format_where_all_others_are_worse() -> None:
    assert marked(made(apart)) == ["EMA · symmetric"]
    assert marked(made(apart, which="lowest")) == ["No EMA · symmetric"]
    for form in ("text", "md", "html"):
        assert text_of(form, made(apart)).count("★") == 2  # a cell and its footnote
    assert r"$\star$" in text_of("tex", made(apart))


def test_ties_are_all_marked() -> None:
    def tied(label: str, seed: int) -> float:
        shift = WOBBLE[(seed + 3 * list(LEVELS).index(label)) % 9]
        return (0.8 if label.startswith("EMA") else LEVELS[label]) + shift

    assert marked(made(tied)) == ["EMA · symmetric", "EMA · regular"]
    assert "2 cells that are not told apart" in "\n".join(made(tied).notes)


def test_three_seeds_mark_no_cell_however_clear_it_looks() -> None:
    table = made(apart, seeds=3)
    assert marked(table) == []
    assert "best by probe/top1: undecided, no two cells are shown to differ (Holm over 6 pairs); fewer" in (
        "\n".join(table.notes)
    )


def test_cells_without_numbers_are_neither_marked_nor_compared() -> None:
    high = {seed: 0.9 + seed / 1000 for seed in range(9)}
    low = {seed: 0.1 for seed in range(9)}
    assert best([high, {}, low], "m", highest=True)[0] == {0}
    assert best([high, {}], "m", highest=True)[0] == frozenset()
    assert best([low, low], "m", highest=True)[0] == frozenset()


def test_a_cell_that_was_not_compared_is_not_said_to_be_worse() -> None:
    high = {seed: 0.9 + seed / 1000 for seed in range(9)}
    low = {seed: 0.1 for seed in range(9)}
    assert "but for" not in best([high, low], "m", highest=True)[1]
    assert (
        "but for 1 without numbers or with trials that diverged"
        in best([high, {}, low], "m", highest=True)[1]
    )
