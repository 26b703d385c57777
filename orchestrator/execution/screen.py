"""Where somebody sees what happens to trials: what a driver asks of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from orchestrator.events import Event


class Screen(Protocol):
    """Where a person, or a program, sees what happens to trials."""

    def on_event(self, event: Event) -> None:
        """Something happened to a trial."""

    def tell(self, event: Event, note: str) -> None:
        """A person should know this of `event`."""

    def close(self) -> None:
        """Nothing follows."""


class Listening:
    """No screen: whoever wants to hear of events does."""

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        """Pass events on to `on_event`."""
        self._on_event = on_event

    def on_event(self, event: Event) -> None:
        """Something happened to a trial."""
        if self._on_event is not None:
            self._on_event(event)

    def tell(self, event: Event, note: str) -> None:
        """The trial's log has it."""

    def close(self) -> None:
        """There is nothing to end."""
