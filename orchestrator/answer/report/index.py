"""An index of claims in GitHub's Markdown: a row per claim, published beside ours, with a verdict."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.answer.formats.md import escaped, in_rows
from orchestrator.answer.report.claims import (
    NOT,
    NOT_RUN,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDED,
    claims_of,
)
from orchestrator.answer.report.methods import configs_of, settings_of
from orchestrator.answer.report.values import Claim
from orchestrator.answer.tables import Table
from orchestrator.planning.expand import Expansion
from orchestrator.process.words import counted

MADE = "<!-- made by orch report, not by hand -->"
WORDS = (REPRODUCED, NOT, UNDECIDED, NOT_TESTABLE, NOT_RUN)
LEGEND = """\
- **reproduced**: a number within the tolerance that its sweep file declares, or within two published standard
  deviations where those are more, with all of its 95 % interval; a direction of which the tests show the
  difference from first to last, and no step is against it; an expectation that the tests show.
- **not**: a number outside, with all of its interval; a direction, or an expectation, of which the tests show
  the contrary.
- **undecided at n**: so many seeds show neither. One seed of anything random decides nothing.
- **not testable at this scale**: a number that was published for another setting than ours, or an accuracy
  that is expected because of it.
- **not run**: the command would train it.

Ours is mean ± sd over n seeds, with the 95 % interval of the mean by Student's t, which of two seeds may be
wider than all that a share can be; of expectations the mean with its 90 % interval, whose ends are the
one-sided 5 % bounds that decide. Behind a published number stands ours minus it, with ✓ where that is within,
✗ where it is outside. † is a total, ° a dimensional collapse. An expectation was written down before its
trials were trained, and kept with each of them, unless its row says otherwise."""
HEAD = ("claim", "published", "ours", "n", "setting", "verdict", "made by")


class Section(NamedTuple):
    """A sweep's claims under one setting."""

    name: str
    question: str | None
    setting: str
    """Data, network, budget and profile."""
    command: str
    """What makes it."""
    sources: list[str]
    """Where numbers were published."""
    claims: list[Claim]
    problems: list[str]
    """Why tables could not be made."""


def section(
    expansion: Expansion, tables: Sequence[Table], *, problems: Sequence[str], command: str
) -> Section:
    """What an index says of a sweep.

    Args:
        expansion: the trials asked for.
        tables: those of the sweep.
        problems: why others could not be made, a line each.
        command: what makes it.
    """
    spec = expansion.spec
    every = [part.spec.published for table in tables for part in table.parts]
    sources = dict.fromkeys(f"{one.what}: {one.source}" for one in every if one is not None)
    claims = claims_of(expansion, tables, spec.name)
    told = [*problems, *expansion.left_out]
    return Section(spec.name, spec.question, _setting(expansion), command, list(sources), claims, told)


def answered(results: Sequence[Section], nothing: Section) -> list[Section]:
    """Sections of one sweep in which each claim stands where it was run, and else once.

    Args:
        results: its sections, each of the results of one setting.
        nothing: the same sweep without results.
    """
    ran = [one._replace(claims=[c for c in one.claims if c.answer != NOT_RUN]) for one in results]
    told = _distinct(ran)
    left = [claim for claim in nothing.claims if (claim.what, claim.source) not in told]
    return [*(one for one in ran if one.claims or one.problems), nothing._replace(claims=left)]


