"""Take from a JSON Web Key Set the keys that may verify signatures.

Called by api.issuer_json, cli.issuers, sources.issuer and store.issuers. Source: RFC 7517; RFC 7518, section 6; RFC
8037.

Envoy refuses the keys of all issuers where it cannot use any of one, so only keys that it can use are taken.

Invariant: no symmetric key is returned, because whoever knows it could sign, and no private part of a key; and every
key that is returned is one of its kind. Held by tests/kit/test_jwks.py.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bateau.kit.json_value import Json, ReadJson, array_at, is_object, text_at

_RSA_BITS: Final = range(2048, 8192 + 1)
_CURVES: Final[Mapping[str, type[ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_ALGORITHM_OF_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_ED25519: Final = "Ed25519"
_MEMBERS: Final = {
    "RSA": ("n", "e"),
    "EC": ("crv", "x", "y"),
    "OKP": ("crv", "x"),
}
_ALGORITHMS: Final = {
    "RSA": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
    "EC": {"ES256", "ES384", "ES512"},
    "OKP": {"EdDSA"},
}
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")


def public_keys(tree: ReadJson) -> str | None:
    """Return the keys of a JSON Web Key Set that may verify signatures, as another one; None if there are none.

    >>> public_keys({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})
    """
    found = [key for each in array_at(tree, "keys") if is_object(each) and (key := _public(each))]
    return json.dumps({"keys": found}) if found else None


def key_count(jwks: str) -> int:
    """Return how many keys a JSON Web Key Set has."""
    return len(array_at(json.loads(jwks), "keys"))


def _public(key: Mapping[str, Json]) -> Mapping[str, str] | None:
    if not all(isinstance(key.get(name, ""), str) for name in ("kty", "use", "alg", "kid")):
        return None
    kind = text_at(key, "kty")
    members = {name: text_at(key, name) for name in _MEMBERS.get(kind, ())}
    if not members or text_at(key, "use") not in {"", "sig"} or text_at(key, "alg") not in {"", *_ALGORITHMS[kind]}:
        return None
    about = {name: text for name in ("kid", "alg") if (text := text_at(key, name))}
    try:
        _check(kind, members)
        about.get("kid", "").encode()
    except ValueError:  # the UnicodeEncodeError of a half of a character is one
        return None
    if kind == "EC" and about.get("alg") not in {None, _ALGORITHM_OF_CURVE[members["crv"]]}:
        return None
    return {"kty": kind, **about, **members}


def _check(kind: str, members: Mapping[str, str]) -> None:
    """Raise ValueError for members that are not those of a key, or of a weak one."""
    if kind == "RSA":
        public = rsa.RSAPublicNumbers(_number(members["e"]), _number(members["n"]))
        if public.n.bit_length() not in _RSA_BITS:
            raise ValueError("the key is too short or too long")
        public.public_key()
    elif kind == "EC":
        if members["crv"] not in _CURVES:
            raise ValueError("the curve is not known")
        curve = _CURVES[members["crv"]]()
        ec.EllipticCurvePublicNumbers(_number(members["x"]), _number(members["y"]), curve).public_key()
    elif members["crv"] != _ED25519:
        raise ValueError("the curve is not known")
    else:
        ed25519.Ed25519PublicKey.from_public_bytes(_bytes(members["x"]))


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")


def _bytes(text: str) -> bytes:
    if not _BASE64URL.fullmatch(text):
        raise ValueError("this is not base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
