"""Put the control plane of one machine together from its real parts.

Called by cli, ui.dashboard, ui.reports and wiring. The only place, with its neighbours, that knows the concrete
adapters.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import IO

from bateau.control.desired import texts_digest
from bateau.control.loop import Control
from bateau.control.outside import Ports
from bateau.control.preview import Preview
from bateau.control.restarts import Restarted
from bateau.control.rollback import RolledBack
from bateau.control.site import Site
from bateau.control.status import status
from bateau.domain.errors import ControlError
from bateau.domain.status import Status
from bateau.observe.machine import machine
from bateau.observe.probes import NetworkProber
from bateau.observe.scrape import prometheus_page
from bateau.runtimes.local import Instance, LocalKeeper, LocalRuntime
from bateau.sources.git import GitReference
from bateau.sources.http import shown
from bateau.sources.models import Models
from bateau.sources.spec_files import SpecFiles
from bateau.store import StateFile
from bateau.store.applied import Applied, AppliedTexts
from bateau.traffic.envoy import EnvoyPlane
from bateau.wiring.accounts import Accounts
from bateau.wiring.alert_receivers import receivers_of
from bateau.wiring.alerts import Alerts
from bateau.wiring.budgets import Budgets, FollowedRates
from bateau.wiring.declared_keys import DeclaredKeys
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.filters import chosen_filters
from bateau.wiring.history import kept_revisions
from bateau.wiring.issuers import Issuers
from bateau.wiring.keys import Keys
from bateau.wiring.listen import LOOPBACK, check_port_free, is_loopback
from bateau.wiring.lock import is_removed, take_lock
from bateau.wiring.measures import Measured
from bateau.wiring.metrics import metrics_page
from bateau.wiring.otlp import collector_of
from bateau.wiring.paths import Paths, lock_holder, paths
from bateau.wiring.prometheus_server import TOKEN_VARIABLE, Server
from bateau.wiring.reading import WorkerReader
from bateau.wiring.remote import Access, check_access, remote_of, remote_url
from bateau.wiring.repository import FollowedRepository, following_of
from bateau.wiring.service_keys import ServiceKeys
from bateau.wiring.spans import sender_of
from bateau.wiring.story import SECRET_VARIABLES, Story
from bateau.wiring.this_process import SystemClock, user
from bateau.wiring.translator import inner_socket, translator
from bateau.wiring.usage import opened_ledger, rate_file_of

logger = logging.getLogger(__name__)
ENVOY_CONCURRENCY_MAX = 4
__all__ = ["Applied", "LocalPlatform", "Settings", "models", "shown", "stop_leftovers"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a control plane.

    `default_texts` is served if no spec is found. With a `repository`, its files are checked out to `directory`.
    With `allowed_signers`, a file in the format of ssh-keygen, only commits signed by one of its keys are followed.
    With `rewritten_history`, a forced push to commits that do not build on the last one is followed, too.
    With `applied`, those texts are the desired state, and the files in `directory` are not read.
    With `open_to_all`, nobody needs a key, even if there are some; with `require_keys`, everybody does, even before
    there are any. `access` is about other machines, which reach the
    endpoint only if `listen` is beyond loopback; then this machine reaches it at the same port of 127.0.0.1.
    Models may need `memory_bytes` together, None: as much as the machine has. `prometheus` has the charts.
    """

    instance: str
    directory: Path
    listen: tuple[str, int]
    environment: str | None = None
    repository: GitReference | None = None
    allowed_signers: Path | None = None
    rewritten_history: bool = False
    applied: Applied | None = None
    memory_bytes: int | None = None
    open_to_all: bool = False
    require_keys: bool = False
    access: Access = field(default_factory=Access)
    prometheus: Server | None = None
    default_texts: Mapping[str, str] = field(default_factory=dict[str, str])
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @cached_property
    def paths(self) -> Paths:
        """Directories of the instance. They do not change while it runs, even if one of them is removed."""
        return paths(self.instance, self.environ)

    @property
    def local(self) -> tuple[str, int]:
        """Where this machine reaches the endpoint."""
        address, port = self.listen
        return self.listen if is_loopback(address) else (LOOPBACK, port)

    @property
    def listen_url(self) -> str:
        """URL of the endpoint, for this machine."""
        host, port = self.local
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def lock(self) -> IO[str]:
        """Become the control plane of the instance. Raises ControlError if it already has one."""
        return take_lock(self.paths, instance=self.instance, says=f"{self.directory}, {self.listen_url}")


