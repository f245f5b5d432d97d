"""`bateau keys issuer`: let the tokens of OIDC issuers in, beside API keys."""

import os
import time
from pathlib import Path

import click

from bateau.cli.options import Number, issuer_ca_option, issuer_name_option, json_option, name_option
from bateau.domain.issuer import MODELS_CLAIM, OWNER_CLAIM


@click.group()
def command() -> None:
    """Accept the tokens (JWTs) of an OIDC issuer as well as API keys.

    A token is sent as a key is: `Authorization: Bearer TOKEN`. Its claims say who answers for it and which models it
    may use. Changes take effect at once, also while no control plane runs.
    """


@command.command()
@click.argument("url")
@click.option(
    "--audience", "audiences", multiple=True, required=True, metavar="AUDIENCE",
    help="Whom its tokens must be for (`aud`). May be repeated.",
)  # fmt: skip
@issuer_name_option
@click.option(
    "--owner-claim", default=OWNER_CLAIM, show_default=True, metavar="CLAIM",
    help="The claim that says who answers for a token.",
)  # fmt: skip
@click.option(
    "--models-claim", default=MODELS_CLAIM, show_default=True, metavar="CLAIM",
    help="The claim with the models that a token may use: a list of globs, or a text with spaces.",
)  # fmt: skip
@click.option(
    "--models", multiple=True, metavar="GLOB",
    help="Models for tokens without that claim. May be repeated. [default: none]",
)  # fmt: skip
@click.option("--requests-per-minute", type=Number(1), help="How many requests each subject may send in a minute.")
@issuer_ca_option
@name_option
def add(  # noqa: PLR0917 - click passes them by name
    url: str, audiences: tuple[str, ...], called: str, owner_claim: str, models_claim: str, models: tuple[str, ...],
    requests_per_minute: int | None, ca: Path | None, name: str,
) -> None:  # fmt: skip
    """Accept tokens of the issuer at URL, which is `iss` in them. Its keys are fetched from there now.

    From the first key or issuer on, each request needs a key or a token.
    """
    from bateau.domain.issuer import Issuer
    from bateau.kit.jwks import key_count
    from bateau.wiring.issuers import Issuers
    from bateau.wiring.keys import Keys

    wanted = Issuer(
        name=called,
        url=url,
        audiences=audiences,
        created_at=float(int(time.time())),
        owner_claim=owner_claim,
        models_claim=models_claim,
        models=models,
        requests_per_minute=requests_per_minute,
        authority=None if ca is None else str(ca),
    )
    issuer, keys = Issuers(Keys(name, os.environ), os.environ).add(wanted)
    click.echo(f"added {issuer.name}, with {key_count(keys.jwks)} signing keys")
    if not issuer.models:
        click.echo(f"its tokens may use the models in their claim {issuer.models_claim}, and no others", err=True)


@command.command("list")
@name_option
@json_option
def list_issuers(name: str, as_json: bool) -> None:
    """List the issuers, and when their keys were refreshed."""
    from bateau.api.encoding import encode
    from bateau.api.issuer_json import HEADER, issuer_json, issuer_row
    from bateau.cli.table import table
    from bateau.wiring.keys import Keys

    keys = Keys(name, os.environ)
    issuers, found = keys.issuers(), keys.signing_keys()
    if as_json:
        click.echo(encode({"issuers": [issuer_json(each, found.get(each.name)) for each in issuers]}))
    elif issuers:
        click.echo(table(HEADER, [issuer_row(each, found.get(each.name)) for each in issuers]))
    else:
        click.echo("there is no issuer; `bateau keys issuer add URL --audience AUDIENCE` adds one", err=True)


@command.command()
@click.argument("issuer")
@name_option
def remove(issuer: str, name: str) -> None:
    """Refuse the tokens of ISSUER from now on; requests in flight are finished."""
    from bateau.wiring.keys import Keys

    keys = Keys(name, os.environ)
    removed = keys.dismiss_issuer(issuer)
    click.echo(f"removed {removed.name}")
    keyring = keys.load()
    if keyring.required and not keyring.by_name and not keys.issuers():
        click.echo("there is no key and no issuer left, so every request is refused", err=True)
