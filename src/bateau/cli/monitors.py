"""`bateau alerts monitors`: monitors that look at services from outside.

Called by cli.alerts.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bateau.cli.exit_codes import written_code
from bateau.cli.options import directory_option, environment_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from click.shell_completion import CompletionItem

    from bateau.domain.workload import Workload
    from bateau.kit.json_value import JsonObject
    from bateau.render.monitoring.monitors import Monitor

_FORMS: Final = ("blackbox", "scrape", "probe", "endpointmonitor")
_OBJECTS: Final = ("probe", "endpointmonitor")
_PROBER: Final = "127.0.0.1:9115"


def _models(context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Complete the names of the models in the specs."""
    from click.shell_completion import CompletionItem

    from bateau.domain.errors import BateauError
    from bateau.wiring.service_graph import written_in

    try:
        written = written_in(Path(context.params.get("directory") or "."), context.params.get("environment"))
    except BateauError:
        return []
    names = [each.name for each in written.release.services if each.is_named_in_bodies]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command()
@environment_option("The environment to hydrate for.")
@directory_option
@click.option(
    "--format", "form", type=click.Choice(_FORMS), required=True,
    help="Modules of the blackbox exporter, the scrape configuration for them, or objects for a cluster.",
)  # fmt: skip
@click.option(
    "--url", "urls", multiple=True, metavar="[SERVICE=]URL",
    help="The address of the endpoint as others see it, or of SERVICE. May be repeated.",
)  # fmt: skip
@click.option(
    "--ask", "asked", multiple=True, metavar="MODEL", shell_complete=_models,
    help="Ask MODEL for a token, too. May be repeated.",
)  # fmt: skip
@click.option("--key-file", metavar="PATH", help="With blackbox: the file with an API key, on the exporter's machine.")
@click.option(
    "--prober", default=_PROBER, show_default=True, metavar="HOST:PORT",
    help="With scrape and probe: where the blackbox exporter listens.",
)  # fmt: skip
@click.option("--namespace", "-n", metavar="NAME", help="With probe and endpointmonitor: the namespace of the objects.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def monitors(  # noqa: PLR0917 - click passes them by name
    environment: str | None, directory: Path, form: str, urls: tuple[str, ...], asked: tuple[str, ...],
    key_file: str | None, prober: str, namespace: str | None, output: Path | None,
) -> int:  # fmt: skip
    """Print monitors of services from outside, from the specs below the directory.

    Services with `spec.route` are asked at their host names. With --url, the endpoint of a machine is asked, too, and
    whether it has each model. --ask costs a token every two minutes, and keeps the model awake.

    \b
      bateau alerts monitors --format blackbox --url https://ai.example.org -o blackbox.yml
      bateau alerts monitors --format scrape --url https://ai.example.org
      bateau alerts monitors --env prod --format probe --prober blackbox-exporter:9115 | kubectl apply -f -
    """
    from bateau.cli.alert_exports import written_or_usage
    from bateau.cli.output import write_output
    from bateau.kit.yaml_writer import write, write_document
    from bateau.render.monitoring.monitors import GATEWAY, monitors_of

    if namespace and form not in _OBJECTS:
        raise click.UsageError("--namespace is for --format probe and endpointmonitor")
    if key_file and form != "blackbox":
        raise click.UsageError("--key-file is for --format blackbox: the exporter reads it")
    written = written_or_usage(directory, environment)
    if written.mistaken:
        return written_code(wrong=True, mistaken=True)
    services = written.release.services
    addresses = _addresses(urls, services)
    _check_asked(asked, services, has_endpoint=GATEWAY in addresses)
    found = list(monitors_of(services, addresses, asked=asked))
    if not found:
        raise click.UsageError("no service has a `spec.route`; give the address of the endpoint with --url")
    made = _rendered(form, found, key_file=key_file, prober=prober, namespace=namespace)
    if form in _OBJECTS and not made:
        raise click.UsageError("these monitors need a key, which EndpointMonitor cannot have; use another --format")
    write_output(output, write(made) if form in _OBJECTS else write_document(made[0]))
    return written_code(wrong=written.wrong, mistaken=False)


def _check_asked(asked: "Sequence[str]", services: "Sequence[Workload]", *, has_endpoint: bool) -> None:
    """Raise UsageError if a model is asked that does not exist, or nobody knows where."""
    from bateau.kit.suggest import did_you_mean, listed

    models = [each.name for each in services if each.is_named_in_bodies]
    for name in asked:
        if name not in models:
            hint = did_you_mean(name, models) or f"models: {listed(models)}"
            raise click.UsageError(f"--ask {name}: there is no such model; {hint}")
    if asked and not has_endpoint:
        raise click.UsageError("--ask needs the address of the endpoint: --url https://ai.example.org")


def _rendered(
    form: str, found: "Sequence[Monitor]", *, key_file: str | None, prober: str, namespace: str | None
) -> "Sequence[JsonObject]":
    from bateau.render.monitoring.monitors import blackbox_modules, endpoint_monitors, probes, scrape_config

    match form:
        case "blackbox":
            return [blackbox_modules(found, key_file=key_file)]
        case "scrape":
            return [scrape_config(found, prober=prober)]
        case "probe":
            return probes(found, prober=prober, namespace=namespace)
        case _:
            return endpoint_monitors(found, namespace=namespace)


def _addresses(urls: "Sequence[str]", services: "Sequence[Workload]") -> "Mapping[str, str]":
    """Return the addresses by the keys of services. Raises UsageError."""
    from bateau.kit.suggest import did_you_mean
    from bateau.render.monitoring.monitors import GATEWAY

    found: dict[str, str] = {}
    for text in urls:
        before, between, url = text.partition("=")
        is_named = bool(between) and "://" not in before
        name, url = (before, url) if is_named else (GATEWAY, text)
        keys = [each.key for each in services if name in (each.key, each.name)]
        if is_named and len(keys) != 1:
            says = "there is no service" if not keys else "several services have the name"
            hint = did_you_mean(name, [word for each in services for word in (each.name, each.key)])
            raise click.UsageError(f"{says} {name}: {hint or 'use a key such as model/chat'}")
        if not url.startswith(("https://", "http://")) or not url.partition("://")[2].strip("/"):
            raise click.UsageError(f"--url {text} is not an address such as https://ai.example.org")
        found[keys[0] if is_named else GATEWAY] = url
    return found
