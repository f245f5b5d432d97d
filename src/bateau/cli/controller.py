"""`bateau controller`: keep documents, an environment of a Git repository, or a bundle running on a cluster."""

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bateau.cli.options import address_of, environment_option
from bateau.domain.system_names import CHANNEL_PORT, DASHBOARD_PORT, HEALTH_PORT, NAMESPACE
from bateau.render.installation.objects import LOGS_HIDDEN, LOGS_SHOWN

if TYPE_CHECKING:
    from bateau.ports.alert_receiver import AlertReceiver
    from bateau.wiring.bundles import Reference
    from bateau.wiring.controller_settings import ControllerSettings

_DUMPED = 40


@click.command()
@click.option(
    "--repository", metavar="git+URL", help="Follow this repository instead of the documents stored in the cluster."
)
@click.option(
    "--bundle", metavar="oci://HOST/REPOSITORY:TAG",
    help="Follow this bundle in a registry instead. Without a tag, the name of the environment is the tag.",
)  # fmt: skip
@environment_option("With --repository: the environment to hydrate for. With --bundle: refuse that of another one.")
@click.option(
    "--allowed-signers", type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True),
    help="With --repository: follow only commits signed by one of these keys (a file in the format of ssh-keygen).",
)  # fmt: skip
@click.option("--context", help="Context of the kubeconfig. In a pod, its service account is used without it.")
@click.option("--namespace", default=NAMESPACE, show_default=True, help="Namespace of the controller and of its Lease.")
@click.option("--into", metavar="NAMESPACE", help="With --repository: namespace of services whose documents name none.")
@click.option(
    "--gateway", metavar="ADDRESS", is_flag=False, flag_value=f"0.0.0.0:{CHANNEL_PORT}",
    help="Configure the gateways of the cluster, which connect to ADDRESS with the certificates of a Secret.",
)  # fmt: skip
@click.option(
    "--health", default=f"127.0.0.1:{HEALTH_PORT}", show_default=True, help="Address of /healthz, /readyz, /metrics."
)
@click.option(
    "--dashboard", default=f"127.0.0.1:{DASHBOARD_PORT}", show_default=True,
    help="Address of the dashboard, on loopback: `bateau open --env` forwards it.",
)  # fmt: skip
@click.option(
    "--logs", type=click.Choice((LOGS_HIDDEN, LOGS_SHOWN)), default=LOGS_HIDDEN, show_default=True,
    help="Whether the dashboard shows the logs of replicas: to everybody who reaches its address.",
)  # fmt: skip
def command(
    repository: str | None, bundle: str | None, environment: str | None, allowed_signers: Path | None,
    context: str | None, namespace: str, into: str | None, *, gateway: str | None, health: str, dashboard: str,
    logs: str,
) -> int | None:  # fmt: skip
    """Keep the Models and Apps that are stored in a cluster running, until it is stopped.

    With --repository, keep an environment of a Git repository running instead, and with --bundle one that `bateau
    render --bundle` has pushed, which needs no git and no repository. Of several controllers, one acts: they share a
    Lease. When the controller stops, everything that it has started continues.
    """
    if bundle and repository:
        raise click.UsageError("give either --repository or --bundle")
    if repository is None and (allowed_signers or into):
        raise click.UsageError("--allowed-signers and --into need --repository")
    if repository is None and bundle is None and environment:
        raise click.UsageError("--env needs --repository or --bundle")
    from bateau.wiring.controller_settings import ControllerSettings, controller_access
    from bateau.wiring.repository import repository_of

    reference = repository_of(repository) if repository else None
    if repository and reference is None:
        raise click.UsageError(f"{repository} is not a Git URL (git+https://... or git+file://...)")
    followed = _reference(bundle, environment) if bundle else None
    shown = address_of(dashboard, "--dashboard")
    if not ip_address(shown[0]).is_loopback:
        raise click.UsageError("--dashboard is an address on loopback: who reaches it may look at everything")
    from bateau.wiring.cluster_alerts import taken_receivers

    receivers = taken_receivers(os.environ)
    with tempfile.TemporaryDirectory(prefix="bateau-controller-") as folder:
        settings = ControllerSettings(
            access=controller_access(context),
            namespace=namespace,
            directory=Path(folder),
            repository=reference,
            bundle=followed,
            allowed_signers=allowed_signers,
            environment=environment,
            into=into,
            gateway=gateway,
        )
        return asyncio.run(
            _serve(settings, receivers, address_of(health, "--health"), shown, has_logs=logs == LOGS_SHOWN)
        )


