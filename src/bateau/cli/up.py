"""`bateau up`: serve specs, until Ctrl-C or detached."""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bateau.cli.exit_codes import EXIT_WORLD_FAILED, EXIT_WRITTEN_WRONG
from bateau.cli.options import Memory, directory_option, environment_option, name_option

if TYPE_CHECKING:
    from bateau.api.server import ApiServer
    from bateau.api.trees import StatusTree
    from bateau.wiring.local import LocalPlatform, Settings

logger = logging.getLogger(__name__)

SOCKETS_S = 2.0  # how often the lock and the sockets are looked for


@click.command()
@click.argument("url", metavar="[git+URL]", required=False)
@directory_option
@name_option
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Address and port of the endpoint.")
@click.option(
    "--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True),
    help="For other machines: the certificate, as PEM. [default: one is made]",
)  # fmt: skip
@click.option(
    "--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True),
    help="The key of --tls-cert, as PEM.",
)  # fmt: skip
@click.option("--plain-http", is_flag=True, help="For other machines: no TLS. Keys and prompts can be read on the way.")
@click.option(
    "--host", "hosts", multiple=True, metavar="NAME",
    help="A name by which other machines reach this one, besides its own. May be repeated.",
)  # fmt: skip
@click.option(
    "--origin", "origins", multiple=True, metavar="ORIGIN",
    help="An origin whose web pages may use the endpoint, such as https://app.example.org. May be repeated.",
)  # fmt: skip
@click.option(
    "--memory", "memory_bytes", type=Memory(), metavar="SIZE",
    help="Memory that models may need together, such as 8Gi. [default: that of the machine]",
)  # fmt: skip
@click.option("--open", "open_to_all", is_flag=True, help="Nobody needs an API key, even if there are some.")
@click.option(
    "--require-keys", is_flag=True,
    help="From now on everybody needs an API key, even before there is one: for keys in the specs.",
)  # fmt: skip
@click.option(
    "--prometheus", metavar="URL",
    help="A server with the API of Prometheus that scrapes this instance: the charts of the dashboard show its values.",
)  # fmt: skip
@click.option(
    "--prometheus-label", "prometheus_labels", multiple=True, metavar="NAME=VALUE",
    help="A label that the series of this instance have there, if it has others too. May be repeated.",
)  # fmt: skip
@environment_option("The environment to hydrate for.")
@click.option(
    "--allowed-signers", type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True),
    help="With a Git URL: follow only commits signed by one of these keys (a file in the format of ssh-keygen).",
)  # fmt: skip
@click.option(
    "--allow-rewritten-history", "rewritten_history", is_flag=True,
    help="With a Git URL: also follow a forced push to commits that do not build on the last one.",
)  # fmt: skip
@click.option(
    "--detach", "-d", is_flag=True, help="Return when everything is ready, and keep running in the background."
)
@click.option(
    "--ask", "question", metavar="TEXT", help="Ask the first model TEXT when it is ready, and print the answer."
)
@click.option("--control", is_flag=True, hidden=True, help="Be the control plane that --detach has started.")
@click.option(
    "--applied", is_flag=True, hidden=True, help="Serve the specs that `apply` writes to stdin, and follow nothing."
)
def command(*, directory: Path, detach: bool, question: str | None, control: bool, applied: bool, **given: Any) -> int:
    """Serve every spec below the directory, or the catalogue's default model if there is none.

    Saved changes are applied. Running replicas of an earlier control plane are adopted. With a Git URL
    (git+https://host/acme.git@branch#subdirectory=deploy) the commit is the desired state, and every push is applied.
    """
    from bateau.cli.up_options import UpOptions

    options = UpOptions(directory=directory, **given)
    if options.url and click.get_current_context().get_parameter_source("directory") is ParameterSource.COMMANDLINE:
        raise click.UsageError("a Git URL has a directory of its own: add `#subdirectory=PATH` to it instead of -C")
    options.check()
    if detach and not control:
        return _detach(options.name, options.words(), question)
    settings = options.settings(json.load(sys.stdin) if applied else None)
    return asyncio.run(_serve(settings, question=question, shows=not control))


async def _serve(settings: "Settings", *, question: str | None, shows: bool) -> int:
    from bateau.api.server import ApiServer
    from bateau.ui.dashboard import dashboard_of
    from bateau.wiring.chores import chores
    from bateau.wiring.figures import meter_of
    from bateau.wiring.local import LocalPlatform
    from bateau.wiring.open_files import raise_limit

    raise_limit()
    _set_up_logging(settings)
    platform = LocalPlatform(settings)
    stop = asyncio.Event()
    meter = meter_of(platform)
    dashboard = dashboard_of(platform, meter)
    api = ApiServer(
        settings.paths.control_socket,
        snapshots=platform.control.snapshots,
        metrics=platform.metrics,
        stop=stop,
        webhooks=platform.webhooks,
        operator=platform,
        dashboard=dashboard,
        meter=meter,
        alerts=platform.alerts,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        platform.control.take_snapshot()
        # First, so that `down` and `status` reach a control plane that is still starting.
        await api.open()
        if not await _opened(platform, stop):
            return await _stop(platform)
        running = asyncio.create_task(platform.run())
        beside = [
            asyncio.create_task(_keep_sockets(platform, api)),
            *(asyncio.create_task(chore) for chore in chores(platform)),
            asyncio.create_task(freeze_when_settled(platform)),
        ]
        if shows:
            beside.append(asyncio.create_task(_show(platform, question)))
        await _until(stop, running)
        for task in beside:
            task.cancel()
        if shows:
            click.echo("\nstopping everything; Ctrl-C again stops without waiting", err=True)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, platform.runtime.kill)
        return await _stop(platform)
    finally:
        await api.close()
        await dashboard.close()
        await platform.close()


