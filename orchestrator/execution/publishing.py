"""Keeps a sweep's tables and figures in the store: behind the table, which no failure here takes away."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.answer import publish as answer
from orchestrator.errors import Interrupted, OrchError, StoreAway
from orchestrator.execution.run import SweepResult
from orchestrator.planning.plan import Plan
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.records import SweepInfo

PLOTTED = 60  # trials of one call that get plots of their own, at half a second each
Say = Callable[[str], None]


def published(
    plan: Plan, store: JournaledStore, result: SweepResult, info: SweepInfo, *, say: Say
) -> SweepResult:
    """`result`, and whether its tables and figures are in the store, or on their way there."""
    try:
        _publish(plan, store, result, info, say=say)
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


def _publish(plan: Plan, store: JournaledStore, result: SweepResult, info: SweepInfo, *, say: Say) -> None:
    """Keep tables and figures in the store, those of the sweep and those of each trial trained just now."""
    expansion = plan.expansion
    content = answer.content(expansion, result.records)
    if not any(record.is_done for record in result.records.values()) or store.published(info) == content:
        return
    problems: list[str] = []
    files = answer.table_files(expansion, result.records, [])  # what is wrong with a table is said beside it
    if expansion.spec.figures:
        curves = store.curves([trial.id for trial in expansion.trials])
        files |= answer.figure_files(expansion, result.records, curves, problems)
        plotted = [trial for trial in plan.todo if trial.id in curves]
        for trial in plotted[:PLOTTED]:
            record = result.records[trial.id]
            store.attach(trial.id, answer.trial_figure_files(expansion, trial, curves, record))
        if len(plotted) > PLOTTED:
            say(f"plots of their own for the first {PLOTTED} of {len(plotted)} trials")
    for problem in problems:
        say(f"orch: {problem}")
    store.publish(info, files, content=content)
    where = "in the journal, for" if store.away else "in"
    say(f"tables and figures: summary run of experiment {info.name} {where} {store.describe()}")
