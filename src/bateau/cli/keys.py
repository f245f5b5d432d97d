"""`bateau keys`: create the API keys of the endpoint, list, rotate and revoke them."""

import getpass
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.issuers import command as issuer_command
from bateau.cli.key_limits import limit_options
from bateau.cli.options import json_option, name_option

if TYPE_CHECKING:
    from bateau.kit.money import Money


class Expiry(click.ParamType[float]):
    """A time from now on, such as 90d or 12h, or a date; as seconds since the epoch."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the time; a wrong or a past one is a usage error."""
        if not isinstance(value, str):
            return float(value)
        from bateau.domain.key_fields import expiry

        try:
            return expiry(value, time.time())
        except ValueError as error:
            self.fail(str(error), param, ctx)


_to_spec_option = click.option(
    "--to-spec", type=click.Path(path_type=Path), metavar="PATH",
    help="Write the hash into this file of specs, or into one below this directory, instead of the instance.",
)  # fmt: skip


@click.group()
def command() -> None:
    """Create the API keys of the endpoint, list, rotate and revoke them.

    The endpoint is open until its first key is created. From then on each request needs one, as
    `Authorization: Bearer KEY` or `x-api-key: KEY`. Changes take effect at once, also while no control plane runs.
    """


command.add_command(issuer_command, "issuer")


@command.command()
@click.argument("key")
@click.option("--owner", default=None, help="Who answers for the key. [default: this user]")
@click.option(
    "--models", multiple=True, default=("*",), show_default=True, metavar="GLOB",
    help="Models that the key may use, such as 'chat*'. May be repeated.",
)  # fmt: skip
@click.option("--expires", type=Expiry(), help="When the key ends: 90d, 12h, or the last day, such as 2027-01-31.")
@limit_options
@click.option("--note", default="", help="What the key is for.")
@_to_spec_option
@name_option
@json_option
def create(
    key: str, owner: str | None, models: tuple[str, ...], expires: float | None, note: str, to_spec: Path | None,
    name: str, as_json: bool, **limits: "int | float | Money | None",
) -> None:  # fmt: skip
    """Create KEY, and print its secret. It is stored as a hash and is never shown again.

    With --to-spec, it becomes a document for your repository: a control plane that serves the specs admits the key.
    """
    from bateau.domain.api_key import ApiKey
    from bateau.wiring.keys import Keys

    wanted = ApiKey(
        name=key,
        created_at=float(int(time.time())),
        owner=getpass.getuser() if owner is None else owner,
        models=models,
        expires_at=expires,
        note=note,
        **limits,  # pyright: ignore[reportArgumentType]
    )
    if to_spec is not None:
        from bateau.wiring.key_documents import create_document

        path, secret = create_document(wanted, to_spec)
        _show_secret(key, secret, as_json=as_json, verb="created", path=path)
        return
    keys = Keys(name, os.environ)
    made, secret = keys.create(wanted)
    if wanted.concurrent and not keys.gate:
        click.echo("the endpoint has no native filter, which --concurrent needs: see docs/how-to/keys.md", err=True)
    _show_secret(made.name, secret, as_json=as_json, verb="created")


@command.command("list")
@name_option
@json_option
def list_keys(name: str, as_json: bool) -> None:
    """List the keys, without their secrets."""
    from bateau.api.encoding import encode
    from bateau.api.key_json import key_row, keys_json
    from bateau.cli.table import table
    from bateau.wiring.keys import Keys

    keys = Keys(name, os.environ)
    keyring, now = keys.load(), time.time()
    if as_json:
        click.echo(encode(keys_json([*keyring.by_name.values()], required=keyring.required, now=now)))
        return
    if keyring.by_name:
        header = ("KEY", "SECRET", "OWNER", "MODELS", "LIMITS", "EXPIRES", "SOURCE", "NOTE")
        click.echo(table(header, [key_row(key, now=now) for key in keyring.by_name.values()]))
    if keyring.open_to_all:
        click.echo("the endpoint was started with --open: nobody needs a key", err=True)
    elif not keyring.began:
        click.echo("there is no key, so nobody needs one; `bateau keys create NAME` makes the first", err=True)
    elif not keyring.by_name:
        _tell_who_gets_in(has_issuers=bool(keys.issuers()))


@command.command()
@click.argument("key")
@name_option
@json_option
def show(key: str, name: str, as_json: bool) -> None:
    """Show KEY, without its secret, and how much of its budgets for this day and month is used."""
    from bateau.api.encoding import encode
    from bateau.api.key_json import key_json, spent_json, spent_text
    from bateau.wiring.budgets import spent_by
    from bateau.wiring.keys import Keys

    found, now = Keys(name, os.environ).named(key), time.time()
    tree = key_json(found, now=now)
    spent = spent_by(found, name, os.environ, now) if found.budgets else ()
    if as_json:
        click.echo(encode({**tree, "budgets": [spent_json(each) for each in spent]}))
        return
    for field, value in tree.items():
        words = [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)] if value else ["-"]
        click.echo(f"{field:<20} {', '.join(words)}")
    for each in spent:
        click.echo(f"{'used':<20} {spent_text(each)}")


@command.command()
@click.argument("key")
@_to_spec_option
@name_option
@json_option
def rotate(key: str, to_spec: Path | None, name: str, as_json: bool) -> None:
    """Give KEY a new secret, and print it. The old secret is refused from now on.

    To change clients without a gap, create a second key, change the clients, and revoke the first.
    """
    if to_spec is not None:
        from bateau.wiring.key_documents import rotate_document

        path, secret = rotate_document(key, to_spec)
        _show_secret(key, secret, as_json=as_json, verb="rotated", path=path)
        return
    from bateau.wiring.keys import Keys

    made, secret = Keys(name, os.environ).rotate(key)
    _show_secret(made.name, secret, as_json=as_json, verb="rotated")


@command.command()
@click.argument("key")
@name_option
def revoke(key: str, name: str) -> None:
    """Remove KEY. Requests with it are refused from now on; those in flight are finished."""
    from bateau.wiring.keys import Keys

    keys = Keys(name, os.environ)
    removed, left = keys.revoke(key)
    click.echo(f"revoked {removed.name}")
    if not left.by_name and left.required:
        _tell_who_gets_in(has_issuers=bool(keys.issuers()))


def _tell_who_gets_in(*, has_issuers: bool) -> None:
    """Print who gets in while there is no key."""
    if has_issuers:
        click.echo("there is no key, so only the tokens of issuers get in: bateau keys issuer list", err=True)
    else:
        click.echo("there is no key, so every request is refused; `bateau keys create NAME` makes one", err=True)


def _show_secret(key: str, secret: str, *, as_json: bool, verb: str, path: Path | None = None) -> None:
    from bateau.api.encoding import encode

    if as_json:
        click.echo(encode({"name": key, "secret": secret, **({"file": str(path)} if path else {})}))
        return
    where = f" in {path}, which has only its hash" if path else ""
    click.echo(f"{verb} {key}{where}; its secret is shown this one time:", err=True)
    click.echo(secret)
