"""`bateau explain NAME --route`: the path of a request for a model.

Called by cli.explain.
"""

import os
import time
from typing import Final

import click

from bateau.domain.workload import Workload

_HOUR_S: Final = 3600.0


def explain_route(service: Workload, *, instance: str, as_json: bool) -> None:
    """Print which replicas and models answer the requests for a model, and how they are chosen."""
    from bateau.api.encoding import encode
    from bateau.api.route_json import route_json, route_lines
    from bateau.cli.instance import status_of
    from bateau.cli.table import plain_columns
    from bateau.domain.balanced import balanced
    from bateau.wiring.usage import ledger_of

    if not service.is_named_in_bodies:
        raise click.UsageError(f"{service.key} is not a Model: --route explains the requests for models")
    now = time.time()
    status = status_of(instance)
    last_hour = balanced(ledger_of(instance, os.environ).read(since=now - _HOUR_S, until=now + 1), service.name)
    if as_json:
        click.echo(encode(route_json(service, status, last_hour)))
        return
    click.echo("\n".join(plain_columns(route_lines(service, status, last_hour))))
