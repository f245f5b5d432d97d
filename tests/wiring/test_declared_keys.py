"""Keys of the specs beside those of commands, in the real file of keys."""

import json
import re
from pathlib import Path

import pytest

from bateau.domain.api_key import ApiKey
from bateau.domain.errors import ControlError
from bateau.wiring.declared_keys import DeclaredKeys
from bateau.wiring.keys import Keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    made = Keys("test", {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)})
    made.publish(open_to_all=False)
    return made


def declared(name: str, digit: str = "0", **more: object) -> ApiKey:
    found = {"owner": "git", "sha256": digit * 64, "declared_at": "keys.yaml:3", **more}
    return ApiKey(name=name, **found)  # type: ignore[arg-type]


def created(name: str) -> ApiKey:
    return ApiKey(name=name, owner="me", created_at=1.0)


def known_to_the_gateway(keys: Keys) -> set[str]:
    """Return the names of the keys in the file that Envoy reads."""
    tree = json.loads((keys.directory / "bateau.keys.json").read_text())
    code = tree["resources"][0]["typed_config"].get("default_source_code", {}).get("inline_string", "")
    return set(re.findall(r"[0-9a-f]{64} \d+ ([a-z]+)", code.partition("\n")[0]))


def test_keys_of_the_specs_are_admitted_and_revoked(keys: Keys) -> None:
    follower = DeclaredKeys(keys)
    follower.follow(())
    assert not keys.load().required
    follower.follow((declared("ci"), declared("shop", "1")))
    assert (keys.load().required, known_to_the_gateway(keys)) == (True, {"ci", "shop"})
    changed = declared("ci", models=("chat",))
    follower.follow((changed,))
    assert (list(keys.load().by_name.values()), known_to_the_gateway(keys)) == ([changed], {"ci"})
    follower.follow(())
    assert (keys.load().by_name, known_to_the_gateway(keys)) == ({}, set())
    assert keys.load().required  # an endpoint that had keys does not open


def test_a_key_of_a_command_stays_as_it_is(keys: Keys) -> None:
    made, _ = keys.create(created("ci"))
    follower = DeclaredKeys(keys)
    twice = (declared("ci"), declared("shop", "1"), declared("other", sha256=made.sha256))
    for _ in range(2):
        with pytest.raises(ControlError) as caught:
            follower.follow(twice)
        assert "Key ci at keys.yaml:3 has no effect: it has the name of ci" in caught.value.message
        assert "Key other at keys.yaml:3 has no effect: it has the secret of ci" in caught.value.message
        assert "bateau keys revoke ci" in caught.value.message
    assert keys.load().by_name["ci"] == made
    assert set(keys.load().by_name) == {"ci", "shop"}
    assert not follower.is_outdated
    keys.revoke("ci")
    assert follower.is_outdated
    follower.follow(twice[:2])
    assert keys.load().by_name["ci"] == twice[0]


def test_commands_do_not_change_a_key_of_the_specs(keys: Keys) -> None:
    DeclaredKeys(keys).follow((declared("ci"),))
    with pytest.raises(ControlError, match=r"ci is a key of the specs \(keys\.yaml:3\)") as caught:
        keys.revoke("ci")
    assert caught.value.hint == "remove the document of ci from keys.yaml, and save or commit that"
    with pytest.raises(ControlError, match=r"ci is a key of the specs \(keys\.yaml:3\)") as caught:
        keys.rotate("ci")
    assert "bateau keys rotate ci --to-spec keys.yaml" in (caught.value.hint or "")
    with pytest.raises(ControlError, match="there is a key ci already") as caught:
        keys.create(created("ci"))
    assert "keys.yaml:3 declares it" in (caught.value.hint or "")
    assert keys.load().by_name["ci"] == declared("ci")


def test_what_cannot_be_stored_is_tried_again(keys: Keys) -> None:
    follower = DeclaredKeys(keys)
    follower.follow((declared("ci"),))
    in_the_way = keys.directory / "bateau.keys.partial"
    in_the_way.mkdir()  # as a full disk would
    for _ in range(2):
        with pytest.raises(ControlError, match="cannot write to"):
            follower.follow(())
    assert known_to_the_gateway(keys) == {"ci"}
    in_the_way.rmdir()
    follower.follow(())
    assert known_to_the_gateway(keys) == set()


def test_the_next_control_plane_has_the_keys_of_the_specs_before_it_reads_any(keys: Keys, tmp_path: Path) -> None:
    DeclaredKeys(keys).follow((declared("ci"),))
    after = Keys("test", {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)})
    assert list(after.publish(open_to_all=False).by_name.values()) == [declared("ci")]


def test_a_version_that_does_not_know_keys_of_the_specs_does_not_take_them_for_its_own(
    keys: Keys, tmp_path: Path
) -> None:
    path = tmp_path / "bateau" / "test" / "keys.json"
    keys.create(created("mine"))
    assert json.loads(path.read_text())["keys_format"] == 1
    follower = DeclaredKeys(keys)
    follower.follow((declared("ci"),))
    assert json.loads(path.read_text())["keys_format"] == 2
    follower.follow(())
    assert json.loads(path.read_text())["keys_format"] == 1
