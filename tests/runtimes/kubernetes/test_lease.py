"""The Lease that decides which controller acts, at the real API server."""

import asyncio
from pathlib import Path

import pytest

from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.lease import Lease
from bateau.testing import ManualClock
from runtimes.kubernetes.rig import SystemClock, bench

LEASES = Resource("/apis/coordination.k8s.io/v1", "leases", namespaced=True)


def lease(api: ApiServer, namespace: str, who: str, clock: ManualClock | None = None) -> Lease:
    return Lease(api, clock or SystemClock(), namespace=namespace, name="controller", identity=who)


async def spec(api: ApiServer, namespace: str) -> JsonObject:
    tree = await api.get(LEASES, namespace, "controller")
    assert tree is not None
    return object_at(tree, "spec")


async def is_free(one: Lease) -> bool:
    """Whether it is taken within a moment; an attempt that must wait is cancelled."""
    try:
        async with asyncio.timeout(1):
            await one.acquire()
    except TimeoutError:
        return False
    return True


async def test_one_holds_it_and_the_next_one_takes_it_when_it_is_given_back(control_plane: Path):
    async with bench(control_plane) as at:
        first, second = (lease(at.api, at.namespace, who) for who in ("first", "second"))
        assert await is_free(first)
        assert not await is_free(second)
        assert second.holder == "first"
        await second.release()  # nothing: it is not its own
        assert text_at(await spec(at.api, at.namespace), "holderIdentity") == "first"
        await first.release()
        assert await is_free(second)
        assert (await spec(at.api, at.namespace))["leaseTransitions"] == 1
        # The first one notices at its next renewal, and stops to act.
        async with asyncio.timeout(10):
            await first.keep()


@pytest.mark.parametrize("ahead_s", [-20_000.0, 20_000.0])
async def test_a_holder_that_is_gone_loses_it_after_its_time_by_the_own_clock(control_plane: Path, ahead_s: float):
    """Times of another machine are not compared with the own clock: the holder's may be hours ahead or behind."""
    async with bench(control_plane) as at:
        there = ManualClock(wall=1_000_000.0 + ahead_s)
        first = lease(at.api, at.namespace, "first", there)
        assert await is_free(first)
        clock = ManualClock(wall=1_000_000.0)
        second = lease(at.api, at.namespace, "second", clock)
        assert not await is_free(second)
        # A holder that renews it keeps it, also when its clock is set back meanwhile.
        for seconds in (-3_600.0, 7.0):
            there.set_wall(there.wall() + seconds)
            assert await is_free(first)
            clock.advance(14)
            assert not await is_free(second)
        clock.advance(14)
        assert not await is_free(second)
        clock.advance(2)
        assert await is_free(second)


async def test_of_many_that_ask_at_once_one_gets_it(control_plane: Path):
    async with bench(control_plane) as at:
        many = [lease(at.api, at.namespace, f"c{number}") for number in range(8)]
        assert sum(await asyncio.gather(*map(is_free, many))) == 1


@pytest.mark.parametrize("planted", [{}, {"holderIdentity": None}])
async def test_a_lease_without_a_holder_is_free(control_plane: Path, planted: JsonObject):
    async with bench(control_plane) as at:
        tree: JsonObject = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "controller", "namespace": at.namespace},
            "spec": planted,
        }
        await at.api.create(LEASES, tree)
        assert await is_free(lease(at.api, at.namespace, "first"))
