"""Keeps a sweep's tables and figures in the store: behind the table, which no failure here takes away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from orchestrator import __version__
from orchestrator.answer import explain, publish
from orchestrator.answer.report.chapter import drawn_trials
from orchestrator.answer.report.page import page_of
from orchestrator.answer.tables import Table
from orchestrator.errors import Interrupted, OrchError, StoreAway
from orchestrator.execution.run import SweepResult
from orchestrator.language.yaml_text import written
from orchestrator.planning.expand import Expansion
from orchestrator.planning.plan import Plan
from orchestrator.process.words import counted
from orchestrator.recording.bundle.selecting import tree_of
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.records import Curves, SweepInfo

REPORT = "report.html"
PLOTTED = 60  # trials of one call that get plots of their own, at half a second each
Say = Callable[[str], None]


class Answer(NamedTuple):
    """What a sweep came to: its results, and the tables made of them."""

    expansion: Expansion
    """What was asked for in the end."""
    result: SweepResult
    tables: list[Table]
    problems: list[str]
    """Why a table could not be made, a line each."""

    def left(self, *, begun: bool = True) -> str:
        """How many trials and evaluations have no result, or else have not `begun` either, in words."""
        plans = {"trial": (self.expansion.trials, self.result.records)}
        if (found := self.result.evaluations) is not None:
            plans["evaluation"] = (found.expansion.trials, found.records)
        search = self.expansion.spec.searches
        numbers = {
            what: sum(t.id not in there or (begun and not there[t.id].counts(search=search)) for t in trials)
            for what, (trials, there) in plans.items()
        }
        told = [counted(number, what) for what, number in numbers.items() if number]
        return " and ".join(told) or counted(0, "trial")

    @property
    def failures(self) -> list[str]:
        """A line for each trial and each evaluation that failed, with its cause."""
        lines = list(explain.failed(self.expansion.trials, self.result.records))
        if (found := self.result.evaluations) is not None:
            lines += explain.failed(found.expansion.trials, found.records, what="evaluation ")
        return lines


def answered(expansion: Expansion, result: SweepResult) -> Answer:
    """`result` with the tables that can be made of it."""
    problems: list[str] = []
    made = publish.tables(expansion, result.records, problems) if expansion.spec.tables else []
    return Answer(expansion, result, made, problems)


def published(plan: Plan, store: JournaledStore, answer: Answer, info: SweepInfo, *, say: Say) -> SweepResult:
    """The result, and whether its tables and figures are in the store, or on their way there."""
    result = answer.result
    try:
        _publish(plan, store, answer, info, say=say)
    except StoreAway:
        say("figures and summary wait for the tracker: the same command makes them")
    except (OrchError, Interrupted):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        say(f"orch: figures and summary could not be made: {type(error).__name__}: {reason}")
    else:
        return result
    return result._replace(unpublished=True)


def _publish(plan: Plan, store: JournaledStore, answer: Answer, info: SweepInfo, *, say: Say) -> None:
    """Keep tables and figures in the store, those of the sweep and those of each trial trained just now."""
    expansion, result = plan.expansion, answer.result
    content = publish.content(expansion, result.records)
    if not any(record.is_done for record in result.records.values()):
        return
    there = store.published(info)
    if there == content or publish.shows_more(there, content):  # such as --seeds 1 after all of them
        return
    problems: list[str] = []
    undrawn: list[str] = []
    files = publish.table_files(answer.tables, problems)
    figures: dict[str, bytes] = {}
    curves: dict[str, Curves] | None = None
    try:
        curves = store.curves(drawn_trials(expansion))
    except StoreAway:
        if expansion.spec.figures:
            raise
    if curves is not None and expansion.spec.figures:
        figures = publish.figure_files(expansion, result.records, curves, undrawn)
        plotted = [trial for trial in plan.todo if trial.id in curves]
        for trial in plotted[:PLOTTED]:
            record = result.records[trial.id]
            store.attach(trial.id, publish.trial_figure_files(expansion, trial, curves, record))
        if len(plotted) > PLOTTED:
            say(f"plots of their own for the first {PLOTTED} of {len(plotted)} trials")
    for problem in (*problems, *undrawn):
        say(f"orch: {problem}")
    files |= figures
    if curves is not None:  # of a tracker that is away nothing but tables can be kept
        html = page_of(
            expansion,
            result.records,
            curves,
            version=__version__,
            say=say,
            tables=answer.tables,
            problems=[*answer.problems, *undrawn],
            anchor="sweep",
            command=info.provenance.command,
            source=written(tree_of(expansion.spec, Path())),
            figures=figures,
            and_curves=True,
        )
        files |= {REPORT: html.encode()} if html is not None else {}
    store.publish(info, files, content=content)
    where = "in the journal, for" if store.away else "in"
    say(
        f"tables, figures and report: summary run of experiment {info.name} {where} {store.describe()}; "
        "`orch ui` shows them, `orch figures` writes them to files"
    )
