"""An OIDC issuer whose tokens are accepted beside API keys: which of them, and what their claims mean.

Made by store.issuers; read by traffic.envoy.issuer_filters, wiring.issuers and cli.issuers.
Source: RFC 7519 (JSON Web Token), section 4.
"""

from dataclasses import dataclass
from typing import Final

OWNER_CLAIM: Final = "email"
MODELS_CLAIM: Final = "bateau_models"
# A caller is named CALLER, the name of the issuer, a colon and the subject. No key has a colon in its name.
CALLER: Final = "jwt:"


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