def _reference(bundle: str, environment: str | None) -> "Reference":
    from bateau.domain.errors import SourceError
    from bateau.wiring.bundles import reference_of

    try:
        return reference_of(bundle, environment)
    except SourceError as error:
        raise click.UsageError(f"{error.message}: {error.hint}") from error


async def _serve(
    settings: "ControllerSettings",
    receivers: "Sequence[AlertReceiver]",
    health: tuple[str, int],
    shown: tuple[str, int],
    *,
    has_logs: bool,
) -> int:
    """Run until a signal. Returns 1 if another controller acts, so that a new process takes its place in the queue."""
    from bateau.api.alert_routes import alert_application
    from bateau.api.health import HealthServer
    from bateau.domain.errors import ControlError
    from bateau.ui.cluster_dashboard import ClusterDashboard
    from bateau.ui.reports import ClusterReporter
    from bateau.wiring.chores import repeated
    from bateau.wiring.cluster_alerts import ClusterAlerts
    from bateau.wiring.cluster_measures import ClusterMeasured
    from bateau.wiring.cluster_view import ClusterView
    from bateau.wiring.controller_terms import Terms
    from bateau.wiring.pod_logs import PodLogs
    from bateau.wiring.this_process import SystemClock

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", stream=sys.stderr)
    controller = Terms(settings)
    alerts = ClusterAlerts(controller, receivers, clock=SystemClock(), url=f"http://{shown[0]}:{shown[1]}")

    def metrics() -> str:
        return controller.metrics(alerts.alerts.board().firing, view.snapshots.latest)

    view = ClusterView(controller, alerts.events)
    server = HealthServer(*health, unready=lambda: controller.unready, metrics=metrics)
    await server.open()
    measured = ClusterMeasured(view, alerts.where, SystemClock())
    alerts.watch(lambda: view.snapshots.latest, lambda: view.release, measured.history)
    dashboard = ClusterDashboard(
        view,
        *shown,
        name=controller.name,
        alerts=alerts.alerts,
        reporter=ClusterReporter(measured),
        operations=alert_application(alerts.alerts),
        logs=PodLogs(api=lambda: controller.api, replicas=view.pods) if has_logs else None,
    )
    try:
        await dashboard.open()
    except ControlError as error:
        logging.getLogger(__name__).warning("there is no dashboard: %s (%s)", error.message, error.hint)
    beside = [asyncio.create_task(view.run(), name="dashboard")]
    beside += [asyncio.create_task(each, name="alerts") for each in alerts.chores()]
    wrong = "services are not measured at the moment"
    beside.append(asyncio.create_task(repeated(measured.sample_on_time, every_s=0.0, wrong=wrong), name="measures"))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, _dump)
    running = asyncio.create_task(controller.run(), name="controller")
    waiting = asyncio.create_task(stopped.wait(), name="signals")
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        return 0 if stopped.is_set() else 1
    finally:
        for task in (running, waiting, *beside):
            task.cancel()
        await asyncio.gather(running, waiting, *beside, return_exceptions=True)
        await dashboard.close()
        measured.close()
        alerts.close()
        await server.close()


def _dump() -> None:
    """Write to the log which types of objects use the memory, and the tasks that run."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for each in gc.get_objects():
        name = f"{type(each).__module__}.{type(each).__qualname__}"
        counts[name] += 1
        sizes[name] += sys.getsizeof(each)
    log = logging.getLogger(__name__)
    log.info("memory: peak %d MB; objects by type:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    for name, size in sizes.most_common(_DUMPED):
        log.info("  %10d bytes %8d objects  %s", size, counts[name], name)
    tasks = Counter(task.get_name().split("-")[0] for task in asyncio.all_tasks())
    log.info("tasks: %s", ", ".join(f"{number} {name}" for name, number in tasks.most_common()))
