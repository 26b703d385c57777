"""What `orch compare` prints: a comparison or the effects of axes, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from orchestrator.answer.comparison import cells, effects
from orchestrator.answer.comparison.cells import Comparison
from orchestrator.answer.comparison.effects import Effects
from orchestrator.answer.comparison.written import BRACKETS, cells_table, effects_table
from orchestrator.answer.formats.csv import shown
from orchestrator.errors import UsageError
from orchestrator.process.streams import room
from orchestrator.process.words import in_columns, in_lines

FORMATS = ("csv", "json", "text")


def written(found: Comparison | Effects, form: str) -> str:
    """The comparison, or the effects, in that format.

    Raises:
        UsageError: there is no such format.
    """
    if form not in FORMATS:
        raise UsageError(f"no format '{form}' of a comparison; known: {', '.join(FORMATS)}")
    if form == "text":
        return _text(found)
    rows = cells.records_of(found) if isinstance(found, Comparison) else effects.records_of(found)
    if form == "csv":
        return _csv(rows)
    return json.dumps(_everything(found, rows), indent=2, ensure_ascii=False) + "\n"


def _everything(found: Comparison | Effects, rows: list[dict[str, Any]]) -> dict[str, Any]:
    of = found.of
    head: dict[str, Any] = {
        "sweep": of.sweep,
        "profile": of.profile,
        "metric": of.metric,
        "unit": "share" if of.in_percent else "plain",
        "seeds": list(of.seeds),
    }
    if isinstance(found, Comparison):
        head |= {"against": found.against, "margin": found.margin, "cells": rows}
    else:
        head["effects"] = rows
    return head | {"notes": list(found.notes), "decision": found.decision}


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        plain = {k: " ".join(v) if isinstance(v, list) else v for k, v in row.items()}
        writer.writerow({k: shown(v) for k, v in plain.items()})
    return out.getvalue()


def _text(found: Comparison | Effects) -> str:
    of = found.of
    unit = " in %" if of.in_percent else ""
    profile = f", profile {of.profile}" if of.profile else ""
    if isinstance(found, Comparison):
        what, table = f"against {found.against}", cells_table(found)
    else:
        what, table = "effects of axes", effects_table(found)
    within = room()
    lines = in_columns([table[0], None, *table[1:]], within=within)
    told = (f"{BRACKETS}; docs/statistics.md", *found.notes)
    notes = [line for note in told for line in in_lines(note, within, indent="  ")]
    title = f"{of.sweep}: {of.metric}{unit}, {what}{profile}"
    return "\n".join([title, "", *lines, "", *notes, *in_lines(found.decision, within)]) + "\n"
