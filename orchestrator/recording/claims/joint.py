"""Claims among drivers of one home and among those that share only a store, as one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from orchestrator.errors import Interrupted, StoreAway, StoreError
from orchestrator.process.command import typed_command
from orchestrator.process.driver import Owner, this_driver
from orchestrator.process.signals import Stop
from orchestrator.process.waiting import said_if_slow
from orchestrator.recording.claims.home import Claims
from orchestrator.recording.claims.shared import SharedClaims

if TYPE_CHECKING:
    from orchestrator.recording.workspace import Workspace


class JointClaims:
    """Claims in this home folder and, where the store is shared with others, in the store."""

    def __init__(self, local: Claims, shared: SharedClaims | None, *, say: Callable[[str], None]) -> None:
        """Use both; `say` is told when the store does not answer."""
        self.local, self.shared, self._say = local, shared, say
        self._elsewhere: dict[str, Owner] = {}

    def take(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Claim these trials; those of other living drivers are returned with them."""
        held = self.local.take(trial_ids)
        rest = [trial_id for trial_id in trial_ids if trial_id not in held]
        if self.shared is None or not (rest or self.shared.entered):
            return held
        try:
            with said_if_slow("asking the store who trains these trials", self._say):
                self._elsewhere = self.shared.take(rest)
        except StoreError as error:
            self._say(
                "while the store does not answer, whether another machine trains some of these trials is not "
                f"known ({error})"
                if not isinstance(error, StoreAway)
                else "whether another machine trains some of these trials is not known until it answers"
            )
            self._elsewhere = {}
        return held | self._elsewhere

    def held(self, trial_ids: Collection[str]) -> dict[str, Owner]:
        """Which of these trials another living driver has; as before while the store does not answer."""
        if self.shared is not None and self._elsewhere:
            with contextlib.suppress(StoreError):
                self._elsewhere = self.shared.held(self._elsewhere)
        elsewhere = {i: owner for i, owner in self._elsewhere.items() if i in trial_ids}
        return self.local.held(trial_ids) | elsewhere

    def lapsed(self) -> bool:
        """Whether this driver's claims have ended since it took them."""
        return self.shared is not None and self.shared.lapsed()

    def release(self) -> None:
        """Give everything back."""
        try:
            self.local.release()
        finally:
            if self.shared is not None:
                self.shared.release()


def claims_of(
    space: Workspace, stop: Stop, say: Callable[[str], None], *, shared: bool = True
) -> JointClaims:
    """The claims of this driver, whom `stop` ends; `shared` with other homes' drivers, where they can be."""
    registry, command = space.store_at.registry() if shared else None, typed_command()

    def pause(seconds: float) -> None:
        time.sleep(seconds)
        if stop.requested:
            raise Interrupted

    def on_stop(why: str) -> None:
        stop.requested = True  # first: nothing said may keep it from that
        say(f"orch: this driver stops: {why}")

    others = None
    if registry is not None:
        others = SharedClaims(registry, me=this_driver(command), pause=pause, on_stop=on_stop)
    return JointClaims(Claims(space.claims_in, command=command), others, say=say)
