"""Entries of the timeline as JSON.

Called by cli.timeline_text.
"""

from bateau.domain.timeline import Entry, service_of
from bateau.kit.json_value import ReadObject
from bateau.kit.rfc3339 import rfc3339


def entry_json(entry: Entry) -> ReadObject:
    """Return the JSON of an entry."""
    event = entry.event
    return {
        "number": entry.number,
        "when": rfc3339(event.when_s),
        "service": service_of(event),
        "subject": event.subject,
        "reason": event.reason,
        "says": event.says,
        "warning": event.warning,
        "fields": dict(event.fields),
    }
