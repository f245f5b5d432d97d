"""Keys as rows of a table and as facts: their states, limits and budgets.

Called by ui.pages.

Invariant: no page has the hash of a secret, and of a secret only the last characters. Held by
tests/ui/test_keys.py::test_a_secret_is_shown_once.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import htpy as h

from bateau.control.budgets import Spent
from bateau.control.key_report import KeysReport, KeyUse
from bateau.domain.api_key import TOKENS, ApiKey
from bateau.kit.money import shown
from bateau.ui.sums import bar
from bateau.ui.words import DASH, count, safe

FIELDS: Final = ("Key", "State", "Owner", "Models", "Used", "Limits", "Expires", "Source")
_TONES: Final = {"active": "good", "expired": "idle", "used up": "warn", "revoked": "idle"}
_NEARLY: Final = 0.8


def keys_table(report: KeysReport, revoked: Sequence[str]) -> h.Element:
    """Return a table of all keys, and of those that are `revoked` and have used something."""
    return h.div(".scroll", tabindex="0", role="region", aria_label="Table of keys")[
        h.table(".cards")[
            h.thead[h.tr[(h.th(scope="col")[each] for each in FIELDS)]],
            h.tbody("#keys-rows")[
                (_row(each) for each in report.keys),
                (_gone(name) for name in revoked),
            ],
        ]
    ]


def _row(each: KeyUse) -> h.Element:
    key = each.key
    return h.tr(id=f"key-{key.name}")[
        h.th(scope="row")[h.a(href=f"/ui/usage/keys/{key.name}")[safe(key.name)], key.note and _note(key.note)],
        h.td(data_name="State")[state(each.state), each.until is not None and _note(["until ", moment(each.until)])],
        h.td(data_name="Owner")[safe(key.owner) or DASH],
        h.td(data_name="Models")[safe(", ".join(key.models))],
        h.td(data_name="Used")[spent(each.spent)],
        h.td(data_name="Limits")[", ".join(limits(key)) or DASH],
        h.td(data_name="Expires")[moment(key.expires_at) if key.expires_at is not None else "never"],
        h.td(data_name="Source")[h.code[safe(key.declared_at)] if key.declared_at else "command"],
    ]


def _gone(name: str) -> h.Element:
    return h.tr(id=f"gone-{name}")[
        h.th(scope="row")[safe(name)],
        h.td(data_name="State")[state("revoked")],
        h.td(colspan=str(len(FIELDS) - 2))[_note("requests of this time have used it; the key no longer exists")],
    ]


def state(name: str) -> h.Element:
    """Return the state of a key."""
    return h.span(class_=["state", _TONES.get(name, "idle")])[name]


def moment(at: float | None) -> h.Node:
    """Return a time in UTC, to the minute."""
    if at is None:
        return "unknown"
    when = datetime.fromtimestamp(at, UTC)
    return h.time(datetime=when.isoformat(timespec="seconds"))[when.strftime("%Y-%m-%d %H:%M")]


def limits(key: ApiKey) -> Iterator[str]:
    """Yield the limits of a key, without its budgets, in words."""
    if key.requests_per_minute is not None:
        yield f"{key.requests_per_minute:,} requests/min"
    if key.concurrent is not None:
        yield f"{key.concurrent:,} at once"
    if key.tokens_per_minute is not None:
        yield f"{key.tokens_per_minute:,} tokens/min"


def spent(found: Sequence[Spent] | None) -> h.Node:
    """Return how much of its budgets a key has used, each as a bar and in words."""
    if found is None:
        return h.span(".unknown")["being summed"]
    if not found:
        return DASH
    return [_spent(each) for each in found]


def _spent(each: Spent) -> h.Element:
    budget, share = each.budget, float(each.used / each.budget.amount)
    tokens = budget.unit == TOKENS
    used, whole = (f"{each.used:,f}", f"{budget.amount:,f}") if tokens else (shown(each.used), shown(budget.amount))
    at_least = "≥ " if each.unknown else ""
    return h.span(".budget")[
        f"{at_least}{used} of {whole} {budget.unit} this {budget.period}",
        bar(share, tone="bad" if each.is_all else "warn" if share >= _NEARLY else ""),
        each.unknown > 0 and _note(f"the costs of {count(each.unknown, 'request')} are unknown"),
    ]


def _note(says: h.Node) -> h.Element:
    return h.span(".reason")[safe(says) if isinstance(says, str) else says]
