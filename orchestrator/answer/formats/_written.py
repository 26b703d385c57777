"""A table's cells and legend as they are written for people. Here alone shares become percent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator.answer.formats._latex import tex_text
from orchestrator.answer.marks import MARKS, MEANINGS
from orchestrator.answer.statistics import Summary
from orchestrator.answer.statistics.precision import half_width
from orchestrator.answer.tables import Table
from orchestrator.answer.tables.entries import Beside, Entry
from orchestrator.errors import printable
from orchestrator.language.cells.seeds import in_ranges
from orchestrator.process.words import fixed

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


def cells(table: Table, *, tex: bool = False) -> tuple[list[str], list[list[str]]]:
    """Head and body as written cells: per metric and column ours, what is published, and the difference."""
    head, body = _cells(table, tex=tex, several=bool(table.others))
    for other in table.others:
        more, rows = _cells(other, tex=tex, several=True)
        head += more[1:]
        body = [line + row[1:] for line, row in zip(body, rows, strict=True)]
    return head, body


def _cells(table: Table, *, tex: bool, several: bool) -> tuple[list[str], list[list[str]]]:
    """Those of one metric, which the head names where there are `several`."""
    with_published = any(e.published is not None for _, _, e in table.flat())
    with_difference = any(e.against is not None for _, _, e in table.flat())
    escape = tex_text if tex else str
    numbers = table.spec.published.what if table.spec.published else ""
    head = [""]
    for column in table.headers if several else table.columns:
        head.append(escape(column))
        head += [escape(printable(f"{source.name} (imported)")) for source in table.sources]
        head += [numbers] * with_published + [escape("Δ baseline")] * with_difference
    body = []
    for row, line in zip(table.rows, table.entries, strict=True):
        written = [escape(row)]
        for entry in line:
            written.append(ours(entry, table, tex=tex))
            written += [escape(_others(one, table)) for one in entry.beside]
            if with_published:
                written.append(escape(published(entry, table, tex=tex)))
            if with_difference:
                written.append(escape(_difference(entry, table)))
        body.append(written)
    return head, body


def groups(table: Table) -> list[int]:
    """How many cells of a row belong to each column of each metric: ours, and what stands beside it."""
    several = bool(table.others)
    numbers = [(len(_cells(one, tex=False, several=several)[0]) - 1, len(one.columns)) for one in table.parts]
    return [cells // columns for cells, columns in numbers for _ in range(columns)]


def ours(entry: Entry, table: Table, *, tex: bool = False) -> str:
    """Our number with its spread, and the marks of its trials."""
    written = _mean(entry, table) + " ★" * bool(entry.is_best)
    marks = _words(entry) if table.spec.in_words else _marks(entry, tex=tex)
    return (tex_text(written) if tex else written) + marks


def _mean(entry: Entry, table: Table) -> str:
    if entry.asked == 0:
        return "n/a"
    if entry.summary is None:
        return "—"
    spread = "" if entry.summary.sd is None else f" ± {_number(entry.summary.sd, table)}"
    told = entry.summary.n == entry.asked == len(table.seeds) != 1
    count = "" if told else f" (n={entry.summary.n})"
    return f"{_number(entry.summary.mean, table)}{spread}{count}"


def interval(entry: Entry, table: Table) -> str:
    """The ends of our 95 % interval of the mean; empty where there is none."""
    found = entry.summary
    if found is None or found.low is None or found.high is None:
        return ""
    return f"{_number(found.low, table)} to {_number(found.high, table)}"


def _others(beside: Beside, table: Table) -> str:
    """What others have measured, always with how often: their seeds are not ours."""
    if beside.summary is None:
        return ""
    spread = "" if beside.summary.sd is None else f" ± {_number(beside.summary.sd, table)}"
    return f"{_number(beside.summary.mean, table)}{spread} (n={beside.summary.n})"


def _marks(entry: Entry, *, tex: bool) -> str:
    marks = [
        _mark(status, tex=tex) + ("" if number == entry.asked else f" {number}/{entry.asked}")
        for status, number in _marked(entry)
    ]
    return " " * bool(marks) + ", ".join(marks)


def _words(entry: Entry) -> str:
    every = f"all {entry.asked} " if entry.asked > 1 else ""
    told = [
        (every if number == entry.asked else f"{number} of {entry.asked} ") + MEANINGS.get(status, status)
        for status, number in _marked(entry)
    ]
    return "; " * bool(told) + ", ".join(told)


def _marked(entry: Entry) -> list[tuple[str, int]]:
    """The statuses of its trials that are marked, and how many have each."""
    return [
        (status, number)
        for status, number in sorted(entry.statuses.items())
        if status in MARKS and (status != "missing" or entry.summary is not None or len(entry.statuses) > 1)
    ]


def published(entry: Entry, table: Table, *, tex: bool = False) -> str:
    """The published number, ours minus it, and the verdict."""
    if entry.published is None:
        return ""
    text = _number(entry.published, table)
    if entry.published_sd is not None:
        text += f" ± {_number(entry.published_sd, table)}"
    if entry.gap is not None:
        text += f" ({_signed(entry.gap, table)})"
    if entry.verdict is not None:
        text += f" {entry.verdict if tex or table.spec.in_words else VERDICT_SIGNS[entry.verdict]}"
    return text


def _difference(entry: Entry, table: Table) -> str:
    if entry.is_baseline:
        return "baseline"
    if entry.against is None:
        return ""
    return _signed(entry.against.mean, table) + _interval(entry.against, table)


def _interval(summary: Summary, table: Table) -> str:
    half = half_width(summary)
    return "" if half is None else f" ± {_number(half, table)}"


def _number(value: float, table: Table, *, sign: str = "") -> str:
    return fixed(value * table.spec.scale, table.spec.digits, f"{sign}z")


def _signed(value: float, table: Table) -> str:
    written = _number(value, table, sign="+")
    return written if written.strip("+0.") else written[1:]  # a zero has no sign


def title(table: Table, said: Callable[[str], str] = str) -> str:
    """The table's name, metrics as they are `said`, and profile in a line."""
    named = table.sweep if table.spec.name == table.sweep else f"{table.sweep}, table {table.spec.name}"
    shown = ", ".join(said(one.spec.metric) + " in %" * one.spec.in_percent for one in table.parts)
    profile = f", profile {table.profile}" if table.profile else ""
    return printable(f"{named}: {shown}{profile}")


