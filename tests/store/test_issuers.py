"""The files of issuers: what was written is read, and damage never lets anybody in."""

import json
from pathlib import Path
from typing import Any

import pytest

from bateau.domain.errors import ControlError
from bateau.domain.issuer import Issuer, SigningKeys
from bateau.kit.jwks import public_keys
from bateau.store.issuers import IssuerFile, SigningKeyFile

ISSUER = Issuer(
    name="corp",
    url="https://login.example.org",
    audiences=("models", "others"),
    created_at=1.0,
    models=("chat*",),
    requests_per_minute=60,
    authority="/etc/ca.pem",
)
JWKS = public_keys({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})
KEYS = SigningKeys(url=ISSUER.url, jwks=JWKS or "", fetched_at=2.0, failing_since=3.0, error="it is gone")


def test_issuers_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = IssuerFile(tmp_path / "issuers.json")
    assert file.load() == ()
    other = Issuer(name="a", url='https://a.example.org/"', audiences=('"x"', "a\\b"), created_at=2.5)
    file.save([ISSUER, other])
    assert IssuerFile(tmp_path / "issuers.json").load() == (other, ISSUER)
    assert (tmp_path / "issuers.json").stat().st_mode & 0o777 == 0o600
    keys = SigningKeyFile(tmp_path / "signing-keys.json")
    assert keys.load() == {}
    keys.save({"corp": KEYS})
    assert SigningKeyFile(tmp_path / "signing-keys.json").load() == {"corp": KEYS}


@pytest.mark.parametrize(
    "damage",
    [
        {"name": None},
        {"url": 1},
        {"audiences": []},
        {"audiences": "models"},
        {"models_claim": None},
        {"created_at": "1"},
        {"created_at": True},
        {"requests_per_minute": "60"},
        {"requests_per_minute": 0},
        {"requests_per_minute": 10**12},
        {"created_at": float("nan")},
        {"created_at": 1e300},
        {"name": 'a" }, x = os.exit() --'},
        {"owner_claim": "e\\"},
        {"models": ["chat\n"]},
        {"url": "https://login.example.org/\u00e9"},
        {"authority": 1},
    ],
)
def test_a_damaged_file_of_issuers_is_an_error(tmp_path: Path, damage: dict[str, Any]) -> None:
    path = tmp_path / "issuers.json"
    file = IssuerFile(path)
    file.save([ISSUER])
    tree = json.loads(path.read_text())
    tree["issuers"][0] |= damage
    path.write_text(json.dumps(tree))
    with pytest.raises(ControlError, match=r"issuers\.json cannot be used"):
        file.load()
    for text in ("{", "[]", '{"format": 2}', '{"format": 2, "issuers_format": 2, "issuers": []}', '{"format": 9}'):
        path.write_text(text)
        with pytest.raises(ControlError):
            IssuerFile(path).load()
        assert path.read_text() == text


def test_damaged_signing_keys_are_fetched_again(tmp_path: Path) -> None:
    path = tmp_path / "signing-keys.json"
    file = SigningKeyFile(path)
    file.save({"corp": KEYS, "other": KEYS})
    tree = json.loads(path.read_text())
    for damage in (
        *({"jwks": "{"}, {"jwks": "[]"}, {"jwks": None}, {"jwks": '{"keys": [{"kty": "oct"}]}'}, {"jwks": "[" * 10**5}),
        *({"url": ""}, {"fetched_at": None}, {"fetched_at": float("nan")}),
    ):
        damaged = {**tree, "issuers": {**tree["issuers"], "corp": {**tree["issuers"]["corp"], **damage}}}
        path.write_text(json.dumps(damaged))
        assert file.load() == {"other": KEYS}, damage
    for text in ("{", "[]", '{"format": 2, "signing_keys_format": 2, "issuers": {}}', '{"format": 2}'):
        path.write_text(text)
        assert file.load() == {}
