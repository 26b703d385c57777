"""Rendered tables against golden files; ORCH_UPDATE_GOLDEN=1 writes them anew, to be read before a commit."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from orchestrator.answer import formats
from tests.answer.test_tables import EMA_SYMMETRIC_0, made_table
from tests.builders import PUBLISHED, record

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("ORCH_UPDATE_GOLDEN") == "1"


WRITERS = {name: formats.load(name).write for name in formats.names()}


@pytest.mark.parametrize("form", sorted(path.suffix[1:] for path in GOLDEN.glob("full.*")))
@pytest.mark.parametrize("name", ["full", "gaps"])
def test_a_table_is_written_as_in_its_golden_file(name: str, form: str) -> None:
    gaps = {
        EMA_SYMMETRIC_0: None,
        "No EMA · symmetric · seed 0": record("", 0.1, status="collapsed"),
        "No EMA · symmetric · seed 1": record("", 0.1, status="collapsed"),
        "No EMA · regular · seed 0": record("", None, status="diverged"),
        "No EMA · regular · seed 1": record("", None, status="failed"),
    }
    table = made_table(PUBLISHED, **(gaps if name == "gaps" else {}))  # type: ignore[arg-type]
    path = GOLDEN / f"{name}.{form}"
    written = formats.load("json").event(table) if form == "event" else WRITERS[form](table)
    if UPDATE:
        path.write_text(written, encoding="utf-8")
    assert written == path.read_text(encoding="utf-8")


def test_data_formats_carry_the_unrounded_numbers_as_shares() -> None:
    table = made_table(PUBLISHED)
    rows = list(csv.DictReader(io.StringIO(WRITERS["csv"](table))))
    entries = json.loads(WRITERS["json"](table))["entries"]
    assert float(rows[0]["mean"]) == entries[0]["mean"] == pytest.approx(0.86)
    assert entries[0]["published"] == pytest.approx(0.857)


def test_no_line_of_text_ends_in_blanks_and_columns_line_up() -> None:
    lines = WRITERS["text"](made_table(PUBLISHED)).splitlines()
    assert all(line == line.rstrip() for line in lines)
    head, rule, first = lines[2], lines[3], lines[4]
    assert rule.index("─", rule.index(" ")) == head.index("symmetric") == first.index("86.0")
