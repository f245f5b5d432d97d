"""`bateau keys create --to-spec`: what is in the file, and what is never written."""

from dataclasses import replace
from pathlib import Path

import pytest

from bateau.domain.api_key import ApiKey
from bateau.domain.errors import ControlError
from bateau.kit.secret_key import hash_of, is_key
from bateau.specs import read
from bateau.specs.kinds.key import keys_of
from bateau.wiring.key_documents import create_document, rotate_document


def wanted(name: str, **more: object) -> ApiKey:
    return ApiKey(name=name, owner="me", created_at=1.0, **more)  # type: ignore[arg-type]


def keys_in(path: Path) -> dict[str, ApiKey]:
    found = read({path.name: path.read_text()})
    assert not found.problems
    return {key.name: key for key in keys_of(found.specs, None)}


def test_a_directory_gets_a_file_of_its_own_for_each_key(tmp_path: Path) -> None:
    path, secret = create_document(wanted("ci", models=("chat*",), tokens_per_day=5), tmp_path)
    assert path == tmp_path / "key-ci.yaml"
    assert is_key(secret)
    key = keys_in(path)["ci"]
    assert (key.sha256, key.hint, key.models) == (hash_of(secret), secret[-4:], ("chat*",))
    assert (key.owner, key.tokens_per_day) == ("me", 5)
    assert secret not in path.read_text()


def test_a_file_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    for number, name in enumerate(("ci", "shop", "team")):
        before = path.read_text() if path.exists() else "# keys of this endpoint"
        path.write_text(before)
        create_document(wanted(name), path)
        assert path.read_text().startswith(before)
        assert len(keys_in(path)) == number + 1


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    create_document(wanted("ci"), tmp_path / "keys.yaml")
    before = (tmp_path / "keys.yaml").read_text()
    for place in (tmp_path, tmp_path / "keys.yaml"):
        with pytest.raises(ControlError, match=r"keys\.yaml:4:9 declares a key ci already"):
            create_document(wanted("ci"), place)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("keys.yaml", before)]


def test_a_limit_that_no_file_takes_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="100000000000000000000 is too large a limit"):
        create_document(replace(wanted("ci"), concurrent=10**20), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [{"note": "${ x }"}, {"owner": "${ env }"}])
def test_a_key_whose_document_would_have_an_error_is_not_written(tmp_path: Path, more: dict[str, object]) -> None:
    with pytest.raises(ControlError, match="so no document was written"):
        create_document(replace(wanted("ci"), **more), tmp_path)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "a: [", "\0", "a: b\n\t- c\n"])
def test_a_file_that_cannot_take_a_document_stays_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ControlError, match=r"keys\.yaml"):
        create_document(wanted("ci"), path)
    assert path.read_text() == text


def test_a_wrong_name_or_place_is_an_error(tmp_path: Path) -> None:
    for name in ("a.b", "a_b", "-x", "UP"):
        with pytest.raises(ControlError, match="cannot be the name"):
            create_document(wanted(name), tmp_path)
    with pytest.raises(ControlError, match="not a name of models"):
        create_document(wanted("ci", models=("a b",)), tmp_path)
    with pytest.raises(ControlError, match="cannot be written"):
        create_document(wanted("ci"), tmp_path / "absent" / "keys.yaml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line", ["hint: a1b2", 'hint: "1234"', "hint: 'ab'", "note: no hint", "hint: a1b2  # the last four"]
)
def test_a_new_secret_replaces_the_hash_and_nothing_else(tmp_path: Path, line: str) -> None:
    path = tmp_path / "deep" / "keys.yaml"
    path.parent.mkdir()
    text = f"""\
# Keys of CI.
apiVersion: bateau.dev/v1alpha1
kind: Key
metadata: {{name: ci}}   # nightly
spec:
  {line}
  sha256: {"0" * 64}
  models: [chat*]
---
apiVersion: bateau.dev/v1alpha1
kind: Key
metadata: {{name: other}}
spec: {{sha256: {"1" * 64}, hint: a1b2}}
"""
    path.write_text(text.replace("0" * 64, f'"{"0" * 64}"').replace("1" * 64, f'"{"1" * 64}"'))
    before = keys_in(path)
    found, secret = rotate_document("ci", tmp_path)
    assert found == path
    after = keys_in(path)
    assert after["other"] == before["other"]
    assert after["ci"].sha256 == hash_of(secret)
    assert after["ci"].hint == (secret[-4:] if "hint:" in line else "")
    assert (after["ci"].models, after["ci"].note) == (before["ci"].models, before["ci"].note)
    changed = [
        (old, new) for old, new in zip(text.splitlines(), path.read_text().splitlines(), strict=True) if old != new
    ]
    assert all(old.split(":")[0] == new.split(":")[0] for old, new in changed)
    assert path.read_text().startswith("# Keys of CI.\n")


def test_a_key_that_is_not_there_has_no_secret_to_replace(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="declares no key ci"):
        rotate_document("ci", tmp_path)
