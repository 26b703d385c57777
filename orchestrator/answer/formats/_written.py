"""A table's cells and legend as they are written for people. Here alone shares become percent."""

from __future__ import annotations

import re

from orchestrator.answer.marks import MARKS, MEANINGS
from orchestrator.answer.statistics import Summary
from orchestrator.answer.tables import Entry, Table

_TEX_MARKS = {
    "collapsed": r"\dagger",
    "dimensional": r"\circ",
    "diverged": r"\ddagger",
    "pruned": "p",
    "failed": "!",
    "running": r"\ldots",
    "stopped": r"\ldots",
}
VERDICT_SIGNS = {"within": "✓", "outside": "✗", "incomplete": "…"}


def cells(table: Table, plus_minus: str, *, tex: bool = False) -> tuple[list[str], list[list[str]]]:
    """Head and body as written cells: per column ours, and where there is any, published and difference."""
    with_published = any(e.published is not None for _, _, e in table.flat())
    with_difference = any(e.against is not None for _, _, e in table.flat())
    escape = tex_text if tex else str
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


def title(table: Table) -> str:
    """The table's name, metric and profile in a line."""
    named = table.sweep if table.spec.name == table.sweep else f"{table.sweep}, table {table.spec.name}"
    unit = " in %" if table.spec.in_percent else ""
    profile = f", profile {table.profile}" if table.profile else ""
    return f"{named}: {table.spec.metric}{unit}{profile}"


def legend(table: Table, *, tex: bool = False) -> list[str]:
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
    escape = tex_text if tex else str
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


def tex_text(text: str) -> str:
    """`text` as LaTeX wants it."""
    parts = re.split(r"\b([Wαη]_p)\b", text)  # the symbols that labels are full of
    return "".join(_SYMBOLS.get(part) or _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return "".join(_TEX_ESCAPES.get(character, character) for character in text)
