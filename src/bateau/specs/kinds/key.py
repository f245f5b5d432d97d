"""Key: an API key of the endpoint of a machine or of a cluster, as the hash of its secret.

Called by control, specs.kinds, wiring.controller and wiring.key_documents.

Invariant: a secret in a document is an error, and no message repeats it. Held by
tests/specs/test_key_documents.py::test_a_secret_is_an_error_that_does_not_repeat_it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from bateau.domain.api_key import ALL_MODELS, GLOB, NUMBER_MAX, REQUESTS_MAX, ApiKey
from bateau.domain.problem import Problem
from bateau.domain.resource import Column, Resource, Validation
from bateau.domain.spec import API_VERSION, Kind, Names, Spec
from bateau.kit.cel_text import OPEN
from bateau.kit.json_value import JsonObject, ReadObject, texts_at
from bateau.kit.money import MONEY, Money
from bateau.kit.position import leaves
from bateau.kit.rfc3339 import is_time, rfc3339
from bateau.kit.schema import build, described
from bateau.kit.secret_key import PATTERN
from bateau.kit.suggest import suggestion
from bateau.kit.url import Wrong
from bateau.specs.kinds.wrong import at, strings

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_HINT: Final = re.compile(r"[0-9A-Za-z]{1,4}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d))?")
_KWH_MIN: Final = 0.001
_KWH_MAX: Final = 10**12
_WRITES_IT: Final = "`bateau keys create NAME --to-spec FILE` makes a key and writes its document"
_LEAKED: Final = "whoever can read the file can use it: revoke it, and remove it from the history of the repository"


def wrong_hash(text: str) -> Wrong | None:
    """Return the error in a SHA-256, without repeating it.

    >>> wrong_hash("0" * 64), wrong_hash("secret")[0]
    (None, 'it is not a SHA-256, which has 64 hexadecimal digits in lower case')
    """
    if _HASH.fullmatch(text):
        return None
    if PATTERN.search(text):
        return f"this is the secret itself, not its SHA-256; {_LEAKED}", _WRITES_IT
    return "it is not a SHA-256, which has 64 hexadecimal digits in lower case", _WRITES_IT


def _wrong_hint(text: str) -> Wrong | None:
    if _HINT.fullmatch(text):
        return None
    return "it is not the end of a secret: up to 4 letters and digits", "write the last 4 characters only"


def ends_at(text: str) -> float | None:
    """Return a time in seconds since the epoch, None if the text is not one. A date is included to its end, in UTC.

    >>> ends_at("1970-01-01T00:00:10Z"), ends_at("1970-01-01"), ends_at("1970-01-01T00:00:10"), ends_at("1970-13-01")
    (10.0, 86400.0, None, None)
    """
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            return None
        time = datetime.fromisoformat(text)
        seconds = (time if found[1] else time.replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if is_time(seconds) else None


def _wrong_time(text: str) -> Wrong | None:
    if ends_at(text) is not None:
        return None
    return f'"{text}" is not a time', "write 2027-01-31T12:00:00Z, or the last day, such as 2027-01-31"


def _wrong_money(text: str) -> Wrong | None:
    try:
        Money.parse(text)
    except ValueError:
        return f'"{text}" is not an amount of money', "write an amount above 0, such as 5 EUR or 0.50 EUR"
    return None


def _money(says: str, example: str) -> str | None:
    return described(says, default=None, form=_wrong_money, examples=(example,))


def _energy(says: str, example: float) -> float | None:
    return described(says, default=None, minimum=_KWH_MIN, maximum=_KWH_MAX, examples=(example,))


@dataclass(frozen=True, kw_only=True)
class KeyLimits:
    """Limits on the usage of a key. Absent fields are not limited. Clusters count requests per minute only."""

    requests_per_minute: int | None = described(
        "Requests in a minute, counted when they arrive.", default=None, minimum=1, maximum=REQUESTS_MAX
    )
    concurrent: int | None = described(
        "Requests in flight at once. Only the native filter counts them.",
        default=None,
        minimum=1,
        maximum=NUMBER_MAX,
    )
    tokens_per_minute: int | None = described("Tokens in a minute.", default=None, minimum=1, maximum=NUMBER_MAX)
    tokens_per_day: int | None = described("Tokens in a day, in UTC.", default=None, minimum=1, maximum=NUMBER_MAX)
    tokens_per_month: int | None = described("Tokens in a month, in UTC.", default=None, minimum=1, maximum=NUMBER_MAX)
    money_per_day: str | None = _money("Money in a day, in UTC, by the prices of the models.", "5 EUR")
    money_per_month: str | None = _money("Money in a month, in UTC, by the prices of the models.", "100 EUR")
    kwh_per_day: float | None = _energy("Energy in a day, in UTC, in kWh, by the declared energy of the models.", 1.5)
    kwh_per_month: float | None = _energy(
        "Energy in a month, in UTC, in kWh, by the declared energy of the models.", 30
    )


@dataclass(frozen=True, kw_only=True)
class KeySpec:
    """An API key of the endpoint of a machine, or of the gateway of a cluster, as the hash of its secret."""

    sha256: str = described(
        "SHA-256 of the secret, as 64 hexadecimal digits in lower case, which `bateau keys create NAME --to-spec FILE` "
        "writes. The secret itself must not be in any file of the specs.",
        form=wrong_hash,
        concealed=True,
    )
    hint: str = described(
        "Last four characters of the secret, by which people recognise it.",
        default="",
        examples=("a1b2",),
        form=_wrong_hint,
        concealed=True,
    )
    owner: str = described("Who answers for the key.", default="", examples=("team-search",))
    models: tuple[str, ...] = described(
        "Models that the key may use, as names or globs: `*` is any text and `?` any character.",
        default=(ALL_MODELS,),
        examples=(("chat*",),),
    )
    expires_at: str | None = described(
        "Time at which the key ends, or its last day in UTC. Absent: it does not end.",
        default=None,
        examples=("2027-01-31T12:00:00Z", "2027-01-31"),
        form=_wrong_time,
    )
    limits: KeyLimits = described(
        "Limits on its usage. Absent: none but those of the models.", default_factory=KeyLimits
    )
    environments: tuple[str, ...] = described(
        "Environments, or globs of environments, in which the key exists. Absent: it always does.",
        default=(),
        examples=(("prod", "prod-*"),),
    )
    note: str = described("What the key is for.", default="")


def references(spec: Spec, fields: ReadObject, names: Names) -> list[Problem]:
    """Report secrets and expressions anywhere in a Key, and values that no key can have."""
    problems: list[Problem] = []
    for path, value in leaves(spec.tree):
        if not isinstance(value, str) or path in ("spec.sha256", "spec.hint"):  # the schema checks these
            continue
        if PATTERN.search(value):
            problems.append(at(spec, path, f"{path} contains the secret of a key; {_LEAKED}", _WRITES_IT))
        elif OPEN in value:
            problems.append(at(spec, path, f"{path}: expressions are not evaluated in a Key", "write the value itself"))
        elif path.startswith("spec.") and not value.isprintable():
            problems.append(at(spec, path, f"{path} has characters that cannot be printed", "write it on one line"))
    if fields.get("models") == []:
        hint = "name some, or remove the line for all models"
        problems.append(at(spec, "spec.models", "the key may use no model", hint))
    problems += [
        at(spec, path, f'"{glob}" is not a name of models', "write a name or a glob, such as chat*")
        for path, glob in strings(fields.get("models"), "spec.models")
        if not re.fullmatch(GLOB, glob)
    ]
    return [*problems, *_unknown_environments(spec, fields, names)]


def _unknown_environments(spec: Spec, fields: ReadObject, names: Names) -> list[Problem]:
    return [
        at(
            spec,
            path,
            f"{path} names `{glob}`, but there is no such Environment",
            suggestion(glob, sorted(names.environments), none="no Environment is defined"),
        )
        for path, glob in strings(fields.get("environments"), "spec.environments")
        if glob not in names.doubtful and not any(fnmatchcase(name, glob) for name in names.environments)
    ]


def keys_of(specs: Iterable[Spec], environment: str | None) -> tuple[ApiKey, ...]:
    """Return the keys of an environment in specs without errors, in the order of their names."""
    keys = [_key(spec) for spec in specs if spec.definition is KIND and _exists_in(spec, environment)]
    return tuple(sorted(keys, key=lambda key: key.name))


def _exists_in(spec: Spec, environment: str | None) -> bool:
    globs = texts_at(spec.fields, "environments")
    return not globs or (environment is not None and any(fnmatchcase(environment, glob) for glob in globs))


def _key(spec: Spec) -> ApiKey:
    fields = build(spec.fields, KeySpec)
    limits = fields.limits
    return ApiKey(
        name=spec.name,
        owner=fields.owner,
        sha256=fields.sha256,
        hint=fields.hint,
        models=tuple(sorted(set(fields.models))),
        expires_at=None if fields.expires_at is None else ends_at(fields.expires_at),
        requests_per_minute=limits.requests_per_minute,
        concurrent=limits.concurrent,
        tokens_per_minute=limits.tokens_per_minute,
        tokens_per_day=limits.tokens_per_day,
        tokens_per_month=limits.tokens_per_month,
        money_per_day=_parsed(limits.money_per_day),
        money_per_month=_parsed(limits.money_per_month),
        kwh_per_day=limits.kwh_per_day,
        kwh_per_month=limits.kwh_per_month,
        note=fields.note,
        declared_at=f"{spec.position.file}:{spec.position.line}",
    )


def _parsed(money: str | None) -> Money | None:
    return None if money is None else Money.parse(money)


def key_document(key: ApiKey) -> JsonObject:
    """Return the document of a key, with the fields that are not the defaults.

    >>> key_document(ApiKey(name="ci", owner="", sha256="0" * 64, hint="a1b2"))["spec"]["hint"]
    'a1b2'
    """
    limits: JsonObject = {
        "requestsPerMinute": key.requests_per_minute,
        "concurrent": key.concurrent,
        "tokensPerMinute": key.tokens_per_minute,
        "tokensPerDay": key.tokens_per_day,
        "tokensPerMonth": key.tokens_per_month,
        "moneyPerDay": None if key.money_per_day is None else str(key.money_per_day),
        "moneyPerMonth": None if key.money_per_month is None else str(key.money_per_month),
        "kwhPerDay": key.kwh_per_day,
        "kwhPerMonth": key.kwh_per_month,
    }
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    spec: JsonObject = {
        "sha256": key.sha256,
        "hint": key.hint,
        "owner": key.owner,
        "models": None if key.models == (ALL_MODELS,) else list(key.models),
        "expiresAt": None if key.expires_at is None else rfc3339(key.expires_at),
        "limits": limits,
        "note": key.note,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND.name,
        "metadata": {"name": key.name},
        "spec": {name: value for name, value in spec.items() if value},
    }


def _never(field: str) -> Validation:
    return Validation(
        on=f"spec.{field}",
        rule=f"!self.matches('{PATTERN.pattern}')",
        message=f"{field} contains the secret of a key; whoever can read the object can use it: revoke it",
        concealed=True,
    )


# The server's own check of a `pattern` would repeat the value, which may be a secret by mistake.
_RESOURCE: Final = Resource(
    plural="keys",
    short_name="bkey",
    columns=(
        Column(name="Owner", path=".spec.owner"),
        Column(name="Models", path=".spec.models"),
        Column(name="Expires", path=".spec.expiresAt"),
    ),
    reported=True,
    validations=(
        Validation(
            on="spec.sha256",
            rule=f"self.matches('^{_HASH.pattern}$')",
            message=f"it is not a SHA-256, which has 64 hexadecimal digits in lower case: {_WRITES_IT}",
            concealed=True,
        ),
        Validation(
            on="spec.hint",
            rule=f"self == '' || self.matches('^{_HINT.pattern}$')",
            message="it is not the end of a secret: write the last 4 characters only",
            concealed=True,
        ),
        Validation(
            on="spec.models",
            rule="size(self) > 0",
            message="the key may use no model: name some, or remove the field for all models",
        ),
        Validation(
            on="spec.models",
            rule=f"self.all(glob, glob.matches('^{GLOB}$') && !glob.matches('{PATTERN.pattern}'))",
            message="an item is not a name of models: write a name or a glob, such as chat*",
            concealed=True,
        ),
        Validation(
            on="spec.expiresAt",
            rule="self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}))?$')",
            message="it is not a time: write 2027-01-31T12:00:00Z, or the last day, such as 2027-01-31",
        ),
        *(
            Validation(
                on=f"spec.limits.{field}",
                rule=f"self.matches('^{MONEY}$') && self.matches('[1-9]')",
                message="it is not an amount of money: write an amount above 0, such as 5 EUR or 0.50 EUR",
            )
            for field in ("moneyPerDay", "moneyPerMonth")
        ),
        *(
            Validation(
                on=f"spec.limits.{field}",
                rule=f"self >= {_KWH_MIN}",  # the server's own check of whole numbers ignores fractions of a minimum
                message=f"it is less than {_KWH_MIN}: use {_KWH_MIN} or more",
            )
            for field in ("kwhPerDay", "kwhPerMonth")
        ),
        Validation(
            on="spec.environments",
            rule="size(self) == 0",
            message="environments are those of a repository: remove the field from a Key that is stored in a cluster",
        ),
        _never("owner"),
        _never("note"),
    ),
    limits={
        "spec.sha256": {"maxLength": 64},
        "spec.hint": {"maxLength": 4},
        "spec.owner": {"maxLength": 256},
        "spec.models": {"maxItems": 64},
        "spec.models[]": {"maxLength": 200},
        "spec.expiresAt": {"maxLength": 25},
        "spec.limits.moneyPerDay": {"maxLength": 27},
        "spec.limits.moneyPerMonth": {"maxLength": 27},
        "spec.environments": {"maxItems": 64},
        "spec.environments[]": {"maxLength": 256},
        "spec.note": {"maxLength": 1024},
    },
)

KIND: Final = Kind(name="Key", schema=KeySpec, resource=_RESOURCE, references=references)
