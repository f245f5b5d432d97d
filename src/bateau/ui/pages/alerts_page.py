"""The alerts: those that fire, the silences, those that have ended, where they are delivered to, and the rules.

Called by ui.pages.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import htpy as h

from bateau.domain.alert import Alert, AlertBoard, Silence
from bateau.domain.alert_rules import RULES
from bateau.ui.alerts import firing_section, time
from bateau.ui.page import Part, Screen, View
from bateau.ui.words import DASH, safe

ENDED_MAX: Final = 50
_TIMES: Final = (
    ("3600", "1 hour"),
    ("7200", "2 hours"),
    ("28800", "8 hours"),
    ("86400", "1 day"),
    ("604800", "1 week"),
)


def make(view: View, _parts: Mapping[str, str]) -> Screen:
    """Return the page."""
    board, may = view.alerts, view.role != "view"
    return Screen(
        title="Alerts",
        parts=(
            Part(id="summary", make=partial(_summary, board), of=(board,)),
            Part(id="alerts", make=partial(firing_section, board.firing, view.role, reports=False), of=(board,)),
            Part(id="silences", make=partial(_silences, board, may=may), of=(board,)),
            *([Part(id="silence", make=partial(_form, view), live=False)] if may else []),
            Part(id="receivers", make=partial(_receivers, board, may=may, on_cluster=view.on_cluster), of=(board,)),
            Part(id="ended", make=partial(_ended, board), of=(board,)),
            Part(id="rules", make=_rules, live=False),
        ),
        scripts=("alerts.js",),
    )


def _summary(board: AlertBoard) -> h.Element:
    says = "Nothing is wrong that a rule knows of." if not board.firing else None
    return h.section("#summary", aria_label="Summary")[
        h.div(".heading")[h.h1["Alerts"], h.span("#alerts-done.note", role="status", data_keep="children")],
        says and h.p(".says")[h.span(".state.good")[says]],
    ]


def _silences(board: AlertBoard, *, may: bool) -> h.Element:
    columns = ("Silence", "Until", "By", "Why", *(["End"] if may else []))
    return h.section("#silences.panel", aria_labelledby="silences-title", hidden=not board.silences)[
        h.div(".bar")[h.h2("#silences-title")["Silences"]],
        _table("Table of silences", columns, [_silence(each, may=may) for each in board.silences]),
    ]


def _silence(each: Silence, *, may: bool) -> h.Element:
    about = " of ".join(text for text in (each.name or "all alerts", each.service) if text)
    return h.tr(id=f"silence-{each.id}")[
        h.th(scope="row")[safe(about)],
        h.td(data_name="Until")[time(each.until)],
        h.td(data_name="By")[safe(each.by)],
        h.td(data_name="Why")[safe(each.why)],
        may and h.td[h.button(type="button", data_alert=f"/ui/alerts/unsilence/{each.id}")["End"]],
    ]


def _form(view: View) -> h.Element:
    return h.section("#silence.panel", aria_labelledby="silence-title")[
        h.div(".bar")[
            h.h2("#silence-title")["Silence alerts"],
            h.span(".note")["They are still evaluated and recorded, and not delivered while they fire."],
        ],
        h.form("#silence-form", data_alert="/ui/alerts/silence")[
            _choice(
                "Service", [("", "all services"), *((each.service, each.service) for each in view.status.services)]
            ),
            _choice("Alert", [("", "all alerts"), *((each.name, each.name) for each in RULES)]),
            _choice("For", _TIMES),
            h.div(".field.wide")[
                h.label(for_="silence-why")["Why"],
                h.input("#silence-why", name="why", required=True, maxlength="500", placeholder="for the others"),
            ],
            h.button(".main", type="submit")["Silence"],
        ],
    ]


def _choice(label: str, options: Sequence[tuple[str, str]]) -> h.Element:
    name = label.lower()
    return h.div(".field")[
        h.label(for_=f"silence-{name}")[label],
        h.select(f"#silence-{name}", name=name)[(h.option(value=value)[says] for value, says in options)],
    ]


def _receivers(board: AlertBoard, *, may: bool, on_cluster: bool) -> h.Element:
    rows = [
        h.tr(id=f"receiver-{name}")[
            h.th(scope="row")[name],
            h.td[h.span(class_=["state", "bad" if error else "good"])[safe(error) if error else "no failure"]],
        ]
        for name, error in board.receivers
    ]
    none = h.p(".empty")[
        "Alerts are not delivered to anybody. Set ",
        h.code["BATEAU_ALERTS_WEBHOOK_URL"],
        ", or one of the other variables in the guide to alerts, when you start ",
        h.code["bateau controller" if on_cluster else "bateau up"],
        ".",
    ]
    return h.section("#receivers.panel", aria_labelledby="receivers-title")[
        h.div(".bar")[
            h.h2("#receivers-title")["Receivers"],
            may and rows and h.button(type="button", data_alert="/ui/alerts/test")["Send a test alert"],
        ],
        _table("Table of receivers", ("Receiver", "State"), rows) if rows else none,
    ]


def _ended(board: AlertBoard) -> h.Element:
    latest = [*reversed(board.ended)][:ENDED_MAX]
    columns = ("Alert", "About", "Began", "Ended", "Cause")
    return h.section("#ended.panel", aria_labelledby="ended-title", hidden=not latest)[
        h.div(".bar")[h.h2("#ended-title")["Ended within a week"]],
        _table("Table of ended alerts", columns, [_ended_row(each) for each in latest]),
    ]


def _ended_row(each: Alert) -> h.Element:
    about = h.a(href=f"/ui/services/{safe(each.service)}")[safe(each.service)] if each.service else safe(each.subject)
    return h.tr[
        h.th(scope="row")[each.name, h.span(".reason")[safe(each.summary)]],
        h.td(data_name="About")[about],
        h.td(data_name="Began")[time(each.since)],
        h.td(data_name="Ended")[time(each.ended_at) if each.ended_at else DASH],
        h.td(data_name="Cause")[h.span(".reason")[safe(each.cause) or "not known"]],
    ]


def _rules() -> h.Element:
    rows = [
        h.tr[
            h.th(scope="row")[each.name],
            h.td(data_name="Severity")[
                h.span(class_=["state", "bad" if each.severity == "critical" else "warn"])[each.severity]
            ],
            h.td(data_name="Fires when")[h.span(".reason")[each.summary.replace("{subject}", "a service")]],
        ]
        for each in RULES
    ]
    return h.section("#rules.panel", aria_labelledby="rules-title")[
        h.details[
            h.summary(".bar")[h.h2("#rules-title")[f"{len(RULES)} rules"], h.span(".note")["on for every service"]],
            _table("Table of rules", ("Alert", "Severity", "Fires when"), rows),
        ]
    ]


def _table(label: str, columns: tuple[str, ...], rows: list[h.Element]) -> h.Element:
    return h.div(".scroll", tabindex="0", role="region", aria_label=label)[
        h.table[h.thead[h.tr[(h.th(scope="col")[each] for each in columns)]], h.tbody[rows]]
    ]
