"""The Envoy plane: traffic in, configured gateways out.

Called by wiring.local and wiring.metrics. control uses it through ports.plane. The runtime runs Envoy itself, from
`template`.

Invariant: no request fails because the control plane dies. Envoy continues with the resources that it has, and the next
control plane sends only the difference. Held by tests/traffic/test_control_channel.py.
Invariant: nothing here waits for Envoy. Acknowledgements, rejections and loads are observed, and the callbacks of
`on_change` are called when they change. Held by tests/traffic/test_contained.py and tests/ports/test_plane.py.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

from google.protobuf.json_format import ParseError

from bateau.domain.endpoint import PlaneState, Proxy, Traffic
from bateau.domain.errors import ControlError
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.ports.clock import Clock
from bateau.traffic.envoy.admin import EnvoyAdmin
from bateau.traffic.envoy.ads import AdsServer
from bateau.traffic.envoy.api import EnvoyApi
from bateau.traffic.envoy.bootstrap import bootstrap
from bateau.traffic.envoy.doors import UnixDoor
from bateau.traffic.envoy.handover import SETTLE_S, steer
from bateau.traffic.envoy.listener import LOOPBACK, FrontSettings
from bateau.traffic.envoy.load import LoadMeter
from bateau.traffic.envoy.remote import Remote
from bateau.traffic.envoy.resources import CLUSTER, ResourceBuilder, Resources

logger = logging.getLogger(__name__)

# Node id and admin socket of an Envoy that was started before each proxy had its own.
_FIRST_NODE = "gateway"
_FIRST_ADMIN = "envoy-admin.sock"
# A rejected resource is sent again after this time: a port that was in use may be free by then.
_RETRY_S = 10.0
# How long Envoy keeps the connections of a removed listener, so that requests and streams in flight can end.
_DRAIN_S = 600


class EnvoyPlane:
    """The Envoys of one machine, configured over xDS; satisfies `bateau.ports.plane.Plane`.

    Other machines reach the models at `remote`.
    Raises ControlError if `binary` is not an Envoy that can read the resources of this plane.
    """

    name = "envoy"

    def __init__(
        self,
        *,
        binary: Path,
        cache: Path,
        runtime: Path,
        listen: tuple[str, int],
        control_socket: Path,
        front: FrontSettings,
        concurrency: int,
        clock: Clock,
        remote: Remote | None = None,
    ) -> None:
        self._binary = binary
        self._runtime = runtime
        # There while requests of a replaced cluster may be in flight, for the control plane after this one.
        self._replaced = runtime / "replaced"
        self._library = _digest(front.library)
        self._concurrency = concurrency
        self._bootstrap = bootstrap(xds_socket=runtime / "xds.sock")
        try:
            self._api = EnvoyApi(binary, cache)
            self._builder = ResourceBuilder(
                api=self._api,
                listen=listen,
                control_socket=control_socket,
                gateway=f"gateway/{self.name}",
                front=front,
                remote=remote,
            )
            self._api.encode("envoy.config.bootstrap.v3.Bootstrap", self._bootstrap)
            self._builder.build(Traffic())
        except (OSError, KeyError, ValueError, ParseError) as error:
            why = error.args[0] if isinstance(error, KeyError) else error
            raise ControlError(
                f"{binary} cannot be the gateway: {why}", hint="the gateway needs Envoy 1.40 or newer"
            ) from error
        self._ads = AdsServer(
            UnixDoor(runtime / "xds.sock"), on_change=self._look, replaced_before=self._replaced.exists
        )
        self._meter = LoadMeter(
            clock, may_ask=self._all_connected, replacements=self._replacements, on_change=self._look
        )
        self._listens = [listen, *([(remote.address, remote.port)] if remote else [])]
        self._traffic = Traffic()
        self._resources: Resources = {}
        self._steered: frozenset[str] = frozenset()  # draining proxies that get no new connections
        self._leaving: frozenset[str] = frozenset()  # those of them whose listeners are removed
        self._handing_over: asyncio.TimerHandle | None = None
        self._failed: Mapping[str, str] = {}
        self._state = PlaneState(accepted=False, rejected={}, load=None)
        self._wakes: list[Callable[[], None]] = []
        self._opening: asyncio.Task[None] | None = None
        self._retrying: asyncio.TimerHandle | None = None

    def template(self) -> ProcessTemplate:
        """Return how to run Envoy. The runtime replaces `{replica}` and `{socket}` for each proxy."""
        command = (
            str(self._binary),
            "--config-yaml",
            json.dumps(self._bootstrap),
            "--service-cluster",
            "bateau",
            "--service-node",
            "{replica}",
            "--concurrency",
            str(self._concurrency),
            "--disable-hot-restart",
            "--log-level",
            "warning",
            # A request whose client left early has no time to first token, and Envoy would log that as an error.
            "--component-log-level",
            "misc:critical",
            # A killed Envoy loses the lines about requests that it has not written yet.
            "--file-flush-interval-msec",
            "20",
            "--file-flush-min-size-kb",
            "4",
            "--drain-time-s",
            str(_DRAIN_S),
            # Clients of a removed listener get `connection: close` with their next response.
            "--drain-strategy",
            "immediate",
        )
        # Envoy keeps a library until it ends, so another one needs another process.
        about = (self._api.digest, *([self._library] if self._library else []))
        digest = hashlib.blake2b("\0".join((*command, *about)).encode(), digest_size=8)
        return ProcessTemplate(
            revision=digest.hexdigest(),
            command=command,
            uses_socket=True,
            probe=ProbePlan(
                target=ProbeTarget(kind="http", address="{socket}", path="/ready"),
                interval_s=5.0,
                start_timeout_s=30.0,
            ),
            stop_timeout_s=5.0,
        )

    def publish(self, traffic: Traffic) -> None:
        """Send each proxy the resources of `traffic` that it lacks; the first call opens the control channel."""
        built = self._builder.build(traffic)
        self._traffic, self._resources, self._failed = traffic, built.resources, built.failed
        self._leaving &= _draining(traffic)
        self._hand_over(traffic)
        self._ads.update(self._resources, draining=self._leaving)
        asleep = {each.service: each.generation or 0 for each in traffic.backends if each.hold}
        self._ads.asked.update(asleep, self._resources[CLUSTER])
        self._meter.follow(traffic, {proxy.replica: self._admin_socket(proxy) for proxy in traffic.proxies})
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(
                self._ads.keep_open(), name="gateway control channel"
            )
        self._look()

    def observe(self) -> PlaneState:
        """Return the state that is known now."""
        return self._state

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` from the event loop whenever the state has changed."""
        self._wakes.append(wake)

    async def ask(self, path: str) -> Sequence[str | None]:
        """Return the response of each proxy's admin interface to a GET; None for a proxy that does not answer.

        Without any proxy, the result is one None, so that a gateway that is down counts as one failure.
        """
        admins = [EnvoyAdmin(self._admin_socket(proxy)) for proxy in self._traffic.proxies]
        return await asyncio.gather(*(admin.text(path) for admin in admins)) or [None]

    async def reopen_logs(self) -> bool:
        """Have every proxy write to a new file where its log was renamed; return whether all have answered."""
        admins = [EnvoyAdmin(self._admin_socket(proxy)) for proxy in self._traffic.proxies]
        return all(await asyncio.gather(*(admin.post("/reopen_logs") for admin in admins)))

    @property
    def is_socket_lost(self) -> bool:
        """Whether another program has removed the socket of the control channel."""
        return self._ads.is_lost

    async def reopen(self) -> None:
        """Open the socket of the control channel again, for proxies that connect after the old one was removed."""
        await self._ads.close()
        self._opening = asyncio.get_running_loop().create_task(self._ads.keep_open(), name="gateway control channel")

    async def close(self) -> None:
        """Close the control channel."""
        for timer in (self._retrying, self._handing_over):
            if timer:
                timer.cancel()
        await self._meter.close()
        if self._opening:
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._opening
        await self._ads.close()

    def _hand_over(self, traffic: Traffic) -> None:
        """Direct new connections to the other proxies, before those that begin to drain close their sockets."""
        before, self._steered = self._steered, _draining(traffic)
        if self._steered <= before:
            return
        if any(not proxy.draining for proxy in traffic.proxies):
            ports = [each.listen_port for each in traffic.backends if each.listen_port]
            for address, port in (*self._listens, *((LOOPBACK, port) for port in ports)):
                steer(address, port, sockets=self._concurrency)
        if self._handing_over:
            self._handing_over.cancel()
        self._handing_over = asyncio.get_running_loop().call_later(SETTLE_S, self._close_listeners)

    def _close_listeners(self) -> None:
        self._leaving = self._steered
        self._ads.update(self._resources, draining=self._leaving)
        self._look()

    def _look(self) -> None:
        """Update the state, and wake the callbacks if it has changed."""
        self._note_replacements()
        rejected = {**self._ads.rejections(), **self._failed}
        state = PlaneState(
            accepted=self._accepted(), rejected=rejected, load=self._meter.load, asked=self._ads.asked.now()
        )
        before, self._state = self._state, state
        for service, message in rejected.items():
            if before.rejected.get(service) != message and service not in self._failed:
                logger.error("the gateway rejected %s and keeps its last good version: %s", service, message)
        if rejected.keys() - self._failed.keys() and self._retrying is None:
            self._retrying = asyncio.get_running_loop().call_later(_RETRY_S, self._retry)
        if _differs(before, state):
            for wake in self._wakes:
                wake()

    def _note_replacements(self) -> None:
        """Leave a mark for the next control plane before a cluster is replaced, and remove it when that is over."""
        found = self._replacements()
        over = self._meter.has_accounted_for(found)
        with contextlib.suppress(OSError):  # without the mark, a restart in that moment may count too little
            if not over:
                self._replaced.touch(mode=0o600)
            elif found:
                self._replaced.unlink(missing_ok=True)

    def _retry(self) -> None:
        self._retrying = None
        self._ads.retry()
        self._look()

    def _accepted(self) -> bool:
        """Whether all connected proxies have answered for the traffic, and no proxy that takes requests is missing."""
        connected = {subscriber.node for subscriber in self._ads.subscribers}
        missing = [proxy for proxy in self._traffic.proxies if not proxy.draining and _node(proxy) not in connected]
        settled = all(subscriber.settled for subscriber in self._ads.subscribers)
        return bool(connected) and not missing and settled and self._leaving == _draining(self._traffic)

    def _all_connected(self) -> bool:
        """Whether all proxies of the traffic, and no others, are connected and have answered for it."""
        connected = {subscriber.node for subscriber in self._ads.subscribers}
        return self._accepted() and connected == {_node(proxy) for proxy in self._traffic.proxies}

    def _replacements(self) -> Mapping[str, int]:
        """Return the number of the last replacement of a cluster in each proxy that is connected."""
        found = {subscriber.node: subscriber.replacement for subscriber in self._ads.subscribers}
        return {proxy.replica: found[node] for proxy in self._traffic.proxies if (node := _node(proxy)) in found}

    def _admin_socket(self, proxy: Proxy) -> Path:
        return Path(proxy.address) if proxy.address else self._runtime / _FIRST_ADMIN


def _digest(library: PurePath | None) -> str:
    try:
        return hashlib.blake2b(Path(library).read_bytes(), digest_size=8).hexdigest() if library else ""
    except OSError:
        return ""


def _draining(traffic: Traffic) -> frozenset[str]:
    return frozenset(_node(proxy) for proxy in traffic.proxies if proxy.draining)


def _node(proxy: Proxy) -> str:
    return proxy.replica if proxy.address else _FIRST_NODE


def _differs(before: PlaneState, now: PlaneState) -> bool:
    """Whether the states differ in more than the time of the load."""
    loads = [state.load.in_flight if state.load else None for state in (before, now)]
    known = [(state.accepted, state.rejected, state.asked) for state in (before, now)]
    return loads[0] != loads[1] or known[0] != known[1]
