"""How a sweep is run, as flags say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from orchestrator.planning.plan import Plan


class Options(NamedTuple):
    """How a sweep is run."""

    executor: str = "ray"
    address: str | None = None
    """Of a Ray cluster, as it was typed; None: this machine."""
    keep_going: bool = False
    fresh: bool = False
    """Whether to begin from the start what has checkpoints."""
    download: bool = False
    ship_code: bool = False
    """Whether a cluster's workers run this driver's code."""
    keep_checkpoints: bool = False
    retrain_changed: bool = False
    """Whether to train again what other code has trained."""
    keep: tuple[Literal["encoder"], ...] = ()
    """What of trained networks is kept."""
    retrain_unkept: bool = False
    """Whether to train again what was trained without keeping that."""
    accept_data: bool = False
    """Whether files that differ from those that done trials saw are the same images."""
    pack: bool = False
    """Whether rehearsals find out what the file leaves unsaid of what a trial needs."""
    verbose: bool = False
    mirror: tuple[str, ...] = ()
    """Where trials are shown beside the store."""

    def with_anew(self, plan: Plan) -> Plan:
        """The plan with what is trained again."""
        if self.retrain_changed:
            plan = plan.with_changed_anew()
        return plan.with_unkept_anew() if self.retrain_unkept else plan
