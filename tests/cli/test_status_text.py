"""The page that `bateau status` prints."""

import click

from bateau.api.encoding import status_tree
from bateau.cli.status import status_text
from bateau.domain.status import ServiceState, ServiceStatus, Status


def test_a_download_whose_size_is_known_before_its_first_byte_has_no_share() -> None:
    assert _row(None)[1:3] == ["Pulling", "0/1"]
    assert _row(50)[1:4] == ["Pulling", "25", "%"]


def _row(done: int | None) -> list[str]:
    text = click.unstyle(status_text(status_tree(_status(_pulling(done)))))
    return next(line.split() for line in text.splitlines() if line.startswith("model/chat"))


def _pulling(done: int | None) -> ServiceStatus:
    return ServiceStatus(
        service="model/chat",
        state=ServiceState.PULLING,
        reason=None,
        replicas_wanted=1,
        replicas_ready=0,
        engine="llama.cpp",
        pulled_bytes=done,
        pull_bytes_total=200,
    )


def _status(service: ServiceStatus) -> Status:
    gateway = ServiceStatus(
        service="gateway/envoy",
        state=ServiceState.READY,
        reason=None,
        replicas_wanted=1,
        replicas_ready=1,
        engine="envoy",
    )
    return Status(
        version="1",
        instance="default",
        pid=1,
        directory="/specs",
        follows="directory",
        environment=None,
        listen="http://127.0.0.1:8080",
        gateway=gateway,
        services=(service,),
        problems=(),
        foreign=0,
        since=0.0,
        settled=False,
        accepted=True,
        written=None,
        rolled_out=False,
        specs_rejected=False,
    )
