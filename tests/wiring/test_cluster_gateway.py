"""What a controller feeds its gateways with, and when."""

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from bateau.control.cluster_traffic import Space
from bateau.domain.release import Release
from bateau.wiring.gateway_certificates import GatewayCertificates
from bateau.wiring.gateway_feed import Admission, GatewayFeed
from runtimes.kubernetes.rig import SystemClock, bench


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_the_port_opens_only_when_the_models_of_all_namespaces_are_known(control_plane: Path, tmp_path: Path):
    """A gateway would remove the models that are missing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    known: list[Space] = []
    admissions: list[Admission] = []
    asked = asyncio.Event()
    bugs = [RuntimeError("planted")]

    def spaces() -> Sequence[Space] | None:
        asked.set()
        if bugs:
            raise bugs.pop()
        return known or None

    async with bench(control_plane) as at:
        clock = SystemClock()
        feed = GatewayFeed(
            GatewayCertificates(at.api, clock, namespace=at.namespace),
            clock,
            address=f"127.0.0.1:{port}",
            directory=tmp_path,
            environ=os.environ,
            spaces=spaces,
            admission=lambda: admissions[0] if admissions else None,
        )
        running = asyncio.create_task(feed.run())
        try:
            for _ in ("a bug, which ends nothing", "some are not known yet"):
                asked.clear()
                feed.wake()
                async with asyncio.timeout(20):
                    await asked.wait()
            await asyncio.sleep(0.2)
            assert not listens(port)
            known.append(Space(namespace="a", release=Release(), replicas=()))
            feed.wake()
            await asyncio.sleep(0.2)
            assert not listens(port), "the keys are not known yet"
            admissions.append(Admission(()))
            feed.wake()
            async with asyncio.timeout(20):
                while not listens(port):  # noqa: ASYNC110 - a server of gRPC opens it
                    await asyncio.sleep(0.05)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert feed.gateways == 0