async def _stop(platform: "LocalPlatform") -> int:
    """Stop every replica. Report those that cannot be stopped, and return the exit code."""
    failed = await platform.stop()
    for replica, says in failed.items():
        click.echo(f"error: {replica} could not be stopped: {says}", err=True)
    return EXIT_WORLD_FAILED if failed else 0


async def _opened(platform: "LocalPlatform", stop: asyncio.Event) -> bool:
    """Start the platform; return False if it was asked to stop during the start."""
    opening = asyncio.create_task(platform.open())
    await _until(stop, opening)
    if opening.done():
        return True
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    return False


async def freeze_when_settled(platform: "LocalPlatform") -> None:
    """Leave everything that exists after the start out of later garbage collections.

    With 1,000 apps, each of them would stop the event loop, and with it the probes, for 0.1 s.
    """
    number = 0
    while True:
        snapshot = await platform.control.snapshots.after(number)
        number = snapshot.number
        if snapshot.settled:
            return gc.freeze()


async def _until(stop: asyncio.Event, running: "asyncio.Task[None]") -> None:
    """Wait for the request to stop, or for the loop to fail."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, running}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if running.done():
        running.result()


async def _keep_sockets(platform: "LocalPlatform", api: "ApiServer") -> None:
    """Create the lock and the sockets again if another program removes them: a logout, or a cleaner of old files."""
    from bateau.domain.errors import ControlError
    from bateau.kit.ticks import tick

    reported = ""
    while True:
        await tick(SOCKETS_S)
        if not (platform.are_sockets_lost or api.is_socket_lost):
            continue
        where = platform.settings.paths.runtime
        if platform.is_replaced:
            logger.error("%s was removed, and another control plane has taken this instance: exiting", where)
            # As after a crash: an orderly end would remove the sockets and the replicas of the other control plane.
            os._exit(EXIT_WORLD_FAILED)
        try:
            await platform.restore_sockets()
            await api.reopen()
        except (ControlError, OSError) as error:
            if str(error) != reported:
                logger.error("the sockets in %s were removed, and cannot be created again yet: %s", where, error)
            reported = str(error)
        else:
            logger.warning("the sockets in %s were removed, and have been created again", where)
            reported = ""


async def _show(platform: "LocalPlatform", question: str | None) -> None:
    from bateau.api.encoding import status_tree
    from bateau.cli.presenter import Presenter

    presenter = Presenter()
    told, number = False, 0
    while True:
        snapshot = await platform.control.snapshots.after(number)
        number, tree = snapshot.number, status_tree(snapshot)
        presenter.show(tree)
        if not told and tree["settled"]:
            told = True
            if any(service["state"] in ("Ready", "Asleep") for service in tree["services"]):
                if question:
                    await _ask(tree, question)
                click.echo(_endpoint_lines(tree))
            click.echo(
                f"Watching {tree['directory']}  ·  Ctrl-C stops everything  ·  --detach keeps it running", err=True
            )


async def _ask(tree: "StatusTree", question: str) -> None:
    from bateau.cli.chat_client import Answer, ask
    from bateau.domain.errors import BateauError

    model = next((s["service"].partition("/")[2] for s in tree["services"] if s["service"].startswith("model/")), None)
    if model is None:
        click.echo("the specs have no model to ask", err=True)
        return
    click.echo(click.style(f">>> {question}", bold=True))
    answer = Answer()
    try:
        async for piece in ask(f"{tree['listen']}/v1", model, [{"role": "user", "content": question}], answer):
            click.echo(piece, nl=False)
    except BateauError as error:
        click.echo(error.message, err=True)
        return
    click.echo(f"\n    {click.style(answer.figures(), dim=True)}\n")


def _endpoint_lines(tree: "StatusTree") -> str:
    from bateau.cli.presenter import endpoint_lines
    from bateau.wiring.keys import Keys
    from bateau.wiring.remote import certificate_lines

    keys = Keys(tree["instance"], os.environ)
    made = (tree["remote"] or "").startswith("https:")
    certificate = certificate_lines(keys.directory) if made else []
    return endpoint_lines(tree, keys_required=keys.load().required, certificate=certificate)


def _detach(name: str, arguments: list[str], question: str | None) -> int:
    """Start a control plane in its own session, and show its progress."""
    from bateau.cli.detached import start_detached, still_running
    from bateau.cli.presenter import Presenter

    tree = start_detached(name, arguments, Presenter())
    if question:
        asyncio.run(_ask(tree, question))
    click.echo(_endpoint_lines(tree))
    click.echo(still_running(tree), err=True)
    failed = [service for service in tree["services"] if service["state"] == "Failed"]
    wrong = tree["specsRejected"]
    return EXIT_WRITTEN_WRONG if wrong else EXIT_WORLD_FAILED if failed else 0


def _set_up_logging(settings: "Settings") -> None:
    """Log to a file; the terminal is the presenter's."""
    from logging.handlers import RotatingFileHandler

    from bateau.cli.detached import LOG_BYTES_MAX, begin_log
    from bateau.wiring.paths import make

    make(settings.paths)
    begin_log(settings.paths.control_log)
    handler = RotatingFileHandler(settings.paths.control_log, maxBytes=LOG_BYTES_MAX, backupCount=2)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("bateau").addHandler(handler)
    logging.getLogger("bateau").setLevel(logging.INFO)
