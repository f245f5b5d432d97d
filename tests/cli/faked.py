"""An instance without services: its status, its figures, and the environment of a command that asks it."""

import os
from pathlib import Path

from bateau.domain.figures import Figures, ServiceFigures
from bateau.domain.status import ServiceState, ServiceStatus, Status


def service(key: str, state: ServiceState = ServiceState.READY, reason: str | None = None) -> ServiceStatus:
    return ServiceStatus(service=key, state=state, reason=reason, replicas_wanted=2, replicas_ready=1, engine="process")


def status(*services: ServiceStatus, rejected: bool = False) -> Status:
    return Status(
        version="1",
        instance="default",
        pid=1,
        directory="/specs",
        follows="directory",
        environment=None,
        listen="http://127.0.0.1:8080",
        gateway=service("gateway/envoy"),
        services=services,
        problems=(),
        foreign=0,
        since=0.0,
        settled=True,
        accepted=True,
        written=None,
        rolled_out=True,
        specs_rejected=rejected,
    )


class FixedMeter:
    """Figures of one service."""

    def __init__(self) -> None:
        self.looks = 0

    async def now(self) -> Figures:
        self.looks += 1
        found = ServiceFigures() if self.looks == 1 else ServiceFigures(seconds=2.0, requests_per_s=7.0)
        return Figures(number=self.looks, services={"model/chat": found})


def environ(home: Path, **more: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")},
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "TERM": "xterm-256color",
        **more,
    }
