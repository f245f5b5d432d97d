"""The form that creates a key: its fields, the entered texts, and the errors at the fields.

Called by ui.key_actions and ui.pages.usage_page.

Invariant: an error is at its field, in the words of `bateau keys create`. Held by
tests/ui/test_keys.py::test_errors_are_at_their_fields_in_the_words_of_the_command.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import htpy as h

from bateau.domain.api_key import ALL_MODELS, ApiKey
from bateau.domain.errors import ControlError
from bateau.domain.key_fields import expiry, kilowatt_hours, tokens
from bateau.kit.amounts import whole
from bateau.kit.money import Money
from bateau.ui.words import safe
from bateau.wiring.keys import wrong_fields

_TEXT_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    label: str
    says: str = ""
    example: str = ""
    read: Callable[[str], object] | None = None  # raises ValueError; the text itself without it


def _count(text: str) -> int:
    return whole(text, least=1)


_ABOUT: Final = (
    _Field(name="name", label="Name", says="Lower-case letters, digits, dots and dashes.", example="team-search"),
    _Field(name="owner", label="Owner", says="Who answers for the key.", example="ada"),
    _Field(name="models", label="Models", says="Names or globs, separated by spaces.", example="chat* embed"),
    _Field(name="expires_at", label="Expires", says="90d, 12h, or the last day. Empty: never.", example="90d"),
    _Field(name="note", label="Note", says="What the key is for."),
)
_LIMITS: Final = (
    _Field(name="requests_per_minute", label="Requests per minute", example="60", read=_count),
    _Field(name="concurrent", label="Requests at once", example="4", read=_count),
    _Field(name="tokens_per_minute", label="Tokens per minute", example="60k", read=tokens),
    _Field(name="tokens_per_day", label="Tokens per day", example="1M", read=tokens),
    _Field(name="tokens_per_month", label="Tokens per month", example="20M", read=tokens),
    _Field(name="money_per_day", label="Money per day", example="5 EUR", read=Money.parse),
    _Field(name="money_per_month", label="Money per month", example="100 EUR", read=Money.parse),
    _Field(name="kwh_per_day", label="kWh per day", example="1.5", read=kilowatt_hours),
    _Field(name="kwh_per_month", label="kWh per month", example="30", read=kilowatt_hours),
)


@dataclass(frozen=True, kw_only=True)
class KeyForm:
    """The entered texts by field, and the errors, each with its message and a fix."""

    entered: Mapping[str, str] = field(default_factory=dict[str, str])
    errors: Mapping[str, ControlError] = field(default_factory=dict[str, ControlError])


def read(entered: Mapping[str, str], *, now: float) -> tuple[ApiKey | None, KeyForm]:
    """Return the key that a form asks for, None if it has errors, and the form as it was entered."""
    texts = {each.name: entered.get(each.name, "").strip() for each in (*_ABOUT, *_LIMITS)}
    errors: dict[str, ControlError] = {}

    def value(name: str, reads: Callable[[str], object]) -> object:
        try:
            return reads(texts[name]) if texts[name] else None
        except ValueError as error:
            errors[name] = ControlError(str(error))
            return None

    found = {each.name: value(each.name, each.read) for each in _LIMITS if each.read}
    key = ApiKey(
        name=texts["name"],
        owner=texts["owner"],
        note=texts["note"],
        created_at=float(int(now)),
        models=tuple(texts["models"].split()) or (ALL_MODELS,),
        expires_at=value("expires_at", lambda text: expiry(text, now)),  # pyright: ignore[reportArgumentType]
        **found,  # pyright: ignore[reportArgumentType]
    )
    errors = {**wrong_fields(key), **errors}
    return None if errors else key, KeyForm(entered=texts, errors=errors)


def create_form(form: KeyForm, *, name: str, action: str, models: Sequence[str], notes: h.Node) -> h.Element:
    """Return the form with an id, for a screen that has it among its `forms`. `notes` are about the limits."""
    return h.form(".fields", id=name, method="post", action=action, autocomplete="off", novalidate=True)[
        h.div(".grid")[(_shown(each, form) for each in _ABOUT)],
        h.fieldset[
            h.legend["Limits, each of which may be empty"], h.div(".grid")[(_shown(each, form) for each in _LIMITS)]
        ],
        notes,
        models and h.p(".note")["Models of this instance: ", safe(", ".join(models)), "."],
        h.div(".actions")[h.button(".main", type="submit")["Create the key"]],
    ]


def _shown(each: _Field, form: KeyForm) -> h.Element:
    error, name = form.errors.get(each.name), f"key-{each.name}"
    about = [f"{name}-says"] * bool(each.says) + [f"{name}-error"] * bool(error)
    return h.div(".field")[
        h.label(for_=name)[each.label],
        h.input(
            id=name,
            name=each.name,
            type="text",
            value=form.entered.get(each.name, ALL_MODELS if each.name == "models" else ""),
            placeholder=each.example and f"such as {each.example}",
            maxlength=str(_TEXT_MAX),
            required=each.name == "name",
            spellcheck="false",
            autocapitalize="none",
            aria_describedby=" ".join(about) or None,
            aria_invalid="true" if error else None,
        ),
        each.says and h.span(".note", id=f"{name}-says")[each.says],
        error and h.span(".wrong", id=f"{name}-error")[list(_error(error))],
    ]


def _error(error: ControlError) -> Iterator[h.Node]:
    yield safe(error.message)
    if error.hint:
        yield f": {safe(error.hint)}"
