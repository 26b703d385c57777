"""A sweep's figures as files of the user's choice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.answer import publish
from orchestrator.answer.comparison.beside import curves_of_others
from orchestrator.errors import UsageError
from orchestrator.language.hints import cut
from orchestrator.process.words import one_of
from orchestrator.records import TrialRecord
from orchestrator.sweep import Sweep

WIDTHS = {"column": 3.25, "text": 5.5, "page": 6.75}
"""Inches: a column and both of a paper with two (ICML's), and the text of one with one (NeurIPS', ICLR's)."""


def inches(width: str) -> float:
    """A width as it is typed: inches, or a part of a paper; UsageError: neither."""
    try:
        return WIDTHS[width] if width in WIDTHS else float(width)
    except ValueError:
        raise UsageError(f"--width {cut(width)}: expected inches, or {one_of([*WIDTHS])}") from None


def write_figures(
    sweep: Sweep,
    folder: Path,
    *,
    formats: tuple[str, ...],
    plain: bool,
    others: Sequence[TrialRecord] = (),
) -> list[Path]:
    """Draw the sweep's figures, with curves of `others`, into `folder`; `plain`: without title and origin."""
    expansion, store = sweep.expansion, sweep.store()
    if not expansion.spec.figures:
        raise UsageError(f"sweep '{expansion.spec.name}' has no figures; add `figures:` to its file")
    curves = store.curves([trial.id for trial in expansion.trials])
    theirs = store.curves([one.trial_id for one in others]) if others else {}
    beside = curves_of_others(expansion, others, theirs)
    records = sweep.records()
    if not beside:
        publish.check_results(expansion, expansion.spec.figures, records, curves)
    problems: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)  # first: to draw takes long
        files = publish.figure_files(
            expansion, records, curves, problems, formats=formats, plain=plain, beside=beside
        )
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; choose another folder with --out") from None
    if problems:
        there = f"written all the same: {', '.join(files)}" if files else "none could be drawn"
        raise UsageError("\n".join([*problems, there]))
    return [folder / name for name in files]
