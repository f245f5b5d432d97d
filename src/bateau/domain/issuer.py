"""An OIDC issuer whose tokens are accepted beside API keys: which of them, and what their claims mean.

Made by store.issuers; read by traffic.envoy.issuer_filters, wiring.issuers and cli.issuers.
Source: RFC 7519 (JSON Web Token) and RFC 7517 (JSON Web Key).
"""

import json
from dataclasses import dataclass
from typing import Final

from bateau.kit.json_value import Json, array_at, is_object, text_at

OWNER_CLAIM: Final = "email"
MODELS_CLAIM: Final = "bateau_models"
# A caller is named CALLER, the name of the issuer, a colon and the subject. No key has a colon in its name.
CALLER: Final = "jwt:"

_RSA_BITS_MIN: Final = 2048
_BITS_PER_DIGIT: Final = 6  # of base64url
# The members of a public key (RFC 7518, section 6; RFC 8037). Others may be private, and are of no use.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuer, by the URL in `iss` of its tokens, and a name of our own.

    A token has to be for one of `audiences`. `owner_claim` names who answers for a caller. `models_claim` has globs of
    models; a token without this claim may use `models`. `requests_per_minute` is for each subject, None: not limited.
    `authority` is the path of a file with the certificates that its server is trusted by, None: those of the platform.
    """

    name: str
    url: str
    audiences: tuple[str, ...]
    created_at: float
    owner_claim: str = OWNER_CLAIM
    models_claim: str = MODELS_CLAIM
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    authority: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """The public keys of an issuer, as a JSON Web Key Set, and when they were fetched, in seconds since the epoch.

    They could not be fetched again since `failing_since`, None if they could, because of `error`.
    """

    url: str
    jwks: str
    fetched_at: float
    failing_since: float | None = None
    error: str = ""


def public_keys(tree: Json) -> str | None:
    """Return the keys of a JSON Web Key Set that may verify tokens, as another one; None if there are none.

    A symmetric key would let everybody who knows it sign tokens, so none is returned, and neither are private parts.

    >>> public_keys({"keys": [{"kty": "oct", "k": "c2VjcmV0"}, {"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "BB"}]})
    '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}'
    """
    found = [key for each in array_at(tree, "keys") if is_object(each) and (key := _public(each))]
    return json.dumps({"keys": found}) if found else None


def key_count(jwks: str) -> int:
    """Return how many keys a JSON Web Key Set has."""
    return len(array_at(json.loads(jwks), "keys"))


def _public(key: dict[str, Json]) -> dict[str, str] | None:
    kind = text_at(key, "kty")
    members = _MEMBERS.get(kind, ())
    if not members or not all(text_at(key, member) for member in members):
        return None
    if text_at(key, "use") not in {"", "sig"} or key.get("alg", "") not in {"", *_ALGORITHMS[kind]}:
        return None
    if kind == "RSA" and len(text_at(key, "n")) * _BITS_PER_DIGIT < _RSA_BITS_MIN:
        return None
    about = {name: text for name in ("kid", "alg") if (text := text_at(key, name))}
    return {"kty": kind, **about, **{member: text_at(key, member) for member in members}}
