"""The gateway of a cluster: a real Envoy with its own bootstrap, fed by the real plane over mutual TLS."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest

from bateau.domain.endpoint import Backend, Traffic
from bateau.kit.certificates import Issued, issue
from bateau.traffic.envoy.admin import EnvoyAdmin
from bateau.traffic.envoy.fresh_tls import Identity
from bateau.traffic.envoy.gateway import GatewayPlane
from bateau.traffic.envoy.resources import CLUSTER
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.gateway import drain, envoy_command
from traffic.gateway import WAIT_S, eventually, free_port
from traffic.upstream import Stream, Upstream, upstream
from traffic.xds_client import XdsClient

REFUSED = "/stats?filter=cluster.bateau-xds.upstream_cx_connect_fail"


def issued(days: float = 1.0) -> Issued:
    now = datetime.now(tz=UTC)
    return issue(server_names=["localhost"], client_name="gateway", now=now, lifetime=timedelta(days=days))


def identity(*made: Issued) -> Identity:
    """Return the server's side of the first one, which accepts clients of all of them."""
    authorities = b"".join(each.authority for each in made)
    return Identity(certificate=made[0].server.certificate, key=made[0].server.key, authorities=authorities)


class Installation:
    """A controller's plane and one gateway, each with its certificates."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="bt-"))
        self.port, self.xds, self.probes = free_port(), free_port(), free_port()
        self.made = issued()
        self.identity = identity(self.made)
        self.mount(self.made)
        self.plane: GatewayPlane | None = None
        self.process: asyncio.subprocess.Process | None = None

    @property
    def admin(self) -> Path:
        return self.base / "admin.sock"

    def mount(self, made: Issued) -> None:
        """Change the files as the kubelet does: a new directory, then a link that is replaced at once."""
        new = self.base / f"..{datetime.now(tz=UTC).timestamp()}"
        new.mkdir()
        (new / "ca.crt").write_bytes(made.authority)
        (new / "tls.crt").write_bytes(made.client.certificate)
        (new / "tls.key").write_bytes(made.client.key)
        link = self.base / "..data_tmp"
        link.symlink_to(new.name)
        mounted = self.base / "certificates"
        mounted.mkdir(exist_ok=True)
        (self.base / "certificates" / "..data").unlink(missing_ok=True)
        for name in ("ca.crt", "tls.crt", "tls.key"):
            if not (mounted / name).is_symlink():
                (mounted / name).symlink_to(Path("..data") / name)
        shutil.move(str(new), str(mounted / new.name))
        link.replace(mounted / "..data")

    def control(self, *, is_open: bool = True) -> GatewayPlane:
        """Start a controller's plane; the one before is as dead as its process would be.

        Unless it `is_open`, it has not been told which keys get in.
        """
        self.plane = GatewayPlane(
            binary=envoy_binary(os.environ),
            cache=self.base,
            address=f"127.0.0.1:{self.xds}",
            identity=lambda: self.identity,
            listen=("127.0.0.1", self.port),
        )
        if is_open:
            self.plane.admit(None)
        return self.plane

    async def start(self, zone: str = "") -> None:
        """Start the gateway as its pod does, on a node of a zone."""
        words = envoy_command(
            xds=("localhost", self.xds),
            certificates=self.base / "certificates",
            admin=self.admin,
            probes=("127.0.0.1", self.probes),
            environ={**os.environ, "BATEAU_ZONE": zone},
        )
        self.process = await asyncio.create_subprocess_exec(*words)

    async def ask(self, model: str, **headers: str) -> tuple[int, str]:
        """Return status and upstream of a request; 0 if nothing listens."""
        try:
            async with aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
                async with session.post(url, json={"model": model, "messages": []}, headers=headers) as answer:
                    return answer.status, (await answer.text()) if answer.status != 200 else (await answer.json())[
                        "upstream"
                    ]
        except aiohttp.ClientError:
            return 0, ""

    def beside(self, zone: str) -> XdsClient:
        """Connect as another gateway, on a node of another zone, which sends no requests."""
        client = self.made.client
        credentials = grpc.ssl_channel_credentials(self.made.authority, client.key, client.certificate)
        return XdsClient(grpc.aio.secure_channel(f"localhost:{self.xds}", credentials), f"gateway-{zone}", zone)

    async def probe(self, path: str, method: str = "GET") -> int:
        try:
            url = f"http://127.0.0.1:{self.probes}{path}"
            async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0

    async def close(self) -> None:
        if self.process and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if self.plane:
            await self.plane.close()
        shutil.rmtree(self.base)


@asynccontextmanager
async def installed() -> AsyncGenerator[tuple[Installation, Upstream]]:
    made = Installation()
    async with upstream("shop/chat-1") as pod:
        try:
            yield made, pod
        finally:
            await made.close()


def traffic(pod: Upstream) -> Traffic:
    """Return what a cluster with one model has."""
    model = Backend(
        service="model/chat.shop",
        name="shop/chat",
        protocol="openai",
        endpoints=(pod.endpoint(),),
        upstream_model="chat",
        aliases=("chat",),
    )
    return Traffic(backends=(model,))


async def serves(at: Installation, model: str = "chat") -> None:
    async def is_served() -> bool:
        return (await at.ask(model))[0] == 200

    await eventually(is_served)


async def accepted(plane: GatewayPlane) -> None:
    async def has_accepted() -> bool:
        return plane.observe().accepted

    await eventually(has_accepted)


async def test_models_are_served_by_both_names_to_any_host_without_a_controller_too():
    async with installed() as (at, pod):
        await at.start()
        plane = at.control()
        plane.publish(traffic(pod))
        await serves(at)
        assert await at.ask("shop/chat", host="bateau-gateway.bateau-system.svc") == (200, "shop/chat-1")
        assert pod.seen[-1].model == "chat"
        assert (await at.ask("nope"))[0] == 404
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{at.port}/metrics") as answer:
            assert answer.status == 404, "the control API is not behind the gateway of a cluster"
        await accepted(plane)
        assert plane.gateways == 1
        # The controller dies: the gateway continues, and the next controller finds it.
        await plane.close()
        assert (await at.ask("chat"))[0] == 200
        following = at.control()
        following.publish(traffic(pod))
        await accepted(following)
        assert (await at.ask("chat"))[0] == 200


async def test_replicas_in_the_zone_of_a_gateway_are_preferred_while_there_are_any():
    async with installed() as (at, near), upstream("shop/chat-2") as far:
        await at.start("a")
        plane = at.control()

        async def used() -> set[str]:
            return {(await at.ask("chat"))[1] for _ in range(12)}

        def endpoints(*, near_drains: bool) -> Traffic:
            found = (
                replace(near.endpoint(), zone="a", draining=near_drains),
                replace(far.endpoint(), zone="b"),
            )
            return Traffic(backends=(replace(traffic(near).backends[0], endpoints=found),))

        plane.publish(endpoints(near_drains=False))
        await serves(at)
        # All gateways are in zone a: its replica cannot have all the load.
        assert await used() == {"shop/chat-1", "shop/chat-2"}
        await accepted(plane)
        other = at.beside("b")
        await other.follow(CLUSTER)

        async def is_near() -> bool:
            return await used() == {"shop/chat-1"}

        await eventually(is_near)
        plane.publish(endpoints(near_drains=True))

        async def is_far() -> bool:
            return await used() == {"shop/chat-2"}

        await eventually(is_far)
        await other.close()


async def test_only_a_gateway_with_its_certificate_is_let_in():
    async with installed() as (at, pod):
        at.mount(issued())  # of another installation
        await at.start()
        plane = at.control()
        plane.publish(traffic(pod))

        async def was_refused() -> bool:
            return not (await EnvoyAdmin(at.admin).text(REFUSED) or ": 0\n").endswith(": 0\n")

        await eventually(was_refused)
        assert plane.gateways == 0
        assert await at.ask("chat") == (0, "")
        at.mount(at.made)
        await serves(at)


async def test_certificates_are_replaced_without_a_restart():
    async with installed() as (at, pod):
        await at.start()
        plane = at.control()
        plane.publish(traffic(pod))
        await serves(at)
        new = issued()
        # The controller first: it accepts both. Then the files of the gateway, which trust both.
        at.identity = identity(new, at.made)
        at.mount(Issued(authority=new.authority + at.made.authority, server=new.server, client=new.client))
        await asyncio.sleep(0.5)
        await plane.close()
        at.identity = identity(new)  # the authority of before is accepted no more
        following = at.control()
        following.publish(traffic(pod))
        await accepted(following)


async def test_other_pods_read_statistics_and_change_nothing():
    async with installed() as (at, pod):
        await at.start()
        at.control().publish(traffic(pod))
        await serves(at)

        async def answers() -> bool:
            return await at.probe("/ready") == 200

        await eventually(answers)
        assert await at.probe("/stats/prometheus") == 200
        assert await at.probe("/quitquitquit", "POST") == 404
        assert await at.probe("/ready", "POST") == 404
        assert await at.probe("/config_dump") == 404
        assert at.admin.stat().st_mode & 0o777 == 0o600


async def test_a_gateway_that_is_stopped_finishes_its_streams():
    async with installed() as (at, pod):
        await at.start()
        at.control().publish(traffic(pod))
        await serves(at)
        stream = Stream()
        pod.answer = stream.answer
        url = f"http://127.0.0.1:{at.port}/v1/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json={"model": "chat"}) as answer:
            await stream.begun.wait()
            assert await drain(at.admin, timeout_s=0.0) == 1
            draining = asyncio.create_task(drain(at.admin, timeout_s=WAIT_S))

            async def is_unready() -> bool:
                return await at.probe("/ready") != 200

            await eventually(is_unready)
            assert not draining.done()
            stream.send(b"data: 1\n\n")
            stream.end()
            assert await answer.read() == b"data: 1\n\n"
            assert await draining == 0


@pytest.mark.parametrize("missing", ["ca.crt", "tls.key"])
def test_without_certificates_the_reason_is_named(tmp_path: Path, missing: str):
    from bateau.domain.errors import ControlError

    for name in {"ca.crt", "tls.crt", "tls.key"} - {missing}:
        (tmp_path / name).touch()
    with pytest.raises(ControlError, match=missing):
        envoy_command(
            xds=("x", 1), certificates=tmp_path, admin=tmp_path / "a", probes=("127.0.0.1", 1), environ=os.environ
        )
