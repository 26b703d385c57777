"""How sweeps go that are trained elsewhere: cells and seeds again and again, until nothing more happens."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from orchestrator.commands.request import Request
from orchestrator.commands.screen import grid
from orchestrator.commands.train.drivers import who_trains
from orchestrator.errors import StoreAway, printable
from orchestrator.planning.plan import Plan
from orchestrator.process.streams import terminal
from orchestrator.process.words import counted

POLL_S = 2.0
SILENT_S = 20.0  # heartbeats of other machines are rarer than looks
QUIET_S = 60.0  # so long is waited for somebody who trains


_AWAY = f"the store does not answer; asking again for {QUIET_S:.0f} s (Ctrl-C ends this)"


def watch(requests: Sequence[Request], *, say: Callable[[str], None], console: Console | None = None) -> None:
    """Show how the trials of sweeps stand until all have ended, or no driver has lived for `QUIET_S`.

    A terminal (`console`, or stdout's) is redrawn in place; elsewhere there is a line for each change.

    Raises:
        StoreAway: the store has not answered for `QUIET_S`.
    """
    console = Console(file=terminal(sys.stdout)) if console is None else console
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    drivers = [who_trains(request) for request in requests]
    heard = time.monotonic()
    told = ""
    if live is not None:
        live.start()
    try:
        while True:
            now = time.monotonic()
            try:
                plans = [request.look_again() for request in requests]
                others = [_evaluations(request, plan) for request, plan in zip(requests, plans, strict=True)]
                trained = any([living() for living in drivers])
            except StoreAway:
                if now - heard > QUIET_S:
                    raise
                if live is not None:
                    live.update(Text(_AWAY), refresh=True)
                elif told != _AWAY:
                    say(told := _AWAY)
                time.sleep(POLL_S)
                continue
            states = list(map(_states, plans, others))
            if trained:
                heard = now
            over = not trained and not any(state["running"] + state["missing"] for state in states)
            word = _word(requests, states, over, now - heard)
            if live is not None:
                live.update(_picture(requests, plans, others, word), refresh=True)
            elif (line := "; ".join(map(_counts, plans, others))) != told:
                say(told := line)
            if over or now - heard > QUIET_S:
                if live is None:
                    say(word)
                return
            time.sleep(POLL_S)
    finally:
        if live is not None:
            live.stop()


def _word(requests: Sequence[Request], states: Sequence[Counter[str]], over: bool, quiet_s: float) -> str:
    stopped = sum(state["stopped"] for state in states)
    if over and stopped:
        were, them = ("was", "it") if stopped == 1 else ("were", "them")
        ways = _going_on(requests, states, ("stopped",))
        return f"{counted(stopped, 'trial')} {were} stopped; {ways} with {them}"
    if over:
        return "all trials have ended"
    if quiet_s > QUIET_S:
        ways = _going_on(requests, states, ("running", "missing", "stopped"))
        return f"nobody has trained for {QUIET_S:.0f} s; {ways} with what is left"
    if quiet_s > SILENT_S:
        return f"nobody trains; watching for {QUIET_S:.0f} s whether somebody begins (Ctrl-C ends this)"
    return "watching (Ctrl-C ends this, and no trial)"


def _going_on(requests: Sequence[Request], states: Sequence[Counter[str]], left: Sequence[str]) -> str:
    """The commands that go on with the sweeps of which trials stand so."""
    ways = [
        request.filled("`orch sweep`")
        for request, state in zip(requests, states, strict=True)
        if any(state[status] for status in left)
    ]
    return f"{' and '.join(ways)} {'goes' if len(ways) == 1 else 'go'} on"


def _evaluations(request: Request, plan: Plan) -> Plan | None:
    """How a sweep's evaluations stand; None if it has none."""
    return request.evaluation_plan(plan.records)[1] if plan.expansion.spec.evaluations else None


def _picture(
    requests: Sequence[Request], plans: Sequence[Plan], others: Sequence[Plan | None], word: str
) -> Group:
    lines = []
    for request, plan, other in zip(requests, plans, others, strict=True):
        lines += [request.headline, *grid.cells_by_seed(plan), _counts(plan, other)]
    cropped = (Text(printable(line), no_wrap=True, overflow="crop") for line in lines)
    return Group(*cropped, Text(printable(word)))  # which names commands, and they are typed whole


def _states(*plans: Plan | None) -> Counter[str]:
    return Counter(plan.status(trial.id) for plan in filter(None, plans) for trial in plan.expansion.trials)


def _counts(plan: Plan, evaluations: Plan | None) -> str:
    told = [(plan.expansion.spec.name, plan), *([("evaluations", evaluations)] if evaluations else [])]
    listed = [(name, ", ".join(f"{n} {status}" for status, n in _states(p).items())) for name, p in told]
    return ", ".join(f"{name}: {words or 'none yet'}" for name, words in listed)
