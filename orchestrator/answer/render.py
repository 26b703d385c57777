"""Tables as text: terminal, Markdown, LaTeX, CSV, JSON. The only place where shares become percent."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.answer.statistics import Summary
from orchestrator.answer.tables import Entry, Table
from orchestrator.language.sweep_spec import Published

MARKS = {
    "collapsed": "†",
    "dimensional": "°",
    "diverged": "‡",
    "pruned": "✂",
    "failed": "!",
    "missing": "·",
    "running": "…",
    "stopped": "…",
}
_TEX_MARKS = {
    "collapsed": r"\dagger",
    "dimensional": r"\circ",
    "diverged": r"\ddagger",
    "pruned": "p",
    "failed": "!",
    "running": r"\ldots",
    "stopped": r"\ldots",
}
MEANINGS = {"dimensional": "dimensional collapse"}
VERDICT_SIGNS = {"within": "✓", "outside": "✗", "incomplete": "…"}


def to_text(table: Table) -> str:
    """The table for a terminal or a log, in plain characters and aligned columns."""
    head, body = _cells(table, "±")
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    line = "  ".join("─" * width for width in widths)

    def written(row: list[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    lines = [_title(table), "", written(head), line, *map(written, body), ""]
    return "\n".join(lines + [f"  {note}" for note in _legend(table)]) + "\n"


def to_markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    head, body = _cells(table, "±")
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    escaped = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    notes = [f"- {note}" for note in _legend(table)]
    return "\n".join([f"**{_title(table)}**", "", *escaped, "", *notes]) + "\n"


def to_tex(table: Table) -> str:
    """The table in LaTeX with booktabs; compiles in a document that loads booktabs, nothing else."""
    head, body = _cells(table, r"$\pm$", tex=True)
    columns = "l" + "r" * (len(head) - 1)
    rows = [" & ".join(row) + r" \\" for row in [head, *body]]
    notes = " ".join(f"{note}." for note in _legend(table, tex=True))
    return "\n".join(
        [
            rf"% {_title(table)}",
            r"\begin{table}",
            r"  \centering",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {rows[0]}",
            r"    \midrule",
            *(f"    {row}" for row in rows[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            rf"  \caption{{{_tex(_title(table))}. {notes}}}",
            r"\end{table}",
            "",
        ]
    )


def to_csv(table: Table) -> str:
    """One line per place with every number behind it, in the metric's own unit (shares in [0, 1])."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(_FIELDS), lineterminator="\n")
    writer.writeheader()
    for row, column, entry in table.flat():
        record = _record(row, column, entry)
        for name in ("statuses", "values"):
            record[name] = " ".join(f"{k}={v}" for k, v in record[name].items())
        writer.writerow({k: "" if v is None else v for k, v in record.items()})
    return out.getvalue()


def to_json(table: Table) -> str:
    """The table with every number behind it, in the metric's own unit (shares in [0, 1])."""
    return json.dumps(_everything(table), indent=2, ensure_ascii=False) + "\n"


def to_event(table: Table) -> str:
    """The same as one line, to stand behind the events of a sweep."""
    return json.dumps({"event": "table"} | _everything(table), ensure_ascii=False) + "\n"


FORMATS: Mapping[str, Callable[[Table], str]] = {
    "text": to_text,
    "md": to_markdown,
    "tex": to_tex,
    "csv": to_csv,
    "json": to_json,
    "event": to_event,
}
"""Writers by format."""
FILE_FORMATS = ("md", "tex", "csv", "json")

_FIELDS = (
    "row", "column", "n", "asked", "mean", "sd", "ci_low", "ci_high", "difference", "difference_low",
    "difference_high", "published", "published_sd", "gap", "verdict", "statuses", "values",
)  # fmt: skip


def _everything(table: Table) -> dict[str, Any]:
    published = table.spec.published
    return {
        "table": table.spec.name,
        "sweep": table.sweep,
        "profile": table.profile,
        "metric": table.spec.metric,
        "unit": "share" if table.spec.in_percent else "plain",
        "seeds": list(table.seeds),
        "rows": list(table.rows),
        "columns": list(table.columns),
        "published": None if published is None else _source(table, published),
        "entries": [_record(row, column, entry) for row, column, entry in table.flat()],
        "expected": table.spec.expected,
        "prediction": table.prediction,
        "notes": list(table.notes),
    }


def _source(table: Table, published: Published) -> dict[str, Any]:
    # The tolerance in the unit of the numbers, and without the noise of dividing by 100.
    scale = 100 if table.spec.in_percent else 1
    tolerance = None if published.tolerance is None else round(published.tolerance / scale, 12)
    return {"source": published.source, "profile": published.profile, "tolerance": tolerance}


def _record(row: str, column: str, entry: Entry) -> dict[str, Any]:
    summary, against = entry.summary, entry.against
    return {
        "row": row,
        "column": column,
        "n": summary.n if summary else 0,
        "asked": entry.asked,
        "mean": summary.mean if summary else None,
        "sd": summary.sd if summary else None,
        "ci_low": summary.low if summary else None,
        "ci_high": summary.high if summary else None,
        "difference": against.mean if against else None,
        "difference_low": against.low if against else None,
        "difference_high": against.high if against else None,
        "published": None if entry.published is None else round(entry.published, 12),
        "published_sd": None if entry.published_sd is None else round(entry.published_sd, 12),
        "gap": entry.gap,
        "verdict": entry.verdict,
        "statuses": dict(entry.statuses),
        "values": {str(seed): value for seed, value in entry.values.items()},
    }


