"""The kind Key: what becomes a key, what is wrong in one, and that no message repeats a secret."""

from dataclasses import replace
from typing import Any

import pytest

from bateau.domain.api_key import ApiKey
from bateau.kit.money import Money
from bateau.kit.secret_key import hash_of, key_of
from bateau.kit.yaml_writer import write
from bateau.specs import Reading, read
from bateau.specs.kinds.key import key_document, keys_of

SECRET = key_of(bytes(range(24)))
HASH = hash_of(SECRET)


def reading(*specs: Any, name: str = "ci") -> Reading:
    head = {"apiVersion": "bateau.dev/v1alpha1", "kind": "Key"}
    documents = [
        {**head, "metadata": {"name": f"{name}{number or ''}"}, "spec": spec} for number, spec in enumerate(specs)
    ]
    return read({"keys.yaml": write(documents)})


def wrong(**fields: Any) -> str:
    """Return all problems of a Key with some fields, as text."""
    found = reading({"sha256": HASH, **fields})
    assert not found.specs
    return "\n".join(f"{each.where} {each.says} ({each.hint})" for each in found.problems)


def test_a_document_becomes_a_key() -> None:
    limits = {"requestsPerMinute": 60, "concurrent": 4, "tokensPerMinute": 1, "tokensPerDay": 2, "tokensPerMonth": 3}
    found = reading(
        {
            "sha256": HASH,
            "hint": "a1b2",
            "owner": "team-ci",
            "models": ["embed", "chat*"],
            "expiresAt": "2027-01-01T00:00:00Z",
            "limits": limits,
            "note": "nightly",
        }
    )
    assert not found.problems
    assert keys_of(found.specs, None) == (
        ApiKey(
            name="ci",
            owner="team-ci",
            sha256=HASH,
            hint="a1b2",
            models=("chat*", "embed"),
            expires_at=1_798_761_600.0,
            requests_per_minute=60,
            concurrent=4,
            tokens_per_minute=1,
            tokens_per_day=2,
            tokens_per_month=3,
            note="nightly",
            declared_at="keys.yaml:5",
        ),
    )


def test_annotations_may_have_lines() -> None:
    document = {**key_document(ApiKey(name="ci", owner="", sha256=HASH))}
    document["metadata"] = {"name": "ci", "annotations": {"about": "two\nlines"}}
    assert not read({"k.yaml": write([document])}).problems


def test_only_the_hash_is_required() -> None:
    (key,) = keys_of(reading({"sha256": HASH}).specs, None)
    assert key == ApiKey(name="ci", owner="", sha256=HASH, declared_at="keys.yaml:5")
    assert "spec.sha256 is missing" in str(reading({"note": "x"}).problems)


