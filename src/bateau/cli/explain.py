"""`bateau explain`: the documentation of a field, where a value came from, or the path of a request."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.delivery_options import namespace_option
from bateau.cli.exit_codes import EXIT_WRITTEN_WRONG
from bateau.cli.manifest_name import ManifestName, choose
from bateau.cli.options import BundlePlace, directory_option, environment_option, json_option, name_option
from bateau.domain.kinds import KINDS, SERVICE_KINDS

if TYPE_CHECKING:
    from bateau.domain.origin import Origin, Origins
    from bateau.domain.workload import Workload
    from bateau.kit.json_value import ReadJson, ReadObject


@click.command()
@click.argument("subject")
@click.argument("path", required=False)
@directory_option
@environment_option("The environment to explain for.")
@namespace_option
@click.option(
    "--bundle", type=BundlePlace(click.Path(exists=True, dir_okay=False)), metavar="PLACE",
    help="Explain a manifest of this bundle: a file, or oci://HOST/REPOSITORY:TAG.",
)  # fmt: skip
@click.option("--route", is_flag=True, help="Explain which replicas and models answer the requests for a Model.")
@name_option
@json_option
def command(
    subject: str, path: str | None, *, directory: Path, environment: str | None, namespace: str | None,
    bundle: Path | str | None, route: bool, name: str, as_json: bool,
) -> None:  # fmt: skip
    """Document a field, say where a value came from, or show the path of a request.

    \b
      bateau explain Model.spec.parallel                 what the field means
      bateau explain chat spec.parallel                  its value in service chat, and who wrote it
      bateau explain chat spec.replicas --env prod
      bateau explain chat --env prod                     every field of it
      bateau explain Deployment/chat spec.replicas       the same for a Kubernetes manifest
      bateau explain Deployment/shop/chat                KIND/NAMESPACE/NAME, if several namespaces have it
      bateau explain Deployment/chat --bundle prod.tar.zst
      bateau explain chat --route                        who answers its requests on this machine
    """
    if route:
        from bateau.cli.explain_route import explain_route

        explain_route(_asked(subject, directory, environment, namespace), instance=name, as_json=as_json)
        return
    kind, slash, _ = subject.partition("/")
    if path is None and not slash and subject.partition(".")[0] in KINDS:
        _document(subject, as_json=as_json)
        return
    if bundle:
        from bateau.wiring.bundles import bundle_at

        asked = ManifestName.read(subject, namespace)
        manifest = choose(asked, bundle_at(bundle, environment=environment), where=f"in {bundle}")
        found = _Subject("manifest", subject, manifest.tree, manifest.origins, None)
    elif slash and kind.lower() not in map(str.lower, SERVICE_KINDS):
        found = _manifest(ManifestName.read(subject, namespace), directory, environment, namespace)
    else:
        found = _service(subject, directory, environment, namespace)
    _origin(found, path or "", environment, as_json=as_json)


@dataclass(frozen=True)
class _Subject:
    """The subject: its name, its tree and the origin of each leaf. `kind` is None for Kubernetes objects."""

    label: str
    key: str
    tree: "ReadObject"
    origins: "Origins"
    kind: str | None


def _document(subject: str, *, as_json: bool) -> None:
    from bateau.specs import explain_field

    try:
        field = explain_field(subject)
    except (LookupError, ValueError) as error:
        raise click.UsageError(str(error.args[0])) from error
    if as_json:
        from bateau.api.encoding import encode

        click.echo(encode(field))
        return
    from bateau.cli.field_page import field_page

    click.echo(field_page(field))


def _service(subject: str, directory: Path, environment: str | None, namespace: str | None) -> _Subject:
    service = _asked(subject, directory, environment, namespace)
    return _Subject("service", service.key, service.tree, service.origins, str(service.tree["kind"]))


def _asked(subject: str, directory: Path, environment: str | None, namespace: str | None) -> "Workload":
    from bateau.wiring.explaining import asked_of

    asked = asked_of(directory, subject, environment, namespace=namespace)
    service = asked.service
    if service is None:
        from bateau.cli.problems import render
        from bateau.domain.problem import Severity
        from bateau.kit.suggest import did_you_mean, listed

        names = [*asked.keys, *(key.partition("/")[2] for key in asked.keys)]
        if (exclusion := asked.exclusion) is not None:
            says = f"environment {exclusion.environment} excludes {subject}: spec.exclude at {exclusion.at}"
            raise click.UsageError(says)
        errors = [problem for problem in asked.problems if problem.severity is Severity.ERROR]
        told = f"\n{render(errors)}" if errors else ""
        if subject in names:
            click.echo(f"{subject} cannot be explained, because it has errors{told}", err=True)
            raise click.exceptions.Exit(EXIT_WRITTEN_WRONG)
        hint = did_you_mean(subject, names) or f"available: {listed(asked.keys) or 'none'}"
        raise click.UsageError(f"no service {subject} below {directory}: {hint}{told}")
    return service


def _manifest(asked: ManifestName, directory: Path, environment: str | None, namespace: str | None) -> _Subject:
    """Search the manifests that Bateau itself renders first, because they need no other program."""
    from bateau.wiring.explaining import own_manifest

    if own := own_manifest(directory, asked.name, asked.fits, environment, namespace=namespace):
        return _Subject("manifest", asked.text, own.tree, own.origins, None)
    from bateau.wiring.delivery import rendered
    from bateau.wiring.question import Question

    made = rendered(Question(directory=directory, environment=environment, namespace=namespace))
    left_out = " (documents with errors are not included; see `bateau check`)" if made.written.wrong else ""
    manifest = choose(asked, made.manifests, where=f"below {directory}{left_out}")
    return _Subject("manifest", asked.text, manifest.tree, manifest.origins, None)


def _origin(found: _Subject, path: str, environment: str | None, *, as_json: bool) -> None:
    from bateau.api.encoding import encode
    from bateau.control.explained import without_secrets

    tree, origins = without_secrets(found.tree, found.origins, path)
    value = _value(tree, path)
    chain = _chain(origins, path)
    if as_json:
        told = {"environment": environment, "path": path, "value": value, "origins": chain}
        click.echo(encode({found.label: found.key, **told}))
        return
    if value is None and not chain:
        _not_set(found, path)
        return
    if path:
        click.echo(_shown(value))
    click.echo(_steps(chain))


def _not_set(found: _Subject, path: str) -> None:
    """Document a field that is not set. Raises UsageError if there is no such field."""
    if found.kind is None:
        from bateau.domain.origin import removal
        from bateau.kit.suggest import did_you_mean

        if at := removal(found.origins, path):
            raise click.UsageError(f"{found.key} has no {path}: the patch at {at} removes it")
        hint = did_you_mean(path, list(found.origins)) or "leave the path out to see every field"
        raise click.UsageError(f"{found.key} has no {path}: {hint}")
    try:
        _document(f"{found.kind}.{path}", as_json=False)
    except click.UsageError as error:
        raise click.UsageError(f"{found.key} has no {path}: {error.message}") from error
    click.echo("\nnot set")


def _value(tree: "ReadJson", path: str) -> "ReadJson":
    """Return the value at a path of a tree, or None if there is none."""
    from bateau.kit.json_value import part_at
    from bateau.kit.position import steps

    try:
        for step in steps(path):
            tree = part_at(tree, step)
    except ValueError:
        return None
    return tree


def _chain(origins: "Origins", path: str) -> "list[tuple[str, Origin]]":
    """Return (path, step) of every leaf at or below a path, oldest step first."""
    from bateau.control.explained import is_at

    return [(at, step) for at, steps in origins.items() if is_at(at, path) for step in steps]


def _steps(chain: "list[tuple[str, Origin]]") -> str:
    from bateau.cli.table import plain_columns

    several = len({at for at, _ in chain}) > 1
    rows = [
        (
            str(step.at or ("default" if step.how == "default" else "-")),
            _shown(step.value),
            step.how if step.says is None or step.how == "default" else f"{step.how}: {step.says}",
            at if several else "",
        )
        for at, step in chain
    ]
    return "\n".join(f"  {line}" for line in plain_columns(rows))


def _shown(value: object) -> str:
    from bateau.api.encoding import encode
    from bateau.domain.port_word import with_port_names
    from bateau.kit.visible import visible

    value = with_port_names(value)
    if value is None:
        return "not set"
    return visible(value if isinstance(value, str) else encode(value))