def _cells(table: Table, plus_minus: str, *, tex: bool = False) -> tuple[list[str], list[list[str]]]:
    """Head and body as written cells: per column ours, and where there is any, published and difference."""
    with_published = any(e.published is not None for _, _, e in table.flat())
    with_difference = any(e.against is not None for _, _, e in table.flat())
    escape = _tex if tex else str
    head = [""]
    for column in table.columns:
        head.append(escape(column))
        head += ["published"] * with_published + [escape("Δ baseline")] * with_difference
    body = []
    for row, line in zip(table.rows, table.entries, strict=True):
        written = [escape(row)]
        for entry in line:
            written.append(_ours(entry, table, plus_minus, tex=tex))
            if with_published:
                written.append(_published(entry, table, plus_minus, tex=tex))
            if with_difference:
                written.append(_difference(entry, table, plus_minus, tex=tex))
        body.append(written)
    return head, body


def _ours(entry: Entry, table: Table, plus_minus: str, *, tex: bool) -> str:
    if entry.asked == 0:
        return "n/a"
    marks = ""
    for status, number in sorted(entry.statuses.items()):
        if status in MARKS and (status != "missing" or entry.summary is not None or len(entry.statuses) > 1):
            mark = _mark(status, tex=tex)
            marks += mark if number == entry.asked else f"{number}{mark}"
    marks = f" {marks}" if marks else ""
    if entry.summary is None:
        return f"—{marks}" if not tex else f"---{marks}"
    spread = "" if entry.summary.sd is None else f" {plus_minus} {_number(entry.summary.sd, table)}"
    count = f" (n={entry.summary.n})" if entry.summary.n != entry.asked or len(table.seeds) == 1 else ""
    return f"{_number(entry.summary.mean, table)}{spread}{count}{marks}"


def _published(entry: Entry, table: Table, plus_minus: str, *, tex: bool) -> str:
    if entry.published is None:
        return ""
    text = _number(entry.published, table)
    if entry.published_sd is not None:
        text += f" {plus_minus} {_number(entry.published_sd, table)}"
    if entry.gap is not None:
        text += f" ({_signed(entry.gap, table)})"
    if entry.verdict is not None:
        text += f" {entry.verdict if tex else VERDICT_SIGNS[entry.verdict]}"
    return text


def _difference(entry: Entry, table: Table, plus_minus: str, *, tex: bool) -> str:
    if entry.is_baseline:
        return "baseline"
    if entry.against is None:
        return ""
    return _signed(entry.against.mean, table) + _interval(entry.against, table, plus_minus)


def _interval(summary: Summary, table: Table, plus_minus: str) -> str:
    if summary.low is None or summary.high is None:
        return ""
    return f" {plus_minus} {_number((summary.high - summary.low) / 2, table)}"


def _number(value: float, table: Table) -> str:
    return f"{value * (100 if table.spec.in_percent else 1):.{table.spec.digits}f}"


def _signed(value: float, table: Table) -> str:
    return f"{value * (100 if table.spec.in_percent else 1):+.{table.spec.digits}f}"


def _title(table: Table) -> str:
    named = table.sweep if table.spec.name == table.sweep else f"{table.sweep}, table {table.spec.name}"
    unit = " in %" if table.spec.in_percent else ""
    profile = f", profile {table.profile}" if table.profile else ""
    return f"{named}: {table.spec.metric}{unit}{profile}"


def _legend(table: Table, *, tex: bool = False) -> list[str]:
    """What the marks mean, as far as they occur, and the table's notes."""
    seeds, published = table.seeds, table.spec.published
    span = f"seeds {seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    lines = [f"mean ± sd over n = {len(seeds)} seeds ({span})" if len(seeds) > 1 else f"n = 1 ({span})"]
    if any(entry.against is not None for _, _, entry in table.flat()):
        chosen = ", ".join(table.spec.baseline.values())
        lines.append(f"Δ: difference from {chosen}, paired by seed, ± half its 95 % interval")
    if published is not None:
        lines.append(f"published: {published.source}")
        if any(entry.verdict for _, _, entry in table.flat()) and published.tolerance is not None:
            limit = f"{published.tolerance:g}{' points' if table.spec.in_percent else ''}"
            limit += " or two published standard deviations" if published.spread else ""
            signs = ("within: ", "outside: ") if tex else ("✓ ", "✗ ")
            lines.append(f"{signs[0]}at most {limit} from the published number, {signs[1]}more")
    escape = _tex if tex else str
    written = [escape(line) for line in (*lines, *table.notes)]
    occurring = {status for _, _, e in table.flat() for status in e.statuses} & set(MARKS)
    if occurring:
        marks = ", ".join(f"{_mark(s, tex=tex)} {MEANINGS.get(s, s)}" for s in MARKS if s in occurring)
        written.insert(1, f"{marks}; a number before a mark: so many of the trials")
    return written


def _mark(status: str, *, tex: bool) -> str:
    superscript = _TEX_MARKS.get(status, r"\cdot")
    return f"$^{{{superscript}}}$" if tex else MARKS[status]


_TEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "·": r"$\cdot$",
    "Δ": r"$\Delta$", "✓": "", "✗": "",
    "—": "---", "–": "--", "…": r"\ldots{}", "ε": r"$\varepsilon$", "ρ": r"$\rho$", "η": r"$\eta$",
    "α": r"$\alpha$",
}  # fmt: skip


_SYMBOLS = {"W_p": "$W_p$", "α_p": r"$\alpha_p$", "η_p": r"$\eta_p$"}


def _tex(text: str) -> str:
    parts = re.split(r"\b([Wαη]_p)\b", text)  # the symbols that labels are full of
    return "".join(_SYMBOLS.get(part) or _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return "".join(_TEX_ESCAPES.get(character, character) for character in text)
