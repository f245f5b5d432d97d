"""`bateau render`: write the Kubernetes manifests of environments, as files or as bundles."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.delivery_options import delivery_options
from bateau.cli.exit_codes import written_code
from bateau.cli.options import BundlePlace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bateau.control.packing import Packed
    from bateau.wiring.packing import Packer

_LISTING = ".bateau-rendered"  # lists the files that render wrote to the directory


@click.command()
@click.option("--env", "environments", multiple=True, metavar="NAME", help="An environment to render; repeatable.")
@delivery_options
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write one file per service to this directory.",
)
@click.option(
    "--bundle", "place", type=BundlePlace(click.Path()), metavar="PLACE",
    help="Write one file for an agent to apply: manifests, the origins of their fields, and findings. Or push it to a "
    "registry: oci://HOST/REPOSITORY:TAG.",
)  # fmt: skip
@click.option("--no-cache", is_flag=True, help="Do not use cached results.")
def command(
    environments: tuple[str, ...], directory: Path, namespace: str | None, starter: bool, kubernetes: str,
    output: Path | None, place: Path | str | None, no_cache: bool,
) -> int:  # fmt: skip
    """Render the Kubernetes manifests of each environment, checked against strict schemas and the policies.

    \b
      bateau render --env prod                           to standard output
      bateau render --env prod -o out/                   one file per service
      bateau render --env prod --bundle prod.tar.zst     the same bytes for the same specs
      bateau render --env staging --env prod -o out/     out/staging/ and out/prod/; likewise with --bundle out/
      bateau render --env prod --bundle oci://registry.example.org/shop:prod     to a registry; prints the digest

    Without a tag in oci://HOST/REPOSITORY, the name of each environment is its tag.
    Earlier results are cached by a digest of all their inputs. Exit code 0: done; 1: errors, or an object cannot be
    rendered; 5: only policies forbid it. If there are errors, nothing is written.
    """
    from bateau.wiring.packing import Packer, cache_directory, fresh_directory
    from bateau.wiring.question import Question

    question = Question(
        directory=directory, environment=None, namespace=namespace, starter=starter, kubernetes=kubernetes
    )
    if output and place:
        raise click.UsageError("give either --output or --bundle")
    references = _references(place, environments or (None,)) if isinstance(place, str) else ()
    with (
        fresh_directory() if no_cache else cache_directory() as cache,
        closing(Packer(question, cache=cache, explains_foreign=place is not None)) as packer,
    ):
        found = list(packer.packed(environments or (None,)))
        _tell(found)
        mistaken = any(packed.mistaken for packed in found)
        if mistaken:
            return written_code(wrong=True, mistaken=True)
        if place:
            _bundle(packer, directory, found, references or _files(place, found))
        for packed in found if not place else ():
            if output:
                below = output / str(packed.environment) if len(found) > 1 else output
                _refuse_among_specs(below, directory, packer.texts)
                _write_all(below, {f"{service.replace('/', '-')}.yaml": text for service, text in _texts(packed)})
                click.echo(f"{_count(packed)} in {below}", err=True)
            else:
                _print(packed)
    return written_code(wrong=any(packed.wrong for packed in found), mistaken=False)


def _references(place: str, environments: "Sequence[str | None]") -> "Sequence[str]":
    from bateau.domain.errors import SourceError
    from bateau.wiring.bundles import references_of

    try:
        return references_of(place, environments)
    except SourceError as error:
        raise click.UsageError(f"{error.message}: {error.hint}") from error


def _files(place: "Path | str", found: "Sequence[Packed]") -> "Sequence[Path]":
    path = Path(place)
    return [path / f"{packed.environment}.tar.zst" if len(found) > 1 else path for packed in found]


def _bundle(packer: "Packer", directory: Path, found: "Sequence[Packed]", places: "Sequence[Path | str]") -> None:
    """Write or push the bundle of each environment. Raises ControlError and the SourceError family."""
    from bateau.wiring.applying import commit_holding, repository_of
    from bateau.wiring.bundles import pushed

    commit = commit_holding(directory, packer.texts, other_files=packer.reads_other_files)
    repository = repository_of(directory)
    for packed, place in zip(found, places, strict=True):
        data = packer.bundle(packed, commit=commit, repository=repository)
        if isinstance(place, Path):
            _write(place, data)
            click.echo(f"{_count(packed)} in {place}", err=True)
        else:
            reference = pushed(place, data, environment=packed.environment)
            click.echo(f"{_count(packed)} in {place}", err=True)
            click.echo(reference)


def _tell(found: "list[Packed]") -> None:
    """Print problems and findings; those that all environments share, once."""
    from bateau.cli.findings import findings_text
    from bateau.cli.problems import render as render_problems
    from bateau.control.folding import folded

    problems = folded({packed.environment: packed.problems for packed in found})
    findings = list(dict.fromkeys(finding for packed in found for finding in packed.findings))
    if problems:
        click.echo(render_problems(problems), err=True)
    if findings:
        click.echo(findings_text(findings), err=True)


def _texts(packed: "Packed") -> Iterator[tuple[str, bytes]]:
    """Yield each service that has manifests, with their YAML."""
    from bateau.control.bundle import manifests_of

    for service, text in manifests_of(packed):
        if text:
            yield service, text


def _print(packed: "Packed") -> None:
    from bateau.control.bundle import manifests_in_order

    for text in manifests_in_order(packed):
        click.echo(text, nl=False)


def _count(packed: "Packed") -> str:
    objects = sum(len(piece.objects) for piece in packed.pieces)
    services = sum(bool(piece.objects) for piece in packed.pieces)
    return f"{objects} manifests of {services} services"


def _write_all(directory: Path, files: "Mapping[str, bytes]") -> None:
    """Write files, and remove obsolete ones of an earlier run. Other files stay.

    Raises ControlError if a file cannot be written or removed.
    """
    listing = directory / _LISTING
    before = set(_listed(listing))
    # First, so that no written file can be missing from the listing.
    _write(listing, "\n".join(sorted(before | files.keys())).encode())
    for name, content in files.items():
        _write(directory / name, content)
    for name in sorted(before - files.keys()):
        _remove(directory / name)
    _write(listing, "".join(f"{name}\n" for name in sorted(files)).encode())


def _refuse_among_specs(output: Path, directory: Path, texts: "Mapping[str, str]") -> None:
    """Raise UsageError if the output directory contains spec files."""
    below, top = Path(os.path.realpath(output)), Path(os.path.realpath(directory))
    known = {top / name for name, text in texts.items() if "bateau.dev/" in text}
    if any(path.parent == below for path in known):
        raise click.UsageError(f"{output} contains specs: use another directory for the manifests")


def _listed(listing: Path) -> list[str]:
    """Return the names in the listing; other lines are ignored."""
    try:
        names = listing.read_text("utf-8", "replace").split("\n")
    except OSError:
        return []
    return [name for name in names if name.endswith(".yaml") and "/" not in name]


def _remove(path: Path) -> None:
    from bateau.domain.errors import ControlError

    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ControlError(f"cannot remove {path}: {error.strerror}") from error
    click.echo(f"removed {path}: its service no longer exists", err=True)


def _write(path: Path, content: bytes) -> None:
    from bateau.domain.errors import ControlError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise ControlError(f"cannot write {path}: {error.strerror}") from error
