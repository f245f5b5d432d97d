"""The timeline: everything that has happened to the services, as numbered events.

Kept by store.timeline; read by cli.timeline and wiring.timeline.

The fields of an event correlate it with others: see `ABOUT`.
"""

from dataclasses import dataclass
from typing import Final

from bateau.domain.event import Event

# Names of fields. An event is about its service, its revision, its commit and its trace.
SERVICE: Final = "service"
REVISION: Final = "revision"
COMMIT: Final = "commit"
TRACE: Final = "trace"
ABOUT: Final = (REVISION, COMMIT, TRACE)
# The actor, the system that reports the event, and an address with more.
ACTOR: Final = "actor"
SOURCE: Final = "source"
LINK: Final = "link"
_PREFIX_MIN: Final = 4  # of a commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event, and its number: later ones have larger numbers, and a number is never used again."""

    number: int
    event: Event

    @property
    def links_others(self) -> bool:
        """Whether events without a service may belong to its service, by its commit or its trace."""
        return service_of(self.event) is not None and bool(self.event.fields.keys() & {COMMIT, TRACE})

    def is_about(self, value: str) -> bool:
        """Whether its revision, commit or trace has a value. A few characters of a commit suffice.

        >>> event = Event(when_s=0, subject="app/shop", reason="Released", fields={"commit": "abcdef"})
        >>> Entry(number=1, event=event).is_about("abcd")
        True
        """
        found = [self.event.fields[name] for name in ABOUT if name in self.event.fields]
        return any(each == value or (len(value) >= _PREFIX_MIN and each.startswith(value)) for each in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event of another system, and what that system calls it, so that it is kept once."""

    event: Event
    uid: str


def link_fields(link: str) -> dict[str, str]:
    """Return the field of a link to a web page. Any other link is left out: a page could run it as a script.

    >>> link_fields("https://ci.example.org/7"), link_fields("javascript:alert(1)")
    ({'link': 'https://ci.example.org/7'}, {})
    """
    return {LINK: link} if link.lower().startswith(("https://", "http://")) else {}


def service_of(event: Event) -> str | None:
    """Return the key of the service that an event is about, None for those about the whole instance.

    >>> service_of(Event(when_s=0, subject="model/chat", reason="Ready"))
    'model/chat'
    """
    return event.fields.get(SERVICE) or (event.subject if "/" in event.subject else None)
