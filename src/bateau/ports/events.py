"""The port of a sink of events. Used by control; satisfied by the sinks in observe.events."""

from typing import Protocol

from bateau.domain.event import Event


class Events(Protocol):
    """A sink of events. It drops and reports the events that it cannot store, so control never waits for it."""

    def emit(self, event: Event) -> None:
        """Accept an event. Never raises and never blocks."""
        ...