class LocalPlatform:
    """A control plane with its runtime, plane, sources and API, from `open` to `close`.

    `webhooks` take the events of forges and other systems, by path. `certificate` is that of the endpoint, None without
    TLS.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = settings.lock()
        where = settings.paths
        self._adopted = False
        self.clock = SystemClock()
        self.since = self.clock.wall()
        # Taken out of our own environment now, before any process is started that would inherit them.
        secret = _secrets(settings.environ)
        for name in SECRET_VARIABLES:
            secret(name)
        receivers = receivers_of(secret)
        collector = collector_of(settings.instance, settings.environ, secret)
        self._reader = WorkerReader(settings.environment, settings.environ)
        self._reader.start()
        self.keys = keys = Keys(settings.instance, settings.environ)
        self.issuers = Issuers(keys, settings.environ)
        ledger = opened_ledger(settings.instance, settings.environ)
        rates = FollowedRates(
            rate_file_of(settings.instance, settings.environ), lambda: self.control.desired.release, began=self.since
        )
        self.budgets = budgets = Budgets(keys, ledger, rates, lambda: self.control.traffic.model_limits)
        self.declared_keys = DeclaredKeys(keys)
        self.filters = chosen_filters(binary := envoy_binary(settings.environ), where.cache, settings.environ)
        keys.use(self.filters.gate(ledger.path))
        keyring = keys.publish(open_to_all=settings.open_to_all, required=settings.require_keys)
        others = settings.require_keys or bool(keys.issuers())
        check_access(settings.listen, settings.access, keyring, instance=settings.instance, others=others)
        remote, self.certificate = remote_of(settings.listen, settings.access, keys.directory)
        if self.certificate:
            self.certificate.refresh()
        keeper = local_keeper(settings)
        self.runtime = LocalRuntime(keeper, self.clock)
        self.plane = EnvoyPlane(
            binary=binary,
            cache=where.cache,
            runtime=where.runtime,
            listen=settings.local,
            remote=remote,
            control_socket=where.control_socket,
            front=self.filters.front(keys.directory, ledger.path, inner_socket(where), settings.access.origins),
            concurrency=min(machine().cores, ENVOY_CONCURRENCY_MAX),
            clock=self.clock,
        )
        self.repository = _repository(settings, self._reader.is_sound)
        self._applied = _applied(settings)
        self._revisions, no_history = kept_revisions(where)
        self.alerts = Alerts(
            where,
            receivers,
            clock=self.clock,
            name=f"{socket.gethostname()}/{settings.instance}",
            url=lambda: remote_url(remote) or settings.listen_url,
        )
        self._story = Story(where, clock=self.clock, secret=secret, repository=self.repository, more=(self.alerts,))
        self.webhooks = self._story.webhooks
        budgets.report = self.alerts.tell = self._story.tell
        self.files = files = SpecFiles(settings.directory, default=_default_texts(settings))
        self.control = Control(
            Ports(
                site=Site(
                    name="local",
                    target="process",
                    runtime=self.runtime,
                    planes=(self.plane,),
                    machine=partial(machine, memory_bytes_max=settings.memory_bytes),
                    directory=settings.directory,
                ),
                texts=self.repository or self._applied or files,
                reader=self._reader,
                source=models(settings.directory, settings.environ),
                memory=StateFile(where.state / "control.json"),
                clock=self.clock,
                prober=NetworkProber(),
                numbers=keeper.ports,
                secret=secret,
                listen_url=settings.listen_url,
                remote_url=remote_url(remote),
                environment=settings.environment,
                revisions=self._revisions,
                no_history=no_history,
                who=user(),
                own_services=(translator(where),),
                service_keys=ServiceKeys(where, keys),
                declared_keys=self.declared_keys,
                no_affinity=self.filters.no_affinity,
                filters=self.filters.status,
                events=self._story.sinks,
            )
        )
        self.control.status = self.status
        self.alerts.watch(self.control, keys, budgets, certificate=self.certificate)
        spans = sender_of(collector, where, ledger, keys, clock=self.clock, server=settings.local)
        self.accounts = Accounts(
            where, ledger, keys, control=self.control, budgets=budgets, clock=self.clock, spans=spans
        )
        self.measured = Measured(self, token=secret(TOKEN_VARIABLE))
        self.alerts.history = self.measured.history

    async def open(self) -> None:
        """Adopt the running replicas. Raises ControlError if another program uses the port."""
        if self.repository:
            await self.repository.open()
        await self.control.adopt()
        self._adopted = True
        proxies = self.control.planes.proxies
        replicas = self.runtime.observe().replicas
        gateways = [replica.pid for replica in replicas if replica.service in proxies and replica.pid]
        for address, port in {self.settings.local, self.settings.listen}:
            check_port_free(address, port, but_for=gateways)

    async def run(self) -> None:
        """Run the loop until cancelled."""
        await self.control.run()

    @property
    def is_replaced(self) -> bool:
        """Whether the lock was removed, and another control plane has taken the instance since then."""
        return is_removed(self._lock, self.settings.paths) and lock_holder(self.settings.paths) is not None

    @property
    def are_sockets_lost(self) -> bool:
        """Whether another program has removed the lock, or the socket of the control channel."""
        return is_removed(self._lock, self.settings.paths) or self.plane.is_socket_lost

    async def restore_sockets(self) -> None:
        """Create what `are_sockets_lost` misses. Raises ControlError."""
        if is_removed(self._lock, self.settings.paths):
            before, self._lock = self._lock, self.settings.lock()
            before.close()
        if self.plane.is_socket_lost:
            await self.plane.reopen()

    async def stop(self) -> Mapping[str, str]:
        """Stop every replica, including those of an earlier control plane that were not adopted yet.

        Returns the reasons for the replicas that could not be stopped, by replica id.
        """
        if not self._adopted:
            await self.control.adopt()
        return await self.control.stop_all()

    def status(self) -> Status:
        """Return the status."""
        follows = "repository" if self.repository else "applied" if self._applied else "directory"
        return status(self.control, instance=self.settings.instance, since=self.since, follows=follows)

    async def preview(self, texts: Mapping[str, str]) -> Preview:
        """Return the effect that other texts would have on the running services."""
        return await self.control.preview(texts)

    def apply(self, texts: Mapping[str, str], *, commit: str | None) -> str:
        """Make texts the desired state, and return their digest, which appears in the status.

        Raises ControlError if the instance follows a directory or a repository.
        """
        if self._applied is None:
            raise ControlError(
                f"{self.settings.instance} follows {self.control.ports.texts.place}, so its specs cannot be applied "
                "by hand",
                hint="save or commit the change there; or use another instance: bateau apply --name other",
            )
        self._applied.apply(Applied(texts=texts, commit=commit))
        self.control.look_again()  # from now on the status does not report the old texts as settled
        return texts_digest(texts)

    async def rollback(self, service: str, *, to: int | None) -> RolledBack:
        """Hold a service at an earlier revision. Raises ControlError."""
        return await self.control.rollback(service, to=to)

    async def restart(self, service: str, *, who: str | None = None) -> Restarted:
        """Replace every replica of a service, one after another, for `who`. Raises ControlError."""
        return await self.control.restart(service, who=who)

    async def metrics(self) -> str:
        """Return the Prometheus page."""
        known, processes = self.issuers.known(), self.measured.sampler.processes
        counted, filters, firing = self._story.counted, self.filters, self.alerts.board().firing
        return await metrics_page(self.control, self.plane, counted, filters, self.accounts, known, processes, firing)

    async def close(self) -> None:
        """Release everything; the replicas continue unless they were stopped before."""
        self._reader.close()
        await self.accounts.close()
        await self.plane.close()
        await self.runtime.close()
        self.measured.close()
        if self._revisions:
            self._revisions.close()
        self._story.close()
        self._lock.close()


def _applied(settings: Settings) -> AppliedTexts | None:
    """Store the texts given to `apply`. Needs the lock, so that it never replaces those of another control plane."""
    if settings.applied is None:
        return None
    kept = AppliedTexts(settings.paths.state / "applied.json", directory=settings.directory)
    kept.apply(settings.applied)
    return kept


def _default_texts(settings: Settings) -> Mapping[str, str]:
    """Return the default specs; none if an earlier control plane served real specs."""
    remembered = StateFile(settings.paths.state / "control.json").load().get("texts")
    served_specs = isinstance(remembered, dict) and not settings.default_texts.keys() & remembered.keys()
    return {} if served_specs else settings.default_texts


def _repository(settings: Settings, sound: Callable[[Mapping[str, str]], bool]) -> FollowedRepository | None:
    if settings.repository is None:
        return None
    return FollowedRepository(
        settings.repository,
        cache=settings.paths.cache,
        directory=settings.directory,
        environ=settings.environ,
        following=following_of(
            settings.repository, settings.allowed_signers, rewritten_history=settings.rewritten_history
        ),
        sound=sound,
    )


def _secrets(environ: Mapping[str, str]) -> Callable[[str], str | None]:
    """Return the lookup of secrets. A secret that was looked up is not inherited by any replica."""

    def secret(name: str) -> str | None:
        os.environ.pop(name, None)
        return environ.get(name)

    return secret


def local_keeper(settings: Settings) -> LocalKeeper:
    """Return the keeper of an instance's processes."""
    where = settings.paths
    instance = Instance(name=str(where.state), state=where.state, runtime=where.runtime, logs=where.logs)
    return LocalKeeper(instance, prober=NetworkProber(), clock=SystemClock(), scrape=prometheus_page)


async def stop_leftovers(settings: Settings) -> int:
    """Stop the replicas that a dead control plane left running; return how many there were.

    Raises ControlError, after all others were stopped, where one cannot be stopped.
    """
    lock = settings.lock()
    runtime = LocalRuntime(local_keeper(settings), SystemClock())
    try:
        await runtime.adopt()
        count = len(runtime.observe().replicas)
        failed = await runtime.remove()
        if failed:
            raise ControlError(f"{len(failed)} of {count} replicas could not be stopped: {'; '.join(failed.values())}")
        return count
    finally:
        await runtime.close()
        lock.close()


def models(directory: Path, environ: Mapping[str, str]) -> Models:
    """Return the models' cache of this user; relative paths are of `directory`."""
    return Models(cache=paths("default", environ).cache / "models", base=directory, environ=environ)
