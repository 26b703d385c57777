"""Which drivers beat, by looking at them again and again."""

from __future__ import annotations


class Watch:
    """What was seen of other drivers' heartbeats."""

    def __init__(self, *, stale: float, gap: float) -> None:
        """Nothing is seen yet.

        Args:
            stale: seconds of silence after which a driver is dead.
            gap: seconds between two looks of which no more counts: the store may have been away in it.
        """
        self._stale, self._gap = stale, gap
        self._met: dict[str, tuple[str, float, float]] = {}  # first heartbeat, seconds of silence, last look

    def lives(self, driver: str, heartbeat: str, now: float) -> bool | None:
        """Whether a driver beats, which has `heartbeat` at `now`; None: that is not known yet."""
        first, silent, looked = self._met.get(driver, (heartbeat, 0.0, now))
        silent += min(now - looked, self._gap)
        self._met[driver] = (first, silent, now)
        if heartbeat != first:
            return True
        return None if silent <= self._stale else False
