"""Chapters as one HTML file that asks nothing of a network: style, script and pictures are in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from orchestrator.answer.report.chapter import chapter
from orchestrator.answer.report.claims import counted_verdicts
from orchestrator.answer.report.methods import entries
from orchestrator.answer.report.spectra import HEIGHT, WIDTH
from orchestrator.answer.report.values import Chapter
from orchestrator.planning.expand import Expansion
from orchestrator.records import Curves, TrialRecord


def page(chapters: Sequence[Chapter], *, version: str) -> str:
    """The report as HTML.

    Args:
        chapters: the sweeps, in order.
        version: of what made it.
    """
    import jinja2

    here = resources.files(__package__)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(here.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    claims = [claim for one in chapters for claim in one.claims]
    cited = {part.reference for one in chapters for part in one.parts if part.reference}
    told = " ".join(sentence for one in chapters for sentence in one.methods)
    references = sorted(cited | {text for key, text in entries().items() if f"[{key}]" in told})
    title = chapters[0].name if len(chapters) == 1 else f"{len(chapters)} sweeps"
    return template.render(
        title=title,
        chapters=chapters,
        claims=claims,
        verdicts=counted_verdicts(claims),
        references=references,
        version=version,
        style=here.joinpath("page.css").read_text(encoding="utf-8"),
        script=here.joinpath("page.js").read_text(encoding="utf-8"),
        width=WIDTH,
        height=HEIGHT,
    )


def page_of(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    curves: Mapping[str, Curves],
    *,
    version: str,
    say: Callable[[str], None],
    **parts: Any,
) -> str | None:
    """One sweep's report as HTML; None, with a word, if it cannot be made: results are kept without it.

    Args:
        expansion: the trials asked for.
        records: what arrived, by trial id.
        curves: curves and spectra, by trial id.
        version: of what made it.
        say: gets the reason in one line.
        parts: what else `chapter` is told.
    """
    try:
        return page([chapter(expansion, records, curves, **parts)], version=version)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        say(f"orch: the report could not be made: {type(error).__name__}: {reason}")
        return None
