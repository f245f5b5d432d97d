"""The status of external models says whether a connection to them succeeds."""

import asyncio

import pytest

from bateau.control import reach as reach_module
from bateau.control.reach import Reach
from bateau.domain.process import ProbeTarget
from bateau.domain.status import ServiceState
from bateau.testing import FakeProbe
from control.world import World, external, world

ADDRESS = "api.example.com:443"


class _HeldProbe(FakeProbe):
    """Answers once the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
        await self.may_answer.wait()
        return await super().probe(target, timeout_s)


def probed(w: World, probe: FakeProbe) -> None:
    w.control.reach = Reach(probe, w.control.wake)


async def test_an_external_api_that_cannot_be_reached_is_degraded_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Issue 8: it was shown as Ready."""
    monkeypatch.setattr(reach_module, "FAILING_INTERVAL_S", 0.01)
    monkeypatch.setattr(reach_module, "INTERVAL_S", 0.01)
    probe = _HeldProbe()
    probe.answers[ADDRESS] = "connection refused"
    async with world() as w:
        probed(w, probe)
        w.texts.write("big", external())
        await w.until(lambda: w.status.services)
        await w.turns()
        assert w.service("model/big").state is ServiceState.STARTING, "it is not known yet"
        assert not w.status.settled
        probe.may_answer.set()
        await w.until(lambda: w.service("model/big").state is ServiceState.DEGRADED)
        assert w.service("model/big").reason == (
            f"the external endpoint cannot be reached: {ADDRESS}: connection refused"
        )
        assert w.status.settled
        probe.answers[ADDRESS] = None
        await w.until(lambda: w.service("model/big").state is ServiceState.READY)
        w.texts.remove("big")
        await w.until(lambda: not w.status.services)
        assert w.control.reach.of("https://api.example.com/v1") is None


async def test_a_bug_in_a_probe_is_the_reason_and_ends_nothing() -> None:
    class _Broken(FakeProbe):
        async def probe(self, target: ProbeTarget, timeout_s: float) -> str | None:
            raise RuntimeError(f"planted {target} {timeout_s}")

    async with world() as w:
        probed(w, _Broken())
        w.texts.write("big", external())
        await w.until(lambda: w.status.services and w.service("model/big").state is ServiceState.DEGRADED)
        assert "this is a bug in bateau: RuntimeError" in (w.service("model/big").reason or "")
