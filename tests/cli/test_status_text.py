"""The page that `bateau status` prints."""

from dataclasses import replace

import click

from bateau.api.encoding import status_tree
from bateau.api.trees import is_status
from bateau.cli.status import status_text
from bateau.domain.status import GatewayFilters, ServiceState, ServiceStatus, Status


def test_a_download_whose_size_is_known_before_its_first_byte_has_no_share() -> None:
    assert _row(None)[1:3] == ["Pulling", "0/1"]
    assert _row(50)[1:4] == ["Pulling", "25", "%"]


def test_the_filters_of_the_gateway_are_named_and_why_they_are_not_the_native_one() -> None:
    status = _status(_pulling(None))
    native = replace(status, filters=GatewayFilters(name="native", why="it is installed, and this Envoy loads it"))
    stock = replace(status, filters=GatewayFilters(name="stock", why="the package bateau_gate is not installed"))
    assert "envoy (native)" in _text(native)
    assert "filter is" not in _text(native)
    assert "envoy (stock)" in _text(stock)
    assert "gateway/envoy: the native filter is not used: the package bateau_gate is not installed" in _text(stock)
    tree = {name: value for name, value in status_tree(stock).items() if name != "filters"}
    assert is_status(tree)
    assert click.unstyle(status_text(tree)) == _text(status), "a control plane of an earlier version names none"


def _text(status: Status) -> str:
    return click.unstyle(status_text(status_tree(status)))


def _row(done: int | None) -> list[str]:
    return next(line.split() for line in _text(_status(_pulling(done))).splitlines() if line.startswith("model/chat"))


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
