"""ID tokens: who has signed them, with which algorithm, and what their claims have to be."""

import json
from typing import Any

import pytest
from joserfc import jwk

from bateau.kit.id_token import LEEWAY_S, TokenError, verified
from traffic.issuer import Key, base64url

ISSUER = "https://login.example.org"
NOW = 1_800_000_000.0
KEY, OTHER = Key("one"), Key("two")
JWKS = json.dumps({"keys": [KEY.public]})


def claims(**more: Any) -> dict[str, Any]:
    found = {"iss": ISSUER, "aud": "dashboard", "sub": "ada", "iat": NOW, "exp": NOW + 600, "nonce": "n", **more}
    return {name: value for name, value in found.items() if value is not None}


def read(token: str, jwks: str = JWKS) -> Any:
    return verified(token, jwks, issuer=ISSUER, client_id="dashboard", nonce="n", now=NOW)


def test_a_token_of_the_issuer_is_accepted() -> None:
    assert read(KEY.token(claims()))["sub"] == "ada"
    assert read(KEY.token(claims(aud=["dashboard"])))["sub"] == "ada"
    assert read(KEY.token(claims(aud=["dashboard", "other"], azp="dashboard")))["sub"] == "ada"
    assert read(KEY.token(claims(exp=NOW - LEEWAY_S + 1)))["sub"] == "ada"


@pytest.mark.parametrize("kind", [("EC", "P-256", "ES256"), ("OKP", "Ed25519", "EdDSA"), ("RSA", 2048, "PS256")])
def test_every_kind_of_key_of_the_endpoint_signs_people_in(kind: tuple[str, Any, str]) -> None:
    import warnings

    from joserfc import jwt

    key = jwk.JWKRegistry.generate_key(kind[0], kind[1], {"kid": "k"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = jwt.encode({"alg": kind[2], "kid": "k"}, claims(), key, algorithms=[kind[2]])
    assert read(token, json.dumps({"keys": [key.as_dict(private=False)]}))["sub"] == "ada"


def test_a_forged_token_is_refused() -> None:
    good = KEY.token(claims())
    header, payload, signature = good.split(".")
    other = base64url(json.dumps(claims(sub="eve")).encode())
    critical = base64url(json.dumps({"alg": "RS256", "kid": "one", "crit": ["x"], "x": 1}).encode())
    forged = [
        KEY.token(claims(), alg="none"),
        KEY.token(claims(), alg="HS256"),
        OTHER.token(claims(), kid="one"),
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.",
        *("", "a.b.c", "..", good.replace(".", ""), f"{good}.x", "\ud800"),
        f"{critical}.{payload}.{signature}",
    ]
    for token in forged:
        with pytest.raises(TokenError):
            read(token)
    with pytest.raises(TokenError) as raised:
        read(OTHER.token(claims()))
    assert raised.value.is_unknown_key


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"aud": "other"}, "another aud"),
        ({"aud": ["other"]}, "another aud"),
        ({"aud": None}, "no 'aud'"),
        ({"aud": ["dashboard", "other"]}, "another client"),
        ({"azp": "other"}, "another client"),
        ({"iss": f"{ISSUER}/"}, "another iss"),
        ({"iss": [ISSUER]}, "another iss"),
        ({"iss": None}, "no 'iss'"),
        ({"nonce": "replayed"}, "another nonce"),
        ({"nonce": ["n"]}, "another nonce"),
        ({"nonce": None}, "no 'nonce'"),
        ({"exp": NOW - LEEWAY_S}, "has expired"),
        ({"exp": None}, "no 'exp'"),
        ({"exp": "never"}, "another exp"),
        ({"iat": NOW + 3600}, "another iat"),
        ({"nbf": NOW + 3600}, "another nbf"),
        ({"sub": ""}, "another sub"),
        ({"sub": 7}, "another sub"),
        ({"sub": "x" * 256}, "no usable sub"),
    ],
)
def test_a_token_with_other_claims_is_refused(more: dict[str, Any], says: str) -> None:
    token = KEY.token(claims(**more))
    with pytest.raises(TokenError) as raised:
        read(token)
    assert says in raised.value.says
    assert not any(part in raised.value.says for part in token.split("."))


def test_a_key_without_a_name_is_used_where_there_is_only_one() -> None:
    bare = {name: value for name, value in KEY.public.items() if name != "kid"}
    token = KEY.token(claims())
    with pytest.raises(TokenError):
        read(token, json.dumps({"keys": [bare, OTHER.public]}))
