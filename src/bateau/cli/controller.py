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
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bateau.cli.options import address_of, environment_option
from bateau.domain.system_names import CHANNEL_PORT, DASHBOARD_PORT, HEALTH_PORT, NAMESPACE
from bateau.render.installation.objects import LOGS_HIDDEN, LOGS_SHOWN

if TYPE_CHECKING:
    from bateau.ports.alert_receiver import AlertReceiver
    from bateau.wiring.bundles import Reference
    from bateau.wiring.controller_settings import ControllerSettings

_DUMPED = 40


@dataclass(frozen=True, kw_only=True)
class Followed:
    """The options that say what a controller keeps running, and where: one of a repository, a bundle or documents."""

    repository: str | None
    bundle: str | None
    environment: str | None
    allowed_signers: Path | None
    into: str | None
    context: str | None
    namespace: str
    gateway: str | None

    def check(self) -> None:
        """Raise UsageError for options that do not go together."""
        if self.bundle and self.repository:
            raise click.UsageError("give either --repository or --bundle")
        if self.repository is None and (self.allowed_signers or self.into):
            raise click.UsageError("--allowed-signers and --into need --repository")
        if self.repository is None and self.bundle is None and self.environment:
            raise click.UsageError("--env needs --repository or --bundle")

    def settings(self, directory: Path) -> "ControllerSettings":
        """Return the settings of the controller, which works in a directory. Raises UsageError and ClusterError."""
        from bateau.wiring.controller_settings import ControllerSettings, controller_access
        from bateau.wiring.repository import repository_of

        repository = repository_of(self.repository) if self.repository else None
        if self.repository and repository is None:
            raise click.UsageError(f"{self.repository} is not a Git URL (git+https://... or git+file://...)")
        bundle = _reference(self.bundle, self.environment) if self.bundle else None
        return ControllerSettings(
            access=controller_access(self.context),
            namespace=self.namespace,
            directory=directory,
            repository=repository,
            bundle=bundle,
            allowed_signers=self.allowed_signers,
            environment=self.environment,
            into=self.into,
            gateway=self.gateway,
        )


@dataclass(frozen=True, slots=True)
class Faces:
    """The addresses at which a controller answers, and whether its dashboard has the logs of replicas."""

    health: tuple[str, int]
    dashboard: tuple[str, int]
    has_logs: bool

    @classmethod
    def of(cls, health: str, dashboard: str, logs: str) -> "Faces":
        """Return those of options. Raises UsageError."""
        shown = address_of(dashboard, "--dashboard")
        if not ip_address(shown[0]).is_loopback:
            raise click.UsageError("--dashboard is an address on loopback: who reaches it may look at everything")
        return cls(address_of(health, "--health"), shown, logs == LOGS_SHOWN)


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
def command(*, health: str, dashboard: str, logs: str, **given: Any) -> int | None:
    """Keep the Models and Apps that are stored in a cluster running, until it is stopped.

    With --repository, keep an environment of a Git repository running instead, and with --bundle one that `bateau
    render --bundle` has pushed, which needs no git and no repository. Of several controllers, one acts: they share a
    Lease. When the controller stops, everything that it has started continues.
    """
    followed = Followed(**given)
    followed.check()
    faces = Faces.of(health, dashboard, logs)
    from bateau.wiring.cluster_alerts import taken_receivers

    receivers = taken_receivers(os.environ)
    with tempfile.TemporaryDirectory(prefix="bateau-controller-") as folder:
        return asyncio.run(_serve(followed.settings(Path(folder)), receivers, faces))


def _reference(bundle: str, environment: str | None) -> "Reference":
    from bateau.domain.errors import SourceError
    from bateau.wiring.bundles import reference_of

    try:
        return reference_of(bundle, environment)
    except SourceError as error:
        raise click.UsageError(f"{error.message}: {error.hint}") from error


async def _serve(settings: "ControllerSettings", receivers: "Sequence[AlertReceiver]", faces: Faces) -> int:
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
    alerts = ClusterAlerts(controller, receivers, clock=SystemClock(), url="http://{}:{}".format(*faces.dashboard))

    def metrics() -> str:
        return controller.metrics(alerts.alerts.board().firing, view.snapshots.latest)

    view = ClusterView(controller, alerts.events)
    server = HealthServer(*faces.health, unready=lambda: controller.unready, metrics=metrics)
    await server.open()
    measured = ClusterMeasured(view, alerts.where, SystemClock())
    alerts.watch(lambda: view.snapshots.latest, lambda: view.release, measured.history)
    dashboard = ClusterDashboard(
        view,
        *faces.dashboard,
        name=controller.name,
        alerts=alerts.alerts,
        reporter=ClusterReporter(measured),
        operations=alert_application(alerts.alerts),
        logs=PodLogs(api=lambda: controller.api, replicas=view.pods) if faces.has_logs else None,
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
