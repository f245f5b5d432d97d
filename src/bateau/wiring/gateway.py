"""Run Envoy as the gateway of a cluster, and let it drain before its pod ends.

Called by cli.gateway. The process becomes Envoy: no Python remains beside it.
"""

import asyncio
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.traffic.envoy.admin import EnvoyAdmin
from bateau.traffic.envoy.gateway_bootstrap import gateway_bootstrap, gateway_secrets
from bateau.wiring.envoy import envoy_binary

_LOOK_S: Final = 0.5


def envoy_command(
    *, xds: tuple[str, int], certificates: Path, admin: Path, probes: tuple[str, int], environ: Mapping[str, str]
) -> list[str]:
    """Return the command of the gateway's Envoy, and write the files that it reads beside its admin socket.

    Raises ControlError if there is no Envoy or no certificate.
    """
    for name in ("ca.crt", "tls.crt", "tls.key"):
        if not (certificates / name).is_file():
            raise ControlError(
                f"{certificates / name} does not exist", hint="the controller makes the Secret with the certificates"
            )
    for name, content in gateway_secrets(certificates).items():
        (admin.parent / name).write_text(json.dumps(content), encoding="utf-8")
    zone = environ.get("BATEAU_ZONE", "")
    bootstrap = gateway_bootstrap(xds=xds, secrets=admin.parent, admin=admin, probes=probes, zone=zone)
    return [
        str(envoy_binary(environ)),
        "--config-yaml",
        json.dumps(bootstrap),
        "--service-cluster",
        "bateau",
        "--service-node",
        environ.get("POD_NAME") or socket.gethostname(),
        "--concurrency",
        str(max(1, len(os.sched_getaffinity(0)))),
        "--disable-hot-restart",
        "--log-level",
        "warning",
        "--component-log-level",
        "misc:critical",
    ]


async def drain(admin: Path, *, timeout_s: float) -> int:
    """Turn new connections away, and wait until no request is left. Returns how many are left after `timeout_s`.

    The readiness probe fails first, so that the Service sends no new connections; those that exist may continue.
    """
    envoy = EnvoyAdmin(admin)
    await envoy.post("/healthcheck/fail")
    await envoy.post("/drain_listeners?graceful&skip_exit")
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout_s
    while True:
        left, _ = await envoy.downstream_in_flight() or (0, 0)  # None: Envoy is gone
        if left == 0 or loop.time() >= ends_at:
            return left
        await asyncio.sleep(_LOOK_S)
