"""The Envoy plane: endpoints in, a configured and running gateway out.

Called by control through ports.plane. Envoy itself is run by the runtime, from `template`.

Invariant: a control plane that dies costs no request: Envoy goes on with what it has, and the next control plane
sends only what differs.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from bateau.domain.endpoint import Load, Traffic
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.traffic.envoy.admin import EnvoyAdmin
from bateau.traffic.envoy.ads import AdsServer
from bateau.traffic.envoy.api import EnvoyApi
from bateau.traffic.envoy.bootstrap import bootstrap
from bateau.traffic.envoy.resources import ResourceBuilder

logger = logging.getLogger(__name__)


class EnvoyPlane:
    """One Envoy on this machine, configured over xDS."""

    def __init__(
        self,
        *,
        binary: Path,
        cache: Path,
        runtime: Path,
        listen: tuple[str, int],
        control_socket: Path,
        concurrency: int,
    ) -> None:
        self._binary = binary
        self._concurrency = concurrency
        self._bootstrap_path = runtime / "envoy.json"
        admin_socket = runtime / "envoy-admin.sock"
        self._admin_socket = admin_socket
        api = EnvoyApi(binary, cache)
        config = bootstrap(
            listen_address=listen[0],
            listen_port=listen[1],
            admin_socket=admin_socket,
            xds_socket=runtime / "xds.sock",
            control_socket=control_socket,
        )
        api.encode("envoy.config.bootstrap.v3.Bootstrap", config)
        self._bootstrap = json.dumps(config, indent=1)
        self._bootstrap_path.write_text(self._bootstrap)
        self._builder = ResourceBuilder(api)
        self.admin = EnvoyAdmin(admin_socket)
        self._ads = AdsServer(runtime / "xds.sock", on_rejected=_report_rejection)
        self._publishing = asyncio.Lock()

    def template(self) -> ProcessTemplate:
        """Return how to run Envoy with the bootstrap file that was written at the start."""
        command = (
            str(self._binary),
            "--config-path",
            str(self._bootstrap_path),
            "--concurrency",
            str(self._concurrency),
            "--disable-hot-restart",
            "--log-level",
            "warning",
            # A client that left before the first token has no time to first token; Envoy would log each as an error.
            "--component-log-level",
            "misc:critical",
            # Requests that run when Envoy is asked to end have this long.
            "--drain-time-s",
            "1",
        )
        digest = hashlib.blake2b("\0".join((*command, self._bootstrap)).encode(), digest_size=8)
        return ProcessTemplate(
            revision=digest.hexdigest(),
            command=command,
            probe=ProbePlan(
                target=ProbeTarget(kind="http", address=str(self._admin_socket), path="/ready"),
                interval_s=5.0,
                start_timeout_s=30.0,
            ),
            stop_timeout_s=5.0,
        )

    async def publish(self, traffic: Traffic) -> None:
        """Send what changed to Envoy; the first call opens the control channel."""
        async with self._publishing:
            await self._ads.serve(self._builder.build(traffic))

    def rejected(self) -> Mapping[str, str]:
        """Return what Envoy would not take, by service, and why: a port that is taken, for one."""
        return {"/".join(name.split("/")[:2]): message for name, message in self._ads.rejections.items()}

    def acknowledged(self) -> bool:
        """Whether an Envoy is connected and has answered for every cluster and endpoint that was published."""
        return self._ads.acknowledged

    async def load(self) -> Load | None:
        """Return requests in flight by replica, as Envoy counts them; None until it has taken what was published.

        One that is not connected yet may still send requests to a replica that it was not told to leave alone.
        """
        if not self._ads.acknowledged:
            return None
        in_flight = await self.admin.requests_in_flight()
        return None if in_flight is None else Load(in_flight=in_flight)

    async def close(self) -> None:
        """Close the control channel."""
        await self._ads.close()


def _report_rejection(message: str) -> None:
    logger.error("the gateway rejected its configuration and keeps the last good one: %s", message)
