"""The file with the issuers by which people sign in."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bateau.domain.errors import ControlError
from bateau.domain.sign_in import SignInIssuer
from bateau.store.sign_in import SignInFile

ISSUER = SignInIssuer(
    name="corp",
    url="https://login.example.org",
    client_id="dashboard",
    secret_file="/run/secrets/dashboard",
    roles=(("view", "staff"), ("admin", "platform")),
    created_at=1.5,
    scopes=("groups",),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = SignInFile(tmp_path / "sign-in.json")
    assert (file.load(), file.stamp) == ((), None)
    file.save([ISSUER, replace(ISSUER, name="a", secret_file=None, authority="/ca.pem")])
    assert file.load() == (replace(ISSUER, name="a", secret_file=None, authority="/ca.pem"), ISSUER)
    assert (tmp_path / "sign-in.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "change",
    [
        *({"name": ""}, {"url": None}, {"client_id": 7}, {"created_at": "now"}, {"secret_file": 7}, {"authority": ""}),
        *({"roles": []}, {"roles": None}, {"roles": [["root", "x"]]}, {"roles": [["view", ""]]}, {"roles": [["view"]]}),
        {"roles": [["view", "x"], 7]},
    ],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "sign-in.json"
    SignInFile(path).save([ISSUER])
    tree = json.loads(path.read_text())
    tree["issuers"][0] |= change
    path.write_text(json.dumps(tree))
    with pytest.raises(ControlError, match="cannot be used"):
        SignInFile(path).load()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"sign_in_format": 2, "issuers": []}', '{"sign_in_format": 1}'])
def test_a_file_of_another_version_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "sign-in.json").write_text(text)
    with pytest.raises(ControlError):
        SignInFile(tmp_path / "sign-in.json").load()
