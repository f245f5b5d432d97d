"""Key sets: what may verify signatures is taken, and nothing else."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bateau.kit.jwks import key_count, public_keys


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def of_rsa(bits: int) -> dict[str, Any]:
    public = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key().public_numbers()
    return {"kty": "RSA", "n": number(public.n), "e": number(public.e)}


RSA = of_rsa(2048)
# RFC 7517, appendix A.1; RFC 8037, appendix A.2.
EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}
ED = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def test_public_keys_are_taken_without_their_private_parts() -> None:
    secret = {**EC, "kid": "a", "d": "private", "use": "sig", "alg": "ES256", "x5c": ["certificate"]}
    found = public_keys({"keys": [secret, RSA, ED]})
    assert found is not None
    assert json.loads(found)["keys"] == [{"kid": "a", "alg": "ES256", **EC}, RSA, ED]
    assert "private" not in found
    assert key_count(found) == 3


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        of_rsa(1024),
        {**RSA, "use": "enc"},
        {**RSA, "alg": "HS256"},
        {**RSA, "alg": "RSA-OAEP"},
        {**EC, "alg": "none"},
        {**EC, "alg": "ES512"},
        {**EC, "kid": "\ud800"},
        {**RSA, "alg": ["RS256"]},
        {**RSA, "kid": 1},
        {**RSA, "n": RSA["n"] + "!"},
        {**RSA, "e": "AQ"},
        {"kty": "RSA", "e": "AQAB"},
        {**EC, "x": EC["y"]},
        {**EC, "crv": "P-384"},
        {**EC, "crv": "secp256k1"},
        {**ED, "x": "AAAA"},
        {**ED, "crv": "X25519"},
        {"kty": ["RSA"]},
        {},
        1,
        None,
    ],
)
def test_a_key_that_must_not_verify_signatures_is_left_out(key: Any) -> None:
    assert public_keys({"keys": [key]}) is None
    assert public_keys({"keys": [key, EC]}) == json.dumps({"keys": [EC]})


@pytest.mark.parametrize("tree", [None, [], {}, {"keys": {}}, {"keys": "a"}, "keys"])
def test_what_is_no_key_set_has_no_keys(tree: Any) -> None:
    assert public_keys(tree) is None
