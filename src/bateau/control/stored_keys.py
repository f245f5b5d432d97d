"""Decide which of the Keys that are stored in a cluster get in at its gateways. Pure.

Called by control.unrendered, wiring.declaring and wiring.stored_keys.

Invariant: a Key that is refused, by an error or a policy, stays in force as it was when it was admitted, also after a
restart of the controller. Held by tests/control/test_stored_keys.py::test_a_refused_key_stays_as_it_was.
Invariant: of several Keys with one secret, the oldest one gets in: Envoy would refuse a list with both, and then no
later change would take effect. Held by
tests/control/test_stored_keys.py::test_of_two_keys_with_one_secret_the_older_gets_in.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from bateau.control.path import Written, understand
from bateau.domain.api_key import ApiKey
from bateau.domain.problem import Severity
from bateau.kit.json_value import is_object, text_at
from bateau.specs import read
from bateau.specs.kinds.key import keys_of

_PREFIX: Final = "key/"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A Key in a cluster: its document, and the time of its creation, as text that sorts by time.

    It `was_admitted` if its status says so of the document as it is now.
    """

    name: str
    text: str
    created: str
    was_admitted: bool


@dataclass(frozen=True, kw_only=True)
class StoredKeys:
    """The keys that get in, in the order of their names, and why others are `refused`, by name."""

    keys: tuple[ApiKey, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict[str, str])


def admitted(
    stored: Sequence[StoredKey], policies: Mapping[str, str], before: Mapping[str, ApiKey] | None, *, today: date
) -> StoredKeys:
    """Return the keys that get in. `policies` are the texts of all policies, by "policy/NAME".

    `before` has the keys that got in until now, by name; None after a start.
    """
    texts, refused = _without_repeated(stored)
    while True:
        written = understand({**texts, **policies}, today=today)
        wrong = _errors(written)
        blamed = {file: says for file, says in wrong.items() if file in texts}
        if unread := next((says for file, says in wrong.items() if file not in texts), None):
            blamed = dict.fromkeys(texts, unread)
        if not blamed:
            break
        refused |= {file.removeprefix(_PREFIX): says for file, says in blamed.items()}
        texts = {file: text for file, text in texts.items() if file not in blamed}
    return StoredKeys(keys=_with_former(written.keys, stored, refused, before), refused=refused)


def without_effect(key: ApiKey) -> str | None:
    """Return the limits of a key that the gateways of a cluster do not count, in words; None without one.

    >>> without_effect(ApiKey(name="ci", owner="", concurrent=4, tokens_per_day=5))
    'limits.concurrent and limits.tokensPerDay have no effect on clusters'
    """
    limits = {
        "concurrent": key.concurrent,
        "tokensPerMinute": key.tokens_per_minute,
        "tokensPerDay": key.tokens_per_day,
        "tokensPerMonth": key.tokens_per_month,
        "moneyPerDay": key.money_per_day,
        "moneyPerMonth": key.money_per_month,
        "kwhPerDay": key.kwh_per_day,
        "kwhPerMonth": key.kwh_per_month,
    }
    *most, last = [f"limits.{name}" for name, limit in limits.items() if limit is not None] or [""]
    if not last:
        return None
    return f"{', '.join(most)} and {last} have no effect on clusters" if most else f"{last} has no effect on clusters"


def _without_repeated(stored: Iterable[StoredKey]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts by "key/NAME", and why some are not among them: an older one has the same secret."""
    holders: dict[str, str] = {}
    texts: dict[str, str] = {}
    refused: dict[str, str] = {}
    for each in sorted(stored, key=lambda each: (each.created, each.name)):
        tree: object = json.loads(each.text)
        digest = text_at(tree, "spec", "sha256") if is_object(tree) else ""
        holder = holders.setdefault(digest or each.name, each.name)
        if holder == each.name:
            texts[f"{_PREFIX}{each.name}"] = each.text
        else:
            refused[each.name] = f"Key {holder}, which is older, has the same secret: give this one another secret"
    return texts, refused


def _errors(written: Written) -> dict[str, str]:
    """Return the first error of each text; those without a position are at ""."""
    found: dict[str, str] = {}
    for problem in written.problems:
        if problem.severity is Severity.ERROR:
            says = f"{problem.says} ({problem.hint})" if problem.hint else problem.says
            found.setdefault(problem.where.file if problem.where else "", says)
    return found


def _with_former(
    keys: Sequence[ApiKey], stored: Iterable[StoredKey], refused: Mapping[str, str], before: Mapping[str, ApiKey] | None
) -> tuple[ApiKey, ...]:
    """Return keys with those that are refused now and that have got in before."""
    former = [key for each in stored if each.name in refused for key in _former(each, before)]
    secrets = {key.sha256 for key in keys}
    found = (*keys, *(key for key in former if key.sha256 not in secrets))
    return tuple(sorted(found, key=lambda key: key.name))


def _former(stored: StoredKey, before: Mapping[str, ApiKey] | None) -> Sequence[ApiKey]:
    """Return a key as it got in until now; nothing if it did not."""
    if before is not None:
        return [before[stored.name]] if stored.name in before else []
    if not stored.was_admitted:
        return ()
    return keys_of(read({f"{_PREFIX}{stored.name}": stored.text}).specs, None)
