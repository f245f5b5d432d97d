"""Events of the timeline as rows of a table, the latest first.

Called by ui.pages.service_page and ui.pages.timeline_page.

Invariant: a text of an event is shown as text, also one that another system has sent. Held by
tests/ui/test_timeline_page.py::test_what_another_system_has_sent_is_text.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

import htpy as h
from markupsafe import Markup

from bateau.domain.timeline import ACTOR, COMMIT, LINK, REVISION, SOURCE, Entry, link_fields, service_of
from bateau.ui.page import View
from bateau.ui.words import safe

_COMMIT_CHARACTERS = 10


def events_table(view: View, entries: Sequence[Entry], *, with_service: bool) -> h.Element:
    """Return a table of events, which come with the latest last."""
    titles = ("Time (UTC)", *(["Service"] if with_service else []), "Event", "About")
    return h.div(".scroll", tabindex="0", role="region", aria_label="Table of events")[
        h.table(".events")[
            h.thead[h.tr[(h.th(scope="col")[title] for title in titles)]],
            h.tbody("#events-rows")[(_kept(view, each, with_service) for each in reversed(entries))],
        ]
    ]


def _kept(view: View, entry: Entry, with_service: bool) -> Markup:
    make = partial(_row, entry, with_service=with_service)
    return view.keep(f"event {entry.number} {with_service}", make, same=(), equal=(entry,))


def _row(entry: Entry, *, with_service: bool) -> h.Element:
    event = entry.event
    at = datetime.fromtimestamp(event.when_s, UTC)
    return h.tr(id=f"event-{entry.number}", class_="warn" if event.warning else None)[
        h.td(data_name="Time (UTC)")[h.time(datetime=at.isoformat(timespec="seconds"))[f"{at:%Y-%m-%d %H:%M:%S}"]],
        with_service and h.td(data_name="Service")[_service(entry)],
        h.td(data_name="Event")[
            h.strong(class_="state bad" if event.warning else None)[safe(event.reason)],
            service_of(event) not in (None, event.subject) and [" ", h.span(".note")[safe(event.subject)]],
            event.says and h.span(".reason")[safe(event.says)],
        ],
        h.td(data_name="About")[(h.span(".reason")[each] for each in _about(entry))],
    ]


def _service(entry: Entry) -> h.Node:
    kind, _, name = (service_of(entry.event) or "").partition("/")
    if not name or "/" in name:
        return safe(entry.event.subject)
    return h.a(href=f"/ui/services/{kind}/{name}")[safe(name)]


def _about(entry: Entry) -> Iterator[h.Node]:
    fields = entry.event.fields
    if commit := fields.get(COMMIT):
        yield h.code[safe(commit[:_COMMIT_CHARACTERS])]
    if revision := fields.get(REVISION):
        yield f"revision {safe(revision)}"
    if actor := fields.get(ACTOR):
        yield f"by {safe(actor)}"
    source = safe(fields.get(SOURCE, ""))
    if link := link_fields(fields.get(LINK, "")).get(LINK):
        yield h.a(href=link, rel="noreferrer")[source or "more"]
    elif source:
        yield source
