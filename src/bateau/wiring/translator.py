"""The translator as a service: it runs from the first request for one of its APIs until nobody uses them.

Called by wiring.local.
"""

import sys
from pathlib import Path
from typing import Final

from bateau.domain.workload import Command, Health, Port, Queue, Scale, ServiceKey, Workload
from bateau.kit.position import Position
from bateau.wiring.paths import Paths

_IDLE_S: Final = 600.0
_DRAIN_S: Final = 600.0
_START_S: Final = 30.0


def inner_socket(where: Paths) -> Path:
    """Return the socket of the gateway's listener for the translator."""
    return where.runtime / "inner.sock"


def translator(where: Paths) -> Workload:
    """Return the service that translates the APIs that no engine has."""
    words = (sys.executable, "-m", "bateau.traffic.translator")
    return Workload(
        key=ServiceKey.of("gateway", "translator"),
        runs=Command(
            words=(*words, "--socket", "{socket}", "--gateway", str(inner_socket(where))), working_directory="/"
        ),
        position=Position("bateau", 1, 1),
        ports={"http": Port(protocol="translated")},
        scale=Scale(min=0, max=1, idle_after=_IDLE_S, queue=Queue(max=256, wait=_START_S)),
        health=Health(path="/healthz", kind="http"),
        drain_timeout_s=_DRAIN_S,
        stop_timeout_s=60.0,
    )