def legend(table: Table, *, tex: bool = False) -> list[str]:
    """What the marks mean, as far as they occur, and the table's notes."""
    seeds = table.seeds
    span = f"seed{'s' * (len(seeds) > 1)} {in_ranges(seeds)}"
    lines = [f"mean ± sd over n = {len(seeds)} seeds ({span})" if len(seeds) > 1 else f"n = 1 ({span})"]
    every = [entry for one in table.parts for _, _, entry in one.flat()]
    if any(entry.asked not in (0, len(seeds)) for entry in every):
        lines[0] += "; other numbers of seeds are written as n"
    if len(seeds) == 2:
        lines[0] += "; two seeds decide nothing, train more"
    if any(entry.against is not None for entry in every):
        chosen = ", ".join(table.spec.baseline.values())
        lines.append(f"Δ: difference from {chosen}, paired by seed, ± half its 95 % interval")
    of_published = (line for one in table.parts for line in _of_published(one, tex=tex))
    lines += dict.fromkeys(of_published)
    imported = dict[str, None]()
    for source in (source for one in table.parts for source in one.sources):
        whence = "; ".join(f"{o.file}, sha256 {o.sha256[:12]}, {o.date}" for o in source.origins)
        imported[f"{source.name}: imported, not trained here, and in no other number ({whence})"] = None
    lines += imported
    notes = dict.fromkeys(note for one in table.parts for note in one.notes)
    escape = tex_text if tex else str
    written = [escape(printable(line)) for line in (*lines, *notes)]
    occurring = {status for entry in every for status in entry.statuses} & set(MARKS)
    if occurring and not table.spec.in_words:
        marks = ", ".join(f"{_mark(s, tex=tex)} {MEANINGS.get(s, s)}" for s in MARKS if s in occurring)
        written.insert(1, f"{marks}; 1/3 behind a mark: 1 of 3 trials")
    return written


def _of_published(table: Table, *, tex: bool) -> Iterator[str]:
    """Whose numbers stand beside ours, and what is near them."""
    published = table.spec.published
    if published is None:
        return
    theirs = "theory's" if published.what == "theory" else "the published"
    yield f"{published.what}: {published.source}"
    if any(entry.verdict for _, _, entry in table.flat()) and published.tolerance is not None:
        limit = f"{published.tolerance:g}{' points' if table.spec.in_percent else ''}"
        limit += " or two published standard deviations" if published.spread else ""
        signs = ("within: ", "outside: ") if tex or table.spec.in_words else ("✓ ", "✗ ")
        yield f"{signs[0]}at most {limit} from {theirs} number, {signs[1]}more"


def _mark(status: str, *, tex: bool) -> str:
    superscript = _TEX_MARKS.get(status, r"\cdot")
    return f"$^{{{superscript}}}$" if tex else MARKS[status]
