"""The timeline: everything that has happened to the services, the latest first.

Called by ui.pages.
"""

from collections.abc import Mapping
from functools import partial

import htpy as h

from bateau.ui.events import events_table
from bateau.ui.page import Part, Screen, View


def make(view: View, _parts: Mapping[str, str]) -> Screen:
    """Return the page."""
    return Screen(
        title="Timeline",
        parts=(
            Part(id="summary", make=_summary, live=False),
            Part(id="events", make=partial(_events, view), of=(view.events,), rows="events-rows"),
        ),
    )


def _summary() -> h.Element:
    return h.section("#summary", aria_label="Summary")[
        h.h1["Timeline"],
        h.p(".says")[
            "The latest events. ", h.code["bateau timeline"], " shows older ones, and those of one commit or trace."
        ],
    ]


def _events(view: View) -> h.Element:
    return h.section("#events.panel", aria_labelledby="events-title")[
        h.div(".bar")[
            h.h2("#events-title")["Events"],
            h.input(
                "#filter", type="search", placeholder="Filter", aria_label="Filter events", data_filter="events-rows"
            ),
        ],
        _table(view),
    ]


def _table(view: View) -> h.Element:
    if view.events is None:
        return h.p(".says.warn")["The timeline cannot be read; `bateau logs control` says why."]
    if not view.events:
        return h.p(".says")["Nothing has happened yet."]
    return events_table(view, view.events, with_service=True)
