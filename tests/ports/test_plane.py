"""What every traffic plane promises: one suite, run against Envoy and against the fake."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
import pytest_asyncio

from bateau.domain.endpoint import Backend, Endpoint, ExternalTarget, Proxy, Traffic
from bateau.ports.plane import Plane
from bateau.testing import FakePlane
from traffic.gateway import REPLICA, Gateway, eventually

CHAT = Backend(
    service="model/chat",
    name="chat",
    protocol="openai",
    endpoints=(Endpoint(replica="model.chat.0", address="/nowhere.sock", draining=True),),
)
# No plane can use this URL.
BAD = Backend(
    service="model/bad", name="bad", protocol="openai", external=ExternalTarget(url="https://host.example:99999/v1")
)


class Rig(Protocol):
    """A plane, and the hand on its proxy."""

    @property
    def plane(self) -> Plane: ...

    @property
    def proxy(self) -> Proxy: ...

    async def connect(self) -> None:
        """Have a proxy connect to the plane."""
        ...


class FakeRig:
    """The fake, whose proxy connects when the test says so."""

    def __init__(self) -> None:
        self.plane = FakePlane()
        self.plane.accepted = False
        self.plane.rejections = {BAD.service: "no such port"}
        self.proxy = Proxy(service="gateway/envoy", replica=REPLICA)

    async def connect(self) -> None:
        self.plane.accepted = True
        self.plane.change()


class EnvoyRig:
    """The Envoy plane, and an Envoy that is not started yet."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.gateway.keys.publish(open_to_all=False)  # as the control plane does before it starts a gateway
        self.plane = self.gateway.plane
        self.proxy = Proxy(service="gateway/envoy", replica=REPLICA, address=str(self.gateway.base / f"{REPLICA}.sock"))

    async def connect(self) -> None:
        await self.gateway.start(REPLICA)


@pytest_asyncio.fixture(params=["envoy", "fake"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield FakeRig()
        return
    made = EnvoyRig()
    yield made
    await made.gateway.close()


def traffic(rig: Rig, *backends: Backend) -> Traffic:
    return Traffic(backends=backends, proxies=(rig.proxy,))


async def test_it_has_a_name_and_a_template_that_stays(rig: Rig) -> None:
    template = rig.plane.template()
    assert rig.plane.name
    assert template is None or template == rig.plane.template()


async def test_nothing_is_accepted_before_something_is_published(rig: Rig) -> None:
    state = rig.plane.observe()
    assert (state.accepted, state.rejected, state.load) == (False, {}, None)


async def test_without_a_proxy_nothing_is_accepted_and_the_load_is_unknown(rig: Rig) -> None:
    rig.plane.publish(traffic(rig, CHAT))
    await asyncio.sleep(0.3)
    state = rig.plane.observe()
    assert (state.accepted, state.load) == (False, None)


async def test_a_proxy_that_connects_accepts_what_was_published_last_and_wakes_who_asked(rig: Rig) -> None:
    woken = asyncio.Event()
    rig.plane.on_change(woken.set)
    for _ in range(20):
        rig.plane.publish(traffic(rig, CHAT))
        rig.plane.publish(traffic(rig))
    woken.clear()
    await rig.connect()
    await _accepted(rig)
    assert woken.is_set()


async def test_the_load_has_an_entry_for_every_endpoint_and_proxy(rig: Rig) -> None:
    rig.plane.publish(traffic(rig, CHAT))
    await rig.connect()
    load = await eventually(lambda: _load(rig))
    assert load.in_flight == {"model.chat.0": 0, REPLICA: 0}


async def test_the_load_is_measured_only_where_somebody_wants_it(rig: Rig) -> None:
    rig.plane.publish(traffic(rig))
    await rig.connect()
    await _accepted(rig)
    await asyncio.sleep(0.6)
    assert rig.plane.observe().load is None
    rig.plane.publish(Traffic(proxies=(rig.proxy,), measure_load=True))
    await eventually(lambda: _load(rig))


async def test_what_is_rejected_is_reported_while_it_is_published_and_the_rest_is_accepted(rig: Rig) -> None:
    await _connected(rig, CHAT, BAD)
    await _accepted(rig)
    assert list(rig.plane.observe().rejected) == ["model/bad"]
    rig.plane.publish(traffic(rig, CHAT))
    await _accepted(rig)
    assert rig.plane.observe().rejected == {}


async def test_after_its_end_nothing_is_accepted(rig: Rig) -> None:
    await _connected(rig, CHAT)
    await _accepted(rig)
    await rig.plane.close()
    assert not rig.plane.observe().accepted


async def _connected(rig: Rig, *backends: Backend) -> None:
    rig.plane.publish(traffic(rig, *backends))
    await rig.connect()


async def _accepted(rig: Rig) -> None:
    async def accepted() -> bool:
        return rig.plane.observe().accepted

    await eventually(accepted)


async def _load(rig: Rig) -> object:
    return rig.plane.observe().load
