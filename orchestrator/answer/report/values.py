"""What a page says, as values."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.answer.report.methods import Part
from orchestrator.answer.report.spectra import Spectra


class Detail(NamedTuple):
    """Numbers behind a decision, which a page shows on demand."""

    title: str
    head: list[str]
    body: list[list[str]]
    notes: list[str]


class TablePart(NamedTuple):
    """A table, written."""

    title: str
    head: list[str]
    body: list[list[str]]
    legend: list[str]
    decision: str
    """What the seeds decide; empty without a baseline."""
    details: list[Detail]
    """Its differences with intervals, p, sizes and rates, and what each axis does."""


class TrialPart(NamedTuple):
    """A trial in a list."""

    id: str
    seed: int
    status: str
    mark: str
    numbers: list[str]
    """The tables' metrics."""
    code: str
    origin: str
    """What else is known of where its numbers come from."""
    reason: str
    next_step: str
    log: str
    """The end of its log, where it did not complete."""


class CellPart(NamedTuple):
    """A cell and its trials."""

    label: str
    colour: str
    """In figures."""
    states: str
    differs: list[str]
    """What is set otherwise than in the first cell: "path: there → here" each."""
    trials: list[TrialPart]


class Claim(NamedTuple):
    """What somebody has published, a theory says or the file expects, beside ours."""

    sweep: str
    anchor: str
    what: str
    published: str
    """The number, or where the claim is from."""
    ours: str
    n: str
    verdict: str
    source: str = ""
    """Where a claim in words is made."""
    interval: str = ""
    """Ends of the 95 % interval of ours, where it is a number."""
    answer: str = ""
    """The verdict in the words of an index: reproduced, not, undecided at n, ..., and what limits it."""


class Figure(NamedTuple):
    """A picture."""

    name: str
    caption: str
    """What it shows."""
    alt: str
    png: str
    """Base64."""


class Chapter(NamedTuple):
    """Everything about one sweep."""

    anchor: str
    name: str
    question: str | None
    headline: str
    states: str
    tables: list[TablePart]
    problems: list[str]
    missing: int
    command: str
    """What trains the missing trials."""
    figures: list[Figure]
    spectra: Spectra | None
    not_drawn: int
    metrics: list[str]
    """Of its tables, with their units."""
    cells: list[CellPart]
    not_listed: int
    first: str
    """Label of the first cell, with which the others are compared."""
    config: str
    """Its whole config, as JSON."""
    parts: list[Part]
    methods: list[str]
    """What ran, a sentence each."""
    settings: list[tuple[str, str]]
    origin: list[tuple[str, str]]
    """What, and which versions or digests of it."""
    source: str
    """The sweep file."""
    claims: list[Claim]
