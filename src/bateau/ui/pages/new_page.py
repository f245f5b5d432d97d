"""The page for a new service: the models of the catalogue and whether they fit, or an app. It makes a draft.

Called by ui.pages.
"""

from collections.abc import Mapping
from functools import partial

import htpy as h

from bateau.domain.offered import Offered
from bateau.ui.change_view import ChangeView
from bateau.ui.page import Part, Screen, View
from bateau.ui.pages.change_page import SCRIPTS, STYLES, notice
from bateau.ui.plan_view import token
from bateau.ui.words import figure, safe, size


def make(view: View, _parts: Mapping[str, str]) -> Screen | None:
    """Return the page."""
    change = view.change
    if change is None:
        return None
    summary = Part(id="summary", make=partial(_summary, change), live=False)
    if change.why_read_only:
        return Screen(title="New service", parts=(summary,), styles=STYLES)
    return Screen(
        title="New service",
        parts=(
            Part(id="notice", make=partial(notice, change), live=False),
            summary,
            Part(id="model", make=partial(_model, change), live=False),
            Part(id="app", make=partial(_app, view, change), live=False),
        ),
        styles=STYLES,
        scripts=SCRIPTS,
    )


def _summary(change: ChangeView) -> h.Element:
    says = "A form makes a spec, which you can still edit. Nothing runs before you have read its plan and applied it."
    return h.section("#summary", aria_label="Summary")[
        h.p(".crumbs")[h.a(href="/ui/change")["Change"], " / "],
        h.h1["New service"],
        h.p(".says")[f"This page is read-only: {change.why_read_only}." if change.why_read_only else says],
    ]


def _model(change: ChangeView) -> h.Element:
    return h.section("#model.panel", aria_labelledby="model-title")[
        h.form(method="post", action="/ui/new")[
            token(change),
            h.input(type="hidden", name="kind", value="Model"),
            h.div(".bar")[h.h2("#model-title")["A model"], h.span(".note")["from the catalogue, or from elsewhere"]],
            h.div(".scroll", tabindex="0", role="region", aria_label="Catalogue of models")[
                h.table(".catalogue")[
                    h.thead[
                        h.tr[(h.th(scope="col")[each] for each in ("Model", "Fits this machine", "Size", "Licence"))]
                    ],
                    h.tbody[(_offer(each, first=index == 0) for index, each in enumerate(change.offered))],
                ]
            ],
            h.div(".form")[
                _field(
                    "Another source", "other", placeholder="hf://org/repo/file.gguf", hint="instead of the catalogue"
                ),
                _field("Name", "name", required=True, placeholder="chat", hint="clients ask for the model by it"),
                _field("Replicas", "replicas", kind="number", value="1", hint="more answer more requests at once"),
                _field("Context length", "contextLength", kind="number", hint="tokens; empty: up to 4096"),
                h.button(".main", type="submit")["Make the spec"],
            ],
        ]
    ]


def _offer(each: Offered, *, first: bool) -> h.Element:
    fits = {True: ("good", "fits"), False: ("bad", "does not fit"), None: ("idle", "unknown")}[each.fits]
    return h.tr[
        h.th(scope="row")[
            h.label(".check")[
                h.input(type="radio", name="source", value=each.name, checked=first, disabled=each.fits is False),
                " ",
                safe(each.name),
            ],
            h.span(".reason")[safe(each.summary)],
        ],
        h.td(data_name="Fits this machine")[
            h.span(class_=["state", fits[0]])[fits[1]], h.span(".reason")[safe(each.says)]
        ],
        h.td(data_name="Size")[
            figure(each.size_bytes, lambda value: size(int(value))),
            each.here and h.span(".reason")["on this machine"],
        ],
        h.td(data_name="Licence")[safe(each.licence)],
    ]


def _app(view: View, change: ChangeView) -> h.Element:
    models = [each.key for each in view.release.services if view.is_model(each.key)]
    return h.section("#app.panel", aria_labelledby="app-title")[
        h.form(method="post", action="/ui/new")[
            token(change),
            h.input(type="hidden", name="kind", value="App"),
            h.div(".bar")[h.h2("#app-title")["An app"], h.span(".note")["any other program with a port"]],
            h.div(".form")[
                _field("Command", "command", required=True, placeholder='python3 app.py --port "${ ports.http }"'),
                _field("Name", "name", required=True, placeholder="shop"),
                _field("Port for clients", "number", kind="number", hint="empty: a free one"),
                _field("Health path", "health", placeholder="/healthz", hint="empty: its port is probed"),
                _field(
                    "Uses", "uses", placeholder=", ".join(models[:2]) or "model/chat", hint="services that it calls"
                ),
                _field("Replicas", "replicas", kind="number", value="1"),
                h.button(".main", type="submit")["Make the spec"],
            ],
        ]
    ]


def _field(
    title: str,
    name: str,
    *,
    kind: str = "text",
    value: str | None = None,
    placeholder: str | None = None,
    hint: str | None = None,
    required: bool = False,
) -> h.Element:
    return h.label(".field")[
        h.span[title],
        h.input(
            type=kind,
            name=name,
            value=value,
            placeholder=placeholder,
            required=required,
            min="0" if kind == "number" else None,
            autocomplete="off",
        ),
        hint and h.span(".note")[hint],
    ]
