"""`bateau sign-in`: let people sign in to the dashboard by an OIDC issuer."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.options import issuer_ca_option, issuer_name_option, json_option, name_option
from bateau.domain.sign_in import NAME_CLAIM, ROLES, ROLES_CLAIM

if TYPE_CHECKING:
    from bateau.domain.sign_in import Role


class _Mapped(click.ParamType["tuple[Role, str]"]):
    """A role, and the value of a claim that gives it: `operate=platform-team`."""

    name = "role"

    def convert(
        self, value: "str | tuple[Role, str]", param: click.Parameter | None, ctx: click.Context | None
    ) -> "tuple[Role, str]":
        """Return both; anything else is a usage error."""
        if isinstance(value, tuple):
            return value
        name, _, mapped = value.partition("=")
        if name not in ROLES or not mapped:
            self.fail(f"{value!r} maps no role; write ROLE=VALUE, with one of {', '.join(ROLES)}", param, ctx)
        return name, mapped


@click.group()
def command() -> None:
    """Let people sign in to the dashboard by an OIDC issuer, as well as by the link of `bateau open`.

    At the issuer, register a client with the redirect URI that `bateau sign-in add` prints. Changes take effect at
    once, also while no control plane runs.
    """


@command.command()
@click.argument("url")
@click.option("--client-id", required=True, metavar="ID", help="The ID of the dashboard's client at the issuer.")
@click.option(
    "--client-secret-file", "secret_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file with the client's secret. It is read at each sign-in. [default: a public client without one]",
)  # fmt: skip
@click.option(
    "--role", "roles", type=_Mapped(), multiple=True, required=True, metavar="ROLE=VALUE",
    help="Give a role (view, operate or admin) to people with this value in the claim. May be repeated.",
)  # fmt: skip
@click.option(
    "--roles-claim", default=ROLES_CLAIM, show_default=True, metavar="CLAIM",
    help="The claim with these values: a list of texts, or one text.",
)  # fmt: skip
@click.option(
    "--name-claim", default=NAME_CLAIM, show_default=True, metavar="CLAIM",
    help="The claim with a person's name in the timeline.",
)  # fmt: skip
@click.option(
    "--scope", "scopes", multiple=True, metavar="SCOPE",
    help="A scope to request besides openid, profile and email. May be repeated.",
)  # fmt: skip
@issuer_name_option
@issuer_ca_option
@name_option
def add(  # noqa: PLR0917 - click passes them by name
    url: str, client_id: str, secret_file: Path | None, roles: "tuple[tuple[Role, str], ...]", roles_claim: str,
    name_claim: str, scopes: tuple[str, ...], called: str, ca: Path | None, name: str,
) -> None:  # fmt: skip
    """Let people sign in by the issuer at URL, which is `iss` in its tokens. It is asked now."""
    from bateau.domain.sign_in import SignInIssuer
    from bateau.wiring.sign_in_issuers import SignInIssuers

    issuer = SignInIssuers(name, os.environ).add(
        SignInIssuer(
            name=called,
            url=url,
            client_id=client_id,
            secret_file=None if secret_file is None else str(secret_file),
            roles=roles,
            created_at=time.time(),
            roles_claim=roles_claim,
            name_claim=name_claim,
            scopes=scopes,
            authority=None if ca is None else str(ca),
        )
    )
    click.echo(f"people can sign in by {issuer.name}")
    click.echo(f"redirect URI for the client: ADDRESS/ui/sign-in/{issuer.name}/callback", err=True)
    click.echo("ADDRESS is each address of the dashboard, such as http://127.0.0.1:8080", err=True)


@command.command("list")
@name_option
@json_option
def list_issuers(name: str, as_json: bool) -> None:
    """List the issuers by which people sign in, with the values that have a role."""
    from bateau.api.encoding import encode
    from bateau.api.sign_in_json import HEADER, sign_in_json, sign_in_row
    from bateau.cli.table import table
    from bateau.wiring.sign_in_issuers import SignInIssuers

    issuers = SignInIssuers(name, os.environ).all()
    if as_json:
        click.echo(encode({"issuers": [sign_in_json(each) for each in issuers]}))
    elif issuers:
        click.echo(table(HEADER, [sign_in_row(each) for each in issuers]))
    else:
        click.echo(
            "people sign in by the link of `bateau open` only; `bateau sign-in add URL` adds an issuer", err=True
        )


@command.command()
@click.argument("issuer")
@name_option
def remove(issuer: str, name: str) -> None:
    """Let nobody sign in by ISSUER from now on. The sessions that it has opened end."""
    from bateau.wiring.sign_in_issuers import SignInIssuers

    removed = SignInIssuers(name, os.environ).remove(issuer)
    click.echo(f"removed {removed.name}; its sessions have ended")
