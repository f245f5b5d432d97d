"""Usage and keys: the sums of the ledger in a window of time, all keys, and the form that creates one.

Called by ui.key_actions and ui.pages.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, get_args

import htpy as h

from bateau.control.key_report import KeysReport
from bateau.domain.usage_report import LASTS, Last, UsageReport
from bateau.domain.used import NO_KEY, By
from bateau.ui.key_form import KeyForm, create_form
from bateau.ui.keys import keys_table
from bateau.ui.page import Part, Screen, View
from bateau.ui.sums import chart, doubts, sums_table, tiles
from bateau.ui.words import count, safe
from bateau.wiring.keys import NAME

PATH: Final = "/usage"
FORM: Final = "create-key"
_ROOT: Final = "/ui"
_BY: Final[tuple[By, ...]] = get_args(By)
_LASTS: Final[Mapping[Last, str]] = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}
_NO_FORM: Final = KeyForm()


def make(view: View, parts: Mapping[str, str], form: KeyForm = _NO_FORM) -> Screen | None:
    """Return the page, None for an unknown window or sum. `form` has the entered texts."""
    last, by = parts.get("last", LASTS[0]), parts.get("by", _BY[0])
    if last not in LASTS or by not in _BY:
        return None
    usage, keys = view.reports.usage, view.reports.keys or KeysReport()
    shown = partial(_summary, last, by, usage)
    return Screen(
        title="Usage and keys",
        parts=[
            Part(id="summary", make=shown, of=(usage,)),
            Part(id="usage", make=partial(_usage, view, last, by, usage, keys)),
            Part(id="keys", make=partial(_keys, keys, usage), of=(keys, usage), rows="keys-rows"),
            *([Part(id="create", make=partial(_create, view, keys, form), live=False)] if view.role == "admin" else []),
        ],
        forms=(FORM,) if view.role == "admin" else (),
    )


def revoked(keys: KeysReport, usage: UsageReport | None) -> Sequence[str]:
    """Return the keys that were used and no longer exist; services and people with a token have none."""
    if usage is None or usage.trouble or keys.trouble:
        return ()
    there = {each.key.name for each in keys.keys} | {NO_KEY} | usage.tokens
    return [name for name in usage.of_key if name not in there and NAME.fullmatch(name)]


def _summary(last: Last, by: By, usage: UsageReport | None) -> h.Element:
    return h.section("#summary", aria_label="Summary")[
        h.div(".heading")[
            h.h1["Usage and keys"],
            h.nav(".tabs", aria_label="Time")[
                (
                    h.a(href=f"{_ROOT}{PATH}/{each}/{by}", aria_current="true" if each == last else None)[words]
                    for each, words in _LASTS.items()
                )
            ],
        ],
        _sums(usage, last),
    ]


def _sums(usage: UsageReport | None, last: Last) -> h.Node:
    if usage is None:
        return h.p(".says")["The requests of this time are being summed."]
    if usage.trouble:
        return h.p(".says.warn")[safe(usage.trouble)]
    until = datetime.fromtimestamp(usage.until, UTC)
    return [
        h.p(".says")[
            f"The last {_LASTS[last]}, until ",
            h.time(datetime=until.isoformat(timespec="seconds"))[f"{until:%Y-%m-%d %H:%M:%S}"],
            " (UTC). ",
            h.code[f"bateau usage --last {last}"],
            " has the same sums.",
        ],
        tiles(usage.by["key"].total),
        (h.p(".note")[each] for each in doubts(usage)),
    ]


def _usage(view: View, last: Last, by: By, usage: UsageReport | None, keys: KeysReport) -> h.Element:
    known = usage is not None and not usage.trouble
    return h.section("#usage.panel", aria_labelledby="usage-title", hidden=not known)[
        h.div(".bar")[
            h.h2("#usage-title")["Usage"],
            h.nav(".tabs", aria_label="Sums by")[
                (
                    h.a(href=f"{_ROOT}{PATH}/{last}/{each}", aria_current="true" if each == by else None)[f"by {each}"]
                    for each in _BY
                )
            ],
        ],
        usage is not None and known and _tables(view, by, usage, keys),
    ]


def _tables(view: View, by: By, usage: UsageReport, keys: KeysReport) -> h.Node:
    found = usage.by[by]
    if not found.by:
        return h.p(".empty")["No requests in this time."]
    names = {each.key.name for each in keys.keys}

    def shown(name: str) -> h.Node:
        match by:
            case "key":
                return _key_name(view, name, names)
            case "model" if f"model/{name}" in view.services:
                return h.a(href=f"{_ROOT}/services/model/{name}")[safe(name)]
            case _:
                return safe(name)

    rows = dict(sorted(found.by.items(), reverse=True)) if by in ("day", "hour") else found.by
    return [
        chart(usage),
        sums_table(rows, found.total, title=f"Usage by {by}", name=by.capitalize(), shown_name=shown),
    ]


def _key_name(view: View, name: str, names: set[str]) -> h.Node:
    if name in names:
        return h.a(href=f"{_ROOT}{PATH}/keys/{name}")[safe(name)]
    if name in view.services:
        return h.a(href=f"{_ROOT}/services/{name}")[safe(name)]
    return safe(name)


def _keys(keys: KeysReport, usage: UsageReport | None) -> h.Element:
    gone = revoked(keys, usage)
    return h.section("#keys.panel", aria_labelledby="keys-title")[
        h.div(".bar")[
            h.h2("#keys-title")["Keys"],
            h.span(".note")[_needed(keys)],
            bool(keys.keys or gone)
            and h.input(
                "#filter", type="search", placeholder="Filter", aria_label="Filter keys", data_filter="keys-rows"
            ),
        ],
        keys_table(keys, gone) if keys.keys or gone else h.p(".empty")[safe(keys.trouble or "There are no keys.")],
    ]


def _needed(keys: KeysReport) -> str:
    if keys.trouble:
        return "unknown"
    if keys.open_to_all:
        return "nobody needs a key: the endpoint was started with --open"
    if not keys.required:
        return "the first key is not created yet, so nobody needs one"
    if not keys.keys:
        tokens = "only the tokens of issuers get in" if keys.has_issuers else "every request is refused"
        return f"there is no key, so {tokens}"
    return f"each request needs one of {count(len(keys.keys), 'key')}"


def _create(view: View, keys: KeysReport, form: KeyForm) -> h.Element:
    first = not keys.required and not keys.open_to_all and not keys.trouble
    notes = [
        first and h.p(".note.warn")["This is the first key. From then on each request to the endpoint needs a key."],
        not keys.counts_concurrent
        and h.p(".note")["“Requests at once” needs the native filter, which this gateway does not have."],
    ]
    models = [each.name for each in view.release.services if each.is_named_in_bodies]
    return h.section("#create.panel", aria_labelledby="create-title")[
        h.details(open=bool(form.errors))[
            h.summary[h.h2("#create-title")["Create a key"]],
            bool(form.errors)
            and h.p(".wrong", role="alert")[f"No key was created: {count(len(form.errors), 'field')} to fix."],
            create_form(form, name=FORM, action=f"{_ROOT}{PATH}", models=models, notes=notes),
        ]
    ]
