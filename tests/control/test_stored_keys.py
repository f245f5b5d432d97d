"""Which of the Keys in a cluster get in."""

import json
from datetime import date
from typing import Any

from bateau.control.stored_keys import StoredKey, StoredKeys, admitted
from bateau.domain.api_key import ApiKey

TODAY = date(2026, 11, 30)
ENDS = {
    "policy/house": json.dumps(
        {
            "apiVersion": "bateau.dev/v1alpha1",
            "kind": "Policy",
            "metadata": {"name": "house"},
            "spec": {
                "match": {"kinds": ["Key"]},
                "rules": [{"name": "ends", "check": "has(spec.expiresAt)", "message": "'every key ends'"}],
            },
        }
    )
}
BROKEN = {"policy/house": ENDS["policy/house"].replace("has(spec.expiresAt)", "has(")}


def stored(name: str, digit: str = "0", *, created: str = "1", was_admitted: bool = False, **spec: Any) -> StoredKey:
    tree = {
        "apiVersion": "bateau.dev/v1alpha1",
        "kind": "Key",
        "metadata": {"name": name},
        "spec": {"sha256": digit * 64, **spec},
    }
    return StoredKey(name=name, text=json.dumps(tree), created=created, was_admitted=was_admitted)


def names(found: StoredKeys) -> list[str]:
    return [key.name for key in found.keys]


def by_name(found: StoredKeys) -> dict[str, ApiKey]:
    return {key.name: key for key in found.keys}


def test_keys_without_errors_get_in() -> None:
    found = admitted([stored("b", "1"), stored("a", "0", models=["chat*"])], {}, None, today=TODAY)
    assert (names(found), found.refused) == (["a", "b"], {})
    assert found.keys[0].models == ("chat*",)


def test_an_error_stays_with_its_key() -> None:
    found = admitted([stored("a"), stored("b", "1", expiresAt="2027-02-30")], {}, None, today=TODAY)
    assert names(found) == ["a"]
    assert "is not a time" in found.refused["b"]


def test_a_policy_judges_keys() -> None:
    found = admitted([stored("a"), stored("b", "1", expiresAt="2027-01-01")], ENDS, {}, today=TODAY)
    assert names(found) == ["b"]
    assert found.refused["a"] == "policy house/ends, key/a: every key ends"


def test_a_refused_key_stays_as_it_was() -> None:
    first = admitted([stored("a", models=["chat"])], {}, None, today=TODAY)
    edited = [stored("a", models=["*"]), stored("new", "1")]
    for policies in (ENDS, BROKEN):
        later = admitted(edited, policies, by_name(first), today=TODAY)
        assert (later.keys, list(later.refused)) == (first.keys, ["a", "new"])
    # After a restart: its status says that it was admitted as it is.
    restarted = admitted([stored("a", was_admitted=True), stored("new", "1")], BROKEN, None, today=TODAY)
    assert (names(restarted), list(restarted.refused)) == (["a"], ["a", "new"])
    # One that was edited meanwhile was never admitted like that.
    assert names(admitted([stored("a")], BROKEN, None, today=TODAY)) == []
    # A deleted one is gone.
    assert names(admitted([stored("new", "1")], BROKEN, by_name(first), today=TODAY)) == []


def test_of_two_keys_with_one_secret_the_older_gets_in() -> None:
    found = admitted([stored("a", created="2"), stored("b", created="1")], {}, None, today=TODAY)
    assert names(found) == ["b"]
    assert found.refused == {"a": "Key b, which is older, has the same secret: give this one another secret"}
    # The younger one has the place of the older one once that is gone.
    again = admitted([stored("a", created="2")], {}, by_name(found), today=TODAY)
    assert names(again) == ["a"]


def test_the_former_key_of_a_refused_one_gives_way_to_another_with_its_secret() -> None:
    before = by_name(admitted([stored("a", "0")], {}, None, today=TODAY))
    found = admitted([stored("a", "1"), stored("b", "0", expiresAt="2027-01-01")], ENDS, before, today=TODAY)
    assert names(found) == ["b"]
