"""Who may sign in to the dashboard: OIDC issuers, the roles that their claims give, and the people who signed in.

Made by store.sign_in and wiring.sign_in; read by cli and ui.
Source: OpenID Connect Core 1.0, sections 2 and 5.1.

Invariant: a claim gives the highest role that one of its values is mapped to, and no role without a mapped value. Held
by tests/domain/test_sign_in.py::test_the_highest_mapped_role_counts and
tests/domain/test_sign_in.py::test_without_a_mapped_value_there_is_no_role.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

Role = Literal["view", "operate", "admin"]
# From the least to the most powerful one.
ROLES: Final[tuple[Role, ...]] = get_args(Role)

ROLES_CLAIM: Final = "groups"
NAME_CLAIM: Final = "email"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInIssuer:
    """An issuer by which people sign in, by the URL in `iss` of its ID tokens, and a name of our own.

    `client_id` names the dashboard there; `secret_file` is the path of the file with its secret, None: it is a public
    client. `roles` are pairs of a role and a value of `roles_claim`. `name_claim` has the name of a person. `scopes`
    are requested beside `openid`, `profile` and `email`. `authority` is the path of a file with the certificates that
    the server is trusted by, None: those of the platform. `created_at` is in seconds since the epoch.
    """

    name: str
    url: str
    client_id: str
    secret_file: str | None
    roles: tuple[tuple[Role, str], ...]
    created_at: float
    roles_claim: str = ROLES_CLAIM
    name_claim: str = NAME_CLAIM
    scopes: tuple[str, ...] = ()
    authority: str | None = None

    def role_of(self, values: Iterable[str]) -> Role | None:
        """Return the highest role that the values of the claim give, None if they give none."""
        found = {*values}
        given = {role for role, value in self.roles if value in found}
        return next((role for role in reversed(ROLES) if role in given), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person who has signed in by an issuer. `email` is one that the issuer has verified, None without one.

    `full_name` is for people to read, and anybody may have chosen it. `subject` identifies the person at the issuer.
    """

    issuer: SignInIssuer
    subject: str
    name: str
    full_name: str
    email: str | None

    @property
    def actor(self) -> str:
        """The name in the timeline and in logs: that at the issuer, and the name of the issuer."""
        return f"{self.name} ({self.issuer.name})"

    @property
    def author(self) -> str:
        """The person as the author of a commit. git reads no `<`, `>` or line break in a name."""
        plain = "".join(" " if each in "<>" or not each.isprintable() else each for each in self.full_name).strip()
        return f"{plain or self.subject} <{self.email or ''}>"
