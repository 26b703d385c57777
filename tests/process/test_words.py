"""Words for people: what stands in columns is read on any terminal."""

from __future__ import annotations

from orchestrator.process.words import in_columns

ROWS = [["", "one", "two", "three"], None, ["EMA", "1.0 ± 0.2", "20.3", "-4"]]


def test_columns_for_which_a_line_has_no_room_stand_below_behind_the_same_first() -> None:
    assert in_columns(ROWS, within=20) == [
        "     one        two",
        "───  ─────────  ────",
        "EMA  1.0 ± 0.2  20.3",
        "",
        "     three",
        "───  ─────",
        "EMA  -4",
    ]


def test_columns_that_belong_together_stay_so_and_no_column_is_lost_in_any_room() -> None:
    assert in_columns(ROWS, within=24, groups=[1, 2])[0] == "     one"
    for within in range(40):
        text = "\n".join(in_columns(ROWS, within=within))
        assert all(text.count(cell) == 1 for cell in ("1.0 ± 0.2", "20.3", "-4")), within


def test_where_there_is_room_or_nobody_counts_lines_are_whole() -> None:
    assert in_columns(ROWS, within=27) == in_columns(ROWS) == in_columns(ROWS, within=200)
    assert len(in_columns(ROWS)) == 3
    assert in_columns([["only"], None, ["a"]], within=1) == ["only", "────", "a"]
