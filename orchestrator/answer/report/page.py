"""Chapters as one HTML file that asks nothing of a network: style, script and pictures are in it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from orchestrator.answer.report.methods import entries
from orchestrator.answer.report.spectra import DECADES, HEIGHT, WIDTH
from orchestrator.answer.report.values import Chapter

STATISTICS = ("holm", "clopper_pearson")
"""What the comparisons of every report rest on."""


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
    cited = {part.reference for one in chapters for part in one.parts if part.reference}
    references = sorted(cited | {entries()[key] for key in STATISTICS})
    title = chapters[0].name if len(chapters) == 1 else f"{len(chapters)} sweeps"
    return template.render(
        title=title,
        chapters=chapters,
        claims=[claim for one in chapters for claim in one.claims],
        references=references,
        version=version,
        style=here.joinpath("page.css").read_text(encoding="utf-8"),
        script=here.joinpath("page.js").read_text(encoding="utf-8"),
        width=WIDTH,
        height=HEIGHT,
        decades=DECADES,
    )