@pytest.mark.parametrize(
    "key",
    [
        ApiKey(name="ci", owner="", sha256=HASH),
        ApiKey(name="ci", owner="me", sha256=HASH, hint="1e10", models=("a", "b*"), expires_at=1e9, tokens_per_day=5),
        ApiKey(
            name="ci",
            owner="",
            sha256=HASH,
            money_per_day=Money.parse("5EUR"),
            money_per_month=Money.parse("100.50 EUR"),
            kwh_per_day=1.5,
            kwh_per_month=30.0,
        ),
        ApiKey(name="y", owner="null", sha256="0" * 64, hint="1234", note="- a: b", concurrent=1),
    ],
)
def test_a_key_is_the_same_after_it_was_written_as_a_document(key: ApiKey) -> None:
    found = read({"k.yaml": write([key_document(key)])})
    assert not found.problems
    (again,) = keys_of(found.specs, None)
    assert again.declared_at == "k.yaml:5"
    assert again == replace(key, declared_at="k.yaml:5")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"sha256": SECRET}, "this is the secret itself, not its SHA-256"),
        ({"sha256": f"Bearer {SECRET}"}, "this is the secret itself, not its SHA-256"),
        ({"sha256": SECRET[7:]}, "it is not a SHA-256"),
        ({"sha256": "hunter2"}, "it is not a SHA-256"),
        ({"sha256": 271828182845}, "spec.sha256 is not a string"),
        ({"sha256": "${env('KEY')}"}, "it is not a SHA-256"),
        ({"hint": SECRET}, "it is not the end of a secret"),
        ({"hint": "hunter2"}, "it is not the end of a secret"),
        ({"note": f"it is {SECRET}!"}, "spec.note contains the secret of a key"),
        ({"owner": SECRET}, "spec.owner contains the secret of a key"),
        ({"models": [SECRET]}, "spec.models[0] contains the secret of a key"),
        ({"secret": "hunter2"}, "unknown field `secret`"),
    ],
)
def test_a_secret_is_an_error_that_does_not_repeat_it(fields: dict[str, Any], says: str) -> None:
    found = wrong(**fields)
    assert says in found
    for secret in (SECRET[7:], "hunter2", "271828182845"):
        assert secret not in found


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"sha256": HASH.upper()}, "64 hexadecimal digits in lower case"),
        ({"sha256": HASH[1:]}, "64 hexadecimal digits in lower case"),
        ({"models": []}, "the key may use no model"),
        ({"models": ["chat|embed"]}, '"chat|embed" is not a name of models'),
        ({"note": "two\nlines"}, "spec.note has characters that cannot be printed"),
        ({"note": "${values.note}"}, "spec.note: expressions are not evaluated in a Key"),
        ({"expiresAt": "2027-01-01T00:00:00"}, "is not a time"),
        ({"expiresAt": "2027-02-30"}, "is not a time"),
        ({"expiresAt": "0099-01-01"}, "is not a time"),
        ({"expiresAt": "0001-01-01T00:00:00+23:00"}, "is not a time"),
        ({"limits": {"concurrent": 10**27}}, "more than"),
        ({"limits": {"tokensPerDay": 10**27}}, "more than"),
        ({"expiresAt": "soon"}, "is not a time"),
        ({"limits": {"requestsPerMinute": 0}}, "spec.limits.requestsPerMinute is 0, less than 1"),
        ({"limits": {"requestsPerMinute": 2**40}}, "more than 1000000000"),
        ({"limits": {"tokensPerDay": "${values.tokens}"}}, "expressions are not evaluated in a Key"),
        ({"limits": {"moneyPerDay": "5"}}, '"5" is not an amount of money'),
        ({"limits": {"moneyPerMonth": "0 EUR"}}, '"0 EUR" is not an amount of money'),
        ({"limits": {"moneyPerDay": 5}}, "spec.limits.moneyPerDay is 5; expected a string"),
        ({"limits": {"kwhPerDay": 0}}, "spec.limits.kwhPerDay is 0, less than 0.001"),
        ({"limits": {"perDay": 5}}, "unknown field `perDay` in spec.limits"),
    ],
)
def test_what_no_key_can_have_is_an_error(fields: dict[str, Any], says: str) -> None:
    assert says in wrong(**fields)


def test_two_keys_with_one_secret_are_an_error_at_the_second() -> None:
    found = reading({"sha256": HASH}, {"sha256": HASH}, {"sha256": "0" * 64})
    assert [key.name for key in keys_of(found.specs, None)] == ["ci", "ci2"]
    (problem,) = found.problems
    assert (problem.says, problem.where and problem.where.line) == ("Key ci1 has the secret of Key ci", 14)


def test_a_date_is_included_to_its_end() -> None:
    (key,) = keys_of(reading({"sha256": HASH, "expiresAt": "2027-01-31"}).specs, None)
    assert key.expires_at == 1_801_440_000.0


def test_a_key_exists_in_the_environments_that_it_names() -> None:
    environments = "".join(
        f"---\napiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {{name: {name}}}\n"
        for name in ("prod-eu", "prod-us", "staging")
    )
    documents = [
        key_document(ApiKey(name="all", owner="", sha256="0" * 64)),
        key_document(ApiKey(name="prod", owner="", sha256="1" * 64)),
    ]
    documents[1]["spec"] = {"sha256": "1" * 64, "environments": ["prod-*"]}
    found = read({"k.yaml": write(documents), "e.yaml": environments})
    assert not found.problems
    for environment, names in (("prod-eu", ["all", "prod"]), ("staging", ["all"]), (None, ["all"])):
        assert [key.name for key in keys_of(found.specs, environment)] == names
    documents[1]["spec"] = {"sha256": "1" * 64, "environments": ["stagign"]}
    (problem,) = read({"k.yaml": write(documents), "e.yaml": environments}).problems
    assert "names `stagign`, but there is no such Environment" in problem.says
    assert problem.hint == "did you mean `staging`?"
