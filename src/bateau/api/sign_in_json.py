"""Show the issuers by which people sign in, as JSON and as rows of a table.

Called by cli.sign_in.
"""

from typing import Final

from bateau.domain.sign_in import SignInIssuer
from bateau.kit.json_value import ReadObject
from bateau.kit.rfc3339 import rfc3339

HEADER: Final = ("ISSUER", "URL", "CLIENT", "SECRET", "CLAIM", "ROLES")


def sign_in_json(issuer: SignInIssuer) -> ReadObject:
    """Return an issuer."""
    return {
        "name": issuer.name,
        "url": issuer.url,
        "clientId": issuer.client_id,
        "clientSecretFile": issuer.secret_file,
        "rolesClaim": issuer.roles_claim,
        "roles": [{"role": role, "value": value} for role, value in issuer.roles],
        "nameClaim": issuer.name_claim,
        "scopes": list(issuer.scopes),
        "authority": issuer.authority,
        "created": rfc3339(issuer.created_at),
    }


def sign_in_row(issuer: SignInIssuer) -> tuple[str, ...]:
    """Return the row of an issuer."""
    roles = ", ".join(f"{role}={value}" for role, value in issuer.roles)
    return (issuer.name, issuer.url, issuer.client_id, issuer.secret_file or "-", issuer.roles_claim, roles)
