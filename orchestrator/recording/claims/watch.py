"""Which drivers beat, by looking at them again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.recording.claims.notes import heartbeat_in

_Notes = Mapping[str, Mapping[str, str]]


class Watch:
    """What one thread has seen of other drivers' heartbeats."""

    def __init__(self, *, stale: float, gap: float, clock: Callable[[], float]) -> None:
        """Nothing is seen yet.

        Args:
            stale: seconds of silence after which a driver is dead.
            gap: seconds between two looks of which no more counts: the store may have been away in it.
            clock: seconds that only grow.
        """
        self._stale, self._gap, self._clock = stale, gap, clock
        self._looked: float | None = None
        """When the store answered last; None: it did not answer the last time."""
        self._met: dict[str, tuple[str, float, bool]] = {}
        """Heartbeat, for how many seconds it has been that, and whether it was seen to change."""

    def look(self, read: Callable[[], _Notes]) -> _Notes:
        """The drivers' notes as `read` gives them.

        The time since the last look counts as silence of those that have not beaten in it; none does where
        the store did not answer that time.
        """
        before, self._looked = self._looked, None
        notes = read()
        self._looked = self._clock()
        passed = 0.0 if before is None else min(self._looked - before, self._gap)
        # A driver may have beaten and died while nobody looked.
        watched = before is not None and self._looked - before <= self._gap
        met, self._met = self._met, {}
        for driver, tags in notes.items():
            heartbeat = heartbeat_in(tags)
            known, silent, beats = met.get(driver, (heartbeat, 0.0, False))
            same = heartbeat == known
            self._met[driver] = (heartbeat, silent + passed if same else 0.0, watched and (beats or not same))
        return notes

    def lives(self, driver: str) -> bool | None:
        """Whether a driver of the last look beats; None: that is not known yet."""
        _, silent, beats = self._met[driver]
        if silent > self._stale:
            return False
        return True if beats else None