def index(sections: Sequence[Section], notes: Mapping[str, str]) -> str:
    """The index as Markdown; sweeps that notes speak of come first, in their order.

    Args:
        sections: those are shown that have claims, or of which notes speak.
        notes: what was written by hand of each sweep, by its name, and of all under "".
    """
    place = {name: number for number, name in enumerate(notes)}
    shown = sorted(
        (one for one in sections if one.claims or one.problems or notes.get(one.name, "").strip()),
        key=lambda one: place.get(one.name, len(place)),
    )
    names = list(dict.fromkeys(one.name for one in shown))
    groups = {name: [one for one in shown if one.name == name] for name in names}
    counts = {name: _counts(group) for name, group in groups.items()}
    total: Counter[str] = sum(counts.values(), Counter())
    told = ", ".join(f"{total[word]} {word}" for word in WORDS if total[word])
    parts = [MADE, notes.get("", "").strip() or "# Published and ours"]
    claims, rows = sum(len(_distinct(group)) for group in groups.values()), total.total()
    said = counted(claims, "claim")
    said += (
        f", in {rows} rows, for some were run in several settings or stand in several tables"
        if rows > claims
        else ""
    )
    said += f": {told}" if told else ""
    parts += [f"**{said}.**", _overview(counts), LEGEND]
    for name, group in groups.items():
        parts.append(f"## {name}")
        parts += [f"*{_in_a_line(group[0].question)}*"] if group[0].question else []
        found = [_row(claim, one) for one in group for claim in one.claims]
        parts.append(in_rows(HEAD, found) if found else "No claim.")
        below = [*(s for one in group for s in one.sources), *(p for one in group for p in one.problems)]
        parts += [f"- {_in_a_line(one)}" for one in dict.fromkeys(below)]
        parts += [notes[name].strip()] if notes.get(name, "").strip() else []
    return _joined(parts)


def _setting(expansion: Expansion) -> str:
    """Data, network, budget and profile that all its cells share, in words."""
    shared = dict(settings_of(configs_of(expansion)))
    trainers = ", ".join(dict.fromkeys(cell.trainer for cell in expansion.cells))
    width = f" of width {shared['encoder.width']}" if "encoder.width" in shared else ""
    encoder = shared.get("encoder.name")
    epochs = shared.get("epochs")
    told = [
        shared.get("data.label") or shared.get("data.name") or trainers,
        f"{encoder}{width}" if encoder else "",
        f"{epochs} epochs" if epochs else "",
        "bf16" if shared.get("precision") == "bf16" else "",
        f"profile {expansion.setting}" if expansion.setting else "",
    ]
    return ", ".join(filter(None, told))


def _row(claim: Claim, one: Section) -> tuple[str, ...]:
    ours = claim.ours + (f" ({claim.interval})" if claim.interval else "")
    ran = claim.answer != NOT_RUN
    words = (
        claim.what,
        claim.source or (claim.published if ran else claim.published.replace(" …", "")),
        ours if ran else "",
        claim.n if ran else "",
        one.setting,
        claim.answer,
    )
    command = one.command.replace("|", r"\|")  # in a table this counts in code, too
    return (*map(_in_a_line, words), f"`{command}`")


def _in_a_line(words: str) -> str:
    return escaped(" ".join(words.split()))


def _distinct(group: Sequence[Section]) -> set[tuple[str, str]]:
    """Its claims, whatever setting they were run in."""
    return {(claim.what, claim.source) for one in group for claim in one.claims}


def _counts(group: Sequence[Section]) -> Counter[str]:
    """How many rows have which word."""
    answers = [claim.answer for one in group for claim in one.claims]
    return Counter(next((word for word in WORDS[::-1] if one.startswith(word)), one) for one in answers)


def _overview(counts: Mapping[str, Counter[str]]) -> str:
    others = sorted({word for count in counts.values() for word in count} - set(WORDS))
    words = [*WORDS, *others]
    head = ("sweep", *words)
    lines = (
        (f"[{escaped(name)}](#{name.lower().replace('.', '')})", *(str(count[word] or "") for word in words))
        for name, count in counts.items()
    )
    return in_rows(head, lines)


def _joined(parts: Sequence[str]) -> str:
    """Parts with an empty line between them, but between the points of a list."""
    text = parts[0]
    for before, part in itertools.pairwise(parts):
        text += ("\n" if before.startswith("- ") and part.startswith("- ") else "\n\n") + part
    return text + "\n"
