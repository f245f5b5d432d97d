"""Where events go. Used by control; satisfied by observe.events and testing.FakeEvents."""

from typing import Protocol

from bateau.domain.event import Event


class Events(Protocol):
    """A sink of events. What it cannot keep it drops and reports itself: control never waits for it."""

    def emit(self, event: Event) -> None:
        """Take an event. Never raises and never blocks."""
        ...
