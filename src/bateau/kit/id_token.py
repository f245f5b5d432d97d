"""Verify the ID token of an OIDC issuer.

Called by wiring.sign_in.
Sources: OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725 (JSON Web Token Best Current Practices).

Invariant: only a token that a key of the issuer has signed, with an asymmetric algorithm that is one of this key, is
accepted. Held by tests/kit/test_id_token.py::test_a_forged_token_is_refused.
Invariant: a token for another audience, of another issuer, of another sign-in, or out of its time is refused. Held by
tests/kit/test_id_token.py::test_a_token_with_other_claims_is_refused.
Refused: PyJWT. Its caller has to choose the key; joserfc chooses one of a set by `kid` and `alg`, refuses an algorithm
of another type of key, and checks the nonce with the other claims.
"""

import json
import warnings
from typing import Final

from bateau.kit.json_value import JsonObject, text_at

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
# How far the clocks of two machines may differ.
LEEWAY_S: Final = 10
_SUBJECT_MAX: Final = 255


class TokenError(Exception):
    """A token is refused. `says` is the reason, without any part of the token; `is_unknown_key`: a new key may help."""

    def __init__(self, says: str, *, is_unknown_key: bool = False) -> None:
        super().__init__(says)
        self.says = says
        self.is_unknown_key = is_unknown_key


def verified(token: str, jwks: str, *, issuer: str, client_id: str, nonce: str, now: float) -> JsonObject:
    """Return the claims of an ID token. `jwks` has the public keys of the issuer; `now` is in seconds since the epoch.

    Raises TokenError.
    """
    # 50 ms, which only those who sign in by an issuer need.
    from joserfc import jwt
    from joserfc.errors import ExpiredTokenError, InvalidClaimError, InvalidKeyIdError, JoseError, MissingClaimError
    from joserfc.errors import SecurityWarning as NamedAnew
    from joserfc.jwk import KeySet

    try:
        with warnings.catch_warnings():
            # RFC 9864 has another name for EdDSA, and issuers still use this one.
            warnings.simplefilter("ignore", NamedAnew)
            claims = jwt.decode(token, KeySet.import_key_set(json.loads(jwks)), algorithms=ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            now=int(now),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
    except InvalidKeyIdError as error:
        raise TokenError("no key of the issuer has signed the ID token", is_unknown_key=True) from error
    except ExpiredTokenError as error:
        raise TokenError("the ID token has expired; the clocks of both machines may differ by ten seconds") from error
    except MissingClaimError as error:
        raise TokenError(f"the ID token has no {error.description.removeprefix('Missing claim: ')}") from error
    except InvalidClaimError as error:
        raise TokenError(f"the ID token has another {error.claim} than expected") from error
    except (JoseError, ValueError, RecursionError) as error:
        raise TokenError("the ID token has no valid signature of the issuer") from error
    if claims["nonce"] != nonce:  # a list that contains it is not this text
        raise TokenError("the ID token has another nonce than expected")
    _check_party(claims, client_id)
    if len(text_at(claims, "sub")) not in range(1, _SUBJECT_MAX + 1):
        raise TokenError("the ID token has no usable sub")
    return claims


def _check_party(claims: JsonObject, client_id: str) -> None:
    """Raise TokenError if a token with several audiences was given to another one of them."""
    party, audiences = claims.get("azp"), claims.get("aud")
    if party is None and not (isinstance(audiences, list) and len(audiences) > 1):
        return
    if party != client_id:
        raise TokenError("the ID token was given to another client")
