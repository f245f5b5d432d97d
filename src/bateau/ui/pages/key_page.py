"""The page of a key: its limits, its budgets, what it has used, and how to give it a new secret or revoke it.

Called by ui.key_actions and ui.pages.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import htpy as h

from bateau.control.key_report import KeyUse
from bateau.domain.api_key import ApiKey
from bateau.domain.usage_report import UsageReport
from bateau.domain.used import Group
from bateau.ui.keys import limits, moment, spent, state
from bateau.ui.page import Part, Screen, View
from bateau.ui.sums import sums_table
from bateau.ui.words import DASH, safe

ROTATE_FORM: Final = "rotate-key"
REVOKE_FORM: Final = "revoke-key"
CONFIRMED: Final = "confirmed"  # the field that repeats the name of the key


def make(view: View, parts: Mapping[str, str], secret: str | None = None, wrong: str | None = None) -> Screen | None:
    """Return the page, None if there is no such key.

    `secret` is a new one, which this page alone shows; `wrong` says why an action was refused.
    """
    found = view.reports.keys.named(parts["name"]) if view.reports.keys else None
    if found is None:
        return None
    key, usage = found.key, view.reports.usage
    may_change = view.role == "admin" and key.declared_at is None
    return Screen(
        title=f"Key {key.name}",
        parts=[
            *([Part(id="secret", make=partial(_secret, key, secret), live=False)] if secret else []),
            *([Part(id="wrong", make=partial(_wrong, wrong), live=False)] if wrong else []),
            Part(id="summary", make=partial(_summary, found)),
            Part(id="usage", make=partial(_usage, view, key, usage)),
            *([Part(id="actions", make=partial(_actions, key), live=False)] if may_change else []),
        ],
        forms=(ROTATE_FORM, REVOKE_FORM) if may_change else (),
        scripts=("keys.js",) if secret else (),
    )


def _secret(key: ApiKey, secret: str) -> h.Element:
    return h.section("#secret.panel.once", aria_labelledby="secret-title")[
        h.h2("#secret-title")[f"The secret of {safe(key.name)}"],
        h.p["Copy it now. It is stored as a hash and is never shown again."],
        h.div(".actions")[h.code("#secret-text", tabindex="0")[secret], h.button("#copy", type="button")["Copy"]],
        h.p(".note")[
            "Clients send it as ", h.code["Authorization: Bearer SECRET"], " or ", h.code["x-api-key: SECRET"], "."
        ],
    ]


def _wrong(says: str) -> h.Element:
    return h.section("#wrong", role="alert")[h.p(".says.bad")[safe(says)]]


def _summary(found: KeyUse) -> h.Element:
    return h.section("#summary", aria_label="Summary")[
        h.div(".heading")[h.h1[safe(found.key.name), " ", h.span(".kind")["key"]], state(found.state)],
        found.until is not None
        and h.p(".says.warn")["A limit is used up: its requests are refused until ", moment(found.until), " (UTC)."],
        found.key.note and h.p(".says")[safe(found.key.note)],
        h.dl(".facts")[(h.div[h.dt[name], h.dd[value]] for name, value in _facts(found.key))],
        found.spent is None and h.p(".note")["How much of its budgets is used is being summed."],
        bool(found.spent) and h.div(".budgets")[spent(found.spent)],
    ]


def _facts(key: ApiKey) -> Iterator[tuple[str, h.Node]]:
    yield "Owner", safe(key.owner) or DASH
    yield "Models", safe(", ".join(key.models))
    yield "Limits", ", ".join(limits(key)) or ("see its budgets" if key.budgets else "none")
    yield "Secret", f"bateau_…{safe(key.hint)}" if key.hint else "unknown"
    yield "Created", moment(key.created_at)
    yield "Expires", moment(key.expires_at) if key.expires_at is not None else "never"
    if key.declared_at:
        yield "Declared at", h.code[safe(key.declared_at)]
        yield "To change it", "edit or remove its document there"


def _usage(view: View, key: ApiKey, usage: UsageReport | None) -> h.Element:
    return h.section("#usage.panel", aria_labelledby="usage-title")[
        h.div(".bar")[h.h2("#usage-title")["Usage of the last 24 hours by model"]],
        _table(view, key, usage),
    ]


def _table(view: View, key: ApiKey, usage: UsageReport | None) -> h.Node:
    if usage is None:
        return h.p(".empty")["Its requests are being summed."]
    if usage.trouble:
        return h.p(".empty")[safe(usage.trouble)]
    models = usage.of_key.get(key.name, {})
    if not models:
        return h.p(".empty")["No requests in this time."]

    def shown(name: str) -> h.Node:
        known = f"model/{name}" in view.services
        return h.a(href=f"/ui/services/model/{name}")[safe(name)] if known else safe(name)

    total = usage.by["key"].by.get(key.name, Group())
    return sums_table(models, total, title=f"Usage of {key.name} by model", name="Model", shown_name=shown)


def _actions(key: ApiKey) -> h.Element:
    return h.section("#actions.panel", aria_labelledby="actions-title")[
        h.div(".bar")[h.h2("#actions-title")["Change the key"]],
        h.div(".choices")[
            _action(
                key,
                ROTATE_FORM,
                "rotate",
                "Give it a new secret",
                "The old secret is refused at once. To change clients without a gap, create a second key first.",
                "Rotate",
            ),
            _action(
                key,
                REVOKE_FORM,
                "revoke",
                "Revoke it",
                "Requests with it are refused from then on; those in flight are finished.",
                "Revoke",
            ),
        ],
    ]


def _action(key: ApiKey, form: str, action: str, title: str, says: str, button: str) -> h.Element:
    return h.form(id=form, method="post", action=f"/ui/usage/keys/{key.name}", autocomplete="off")[
        h.h3[title],
        h.p(".note")[says],
        h.label(".check")[
            h.input(type="checkbox", name=CONFIRMED, value=key.name, required=True),
            h.span[f"{button} ", h.strong[safe(key.name)]],
        ],
        h.button(type="submit", name="action", value=action, class_="danger" if action == "revoke" else None)[button],
    ]
