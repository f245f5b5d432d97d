"""`bateau usage`: who has used which model, and how many tokens that took."""

import os
import time
from typing import get_args

import click

from bateau.cli.options import Period, json_option, name_option
from bateau.domain.used import By


@click.command()
@click.option("--by", type=click.Choice(get_args(By)), default="key", show_default=True, help="What to sum by.")
@click.option(
    "--last", type=Period(), default="24h", show_default=True, help="The time to look back, such as 24h or 30d."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@name_option
@json_option
def command(by: By, last: float, as_csv: bool, name: str, as_json: bool) -> None:
    """Sum the requests and tokens of the endpoint by key, owner, model, day or hour (UTC).

    Each request is counted once, whether it was a stream or not. A request whose answer does not say its tokens, for
    example because its client has gone, is counted as unknown and not as 0. It needs no running instance.
    """
    from bateau.api.encoding import encode
    from bateau.api.usage_json import HEADER, usage_csv, usage_json, usage_row
    from bateau.cli.table import table
    from bateau.domain.used import summary
    from bateau.kit.rfc3339 import rfc3339
    from bateau.wiring.usage import ledger_of, owners_of

    now = time.time()
    ledger = ledger_of(name, os.environ)
    found = summary(ledger.read(since=now - last, until=now + 1), by, owners=owners_of(name, os.environ))
    if as_json:
        since, until = rfc3339(now - last), rfc3339(now)
        click.echo(encode(usage_json(found, by, since=since, until=until, damaged=ledger.damaged)))
        return
    if as_csv:
        click.echo(usage_csv(found, by), nl=False)
    elif found.by:
        rows = [usage_row(group, each) for group, each in found.by.items()]
        click.echo(table((by.upper(), *HEADER), [*rows, usage_row("total", found.total)]))
    else:
        click.echo("no request in this time", err=True)
    if ledger.damaged:
        click.echo(f"{ledger.damaged} lines of the ledger cannot be read, and are not in the sums", err=True)
