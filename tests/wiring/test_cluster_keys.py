"""Keys on a cluster: a real API server, the controller, and a real Envoy as the gateway, which has nothing else."""

import asyncio
import base64
import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from bateau.domain.system_names import GATEWAY_CERTIFICATES, KEYS_REQUIRED
from bateau.kit.archive import archive, compressed, files_in, members
from bateau.kit.json_value import JsonObject, array_at, is_object, object_at, text_at
from bateau.kit.secret_key import ENTROPY_BYTES, hash_of, key_of
from bateau.runtimes.kubernetes import access_of
from bateau.runtimes.kubernetes.api import Resource
from bateau.sources.git import GitReference
from bateau.sources.oci import Reference
from bateau.traffic.envoy.gateway import GatewayPlane
from bateau.wiring import gateway_feed
from bateau.wiring.bundles import pushed, reference_of
from bateau.wiring.controller import Controller
from bateau.wiring.controller_settings import ControllerSettings
from bateau.wiring.gateway import envoy_command
from bateau.wiring.packing import Packer
from bateau.wiring.question import Question
from bateau.wiring.repository import repository_of
from cluster.registries import Registry
from runtimes.kubernetes.rig import CONFIG_MAPS, Bench, eventually
from traffic.gateway import free_port
from traffic.upstream import Upstream, upstream
from wiring.test_controller import defined
from wiring.test_rights import KEYS, MODELS, POLICIES, SECRETS

SECRET: Final = key_of(bytes(range(ENTROPY_BYTES)))
OTHER: Final = key_of(bytes(ENTROPY_BYTES))
MISSING: Final = (401, "missing_api_key")
INVALID: Final = (401, "invalid_api_key")
SERVED: Final = (200, "")


class Cluster:
    """A namespace with documents, the controller of a cluster, and one gateway."""

    def __init__(self, at: Bench, provider: Upstream, folder: Path) -> None:
        self.at = at
        self.provider = provider
        self.folder = folder
        self.port, self.xds = free_port(), free_port()
        self.repository: GitReference | None = None
        self.bundle: Reference | None = None
        self.running: asyncio.Task[None] | None = None
        self.gateway: asyncio.subprocess.Process | None = None

    async def start_controller(self) -> None:
        settings = ControllerSettings(
            access=access_of([self.at.kubeconfig]),
            namespace=self.at.namespace,
            directory=Path(tempfile.mkdtemp(dir=self.folder)),
            repository=self.repository,
            bundle=self.bundle,
            into=self.at.namespace if self.repository else None,
            gateway=f"127.0.0.1:{self.xds}",
        )
        self.running = asyncio.create_task(Controller(settings).run())

    async def stop_controller(self) -> None:
        assert self.running
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def start_gateway(self) -> None:
        """Start it as its pod does; the name of the controller is another address here."""
        found: JsonObject = {}

        async def has_certificates() -> bool:
            secret = await self.at.api.get(SECRETS, self.at.namespace, GATEWAY_CERTIFICATES)
            found.update(object_at(secret, "data"))
            return bool(found)

        await eventually(has_certificates)
        certificates = self.folder / "certificates"
        certificates.mkdir(exist_ok=True)
        for name, text in found.items():
            (certificates / name).write_bytes(base64.b64decode(str(text)))
        host = f"bateau-controller.{self.at.namespace}"
        words = envoy_command(
            xds=(host, self.xds),
            certificates=certificates,
            admin=self.folder / "admin.sock",
            probes=("127.0.0.1", free_port()),
            environ=os.environ,
        )
        words = [word.replace(f'"address": "{host}"', '"address": "127.0.0.1"') for word in words]
        with (self.folder / "envoy.log").open("ab") as log:
            self.gateway = await asyncio.create_subprocess_exec(*words, stdout=log, stderr=log)

    async def kill_gateway(self) -> None:
        assert self.gateway
        self.gateway.send_signal(signal.SIGKILL)
        await self.gateway.wait()

    async def ask(self, secret: str | None = None, model: str = "far") -> tuple[int, str]:
        """Return the status of a request, and the code of its error; (0, "") if nothing listens."""
        headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
        url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        body: JsonObject = {"model": model, "messages": []}
        try:
            async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
                tree = await answer.json()
                return answer.status, tree.get("error", {}).get("code") or ""
        except aiohttp.ClientError:
            return 0, ""

    def answers(
        self, expected: tuple[int, str], secret: str | None = None, **more: str
    ) -> Callable[[], Awaitable[bool]]:
        async def asked() -> bool:
            return await self.ask(secret, **more) == expected

        return asked

    async def apply(self, name: str, secret: str = SECRET, **spec: Any) -> None:
        await self.at.api.apply(KEYS, self.key(name, secret, **spec), force=True)

    def key(self, name: str, secret: str = SECRET, **spec: Any) -> JsonObject:
        return document("Key", self.named(name), {"sha256": hash_of(secret), "hint": secret[-4:], **spec})

    def named(self, name: str) -> str:
        """Return a name that no other test has: Keys have no namespace."""
        return f"{name}-{self.at.namespace}"

    async def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        tree = await self.at.api.get(resource, namespace, name)
        await self.at.api.delete(resource, namespace, name, uid=text_at(tree, "metadata", "uid"))

    async def ready(self, name: str) -> tuple[str, str]:
        """Return reason and message of a Key's condition."""
        tree = await self.at.api.get(KEYS, "", self.named(name))
        found = [each for each in array_at(tree, "status", "conditions") if is_object(each)]
        return (text_at(found[0], "reason"), text_at(found[0], "message")) if found else ("", "")

    async def close(self) -> None:
        if self.running and not self.running.done():
            await self.stop_controller()
        if self.gateway and self.gateway.returncode is None:
            await self.kill_gateway()
        names, _ = await self.at.api.list(KEYS, lambda each: text_at(each, "metadata", "name"))
        for name in names:
            if name.endswith(self.at.namespace):
                await self.delete(KEYS, name)


def document(kind: str, name: str, spec: Mapping[str, Any], namespace: str = "") -> JsonObject:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    tree = {"apiVersion": "bateau.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": {**spec}}
    return json.loads(json.dumps(tree))


def external(provider: Upstream, name: str = "far", namespace: str = "") -> JsonObject:
    spec = {"source": f"http://{provider.endpoint().address}/v1", "engine": "external"}
    return document("Model", name, spec, namespace)


@asynccontextmanager
async def cluster(control_plane: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Cluster]:
    """Give a cluster with an external model and without a controller."""
    folder = Path(tempfile.mkdtemp(prefix="bt-"))  # short enough for a socket
    async with defined(control_plane) as at, upstream("far") as provider:
        made = Cluster(at, provider, folder)
        listening = partial(GatewayPlane, listen=("127.0.0.1", made.port))
        monkeypatch.setattr(gateway_feed, "GatewayPlane", listening)
        try:
            yield made
        finally:
            await made.close()
            shutil.rmtree(folder)


@asynccontextmanager
async def served(control_plane: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Cluster]:
    """Give a cluster whose gateway answers everybody."""
    async with cluster(control_plane, monkeypatch) as made:
        await made.at.api.apply(MODELS, external(made.provider, namespace=made.at.namespace))
        await made.start_controller()
        await made.start_gateway()
        await eventually(made.answers(SERVED))
        yield made


async def test_keys_take_effect_and_no_log_names_them(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG, "bateau")
    async with served(control_plane, monkeypatch) as made:
        await made.apply("ci", models=["fa*"], limits={"tokensPerDay": 5})
        await eventually(made.answers(MISSING))
        await eventually(made.answers(SERVED, SECRET))
        assert await made.ask(OTHER) == INVALID
        assert await made.ask(SECRET, f"{made.at.namespace}/far") == (403, "model_not_allowed")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await made.apply("ci", models=["*"])
        await eventually(made.answers(SERVED, SECRET, model=f"{made.at.namespace}/far"))
        assert loop.time() - began < 5
        await made.apply("web", OTHER)
        await eventually(made.answers(SERVED, OTHER))
        # A copy of another one's secret gets nobody in, and takes nobody's place.
        await made.apply("copy", limits={"requestsPerMinute": 1})

        async def is_refused() -> bool:
            return (await made.ready("copy"))[0] == "Refused"

        await eventually(is_refused)
        assert "is older, has the same secret" in (await made.ready("copy"))[1]
        assert [await made.ask(SECRET) for _ in range(3)] == [SERVED] * 3
        await made.delete(KEYS, made.named("web"))
        await eventually(made.answers(INVALID, OTHER))
        assert await made.ask(SECRET) == SERVED
        logs = caplog.text + (made.folder / "envoy.log").read_text()
        for word in (made.named("ci"), made.named("web"), made.named("copy"), hash_of(SECRET), SECRET, hash_of(OTHER)):
            assert word not in logs
        assert "1 keys get in" in logs


async def test_a_status_says_what_becomes_of_a_key(control_plane: Path, monkeypatch: pytest.MonkeyPatch):
    async with served(control_plane, monkeypatch) as made:
        await made.apply("ci", limits={"tokensPerDay": 5})
        expected = "requests with this key get in, but limits.tokensPerDay has no effect on clusters"

        async def is_admitted() -> bool:
            return await made.ready("ci") == ("Admitted", expected)

        await eventually(is_admitted)
        rule = {"name": "ends", "check": "has(spec.expiresAt)", "message": "'every key ends'"}
        policy = document("Policy", made.at.namespace, {"match": {"kinds": ["Key"]}, "rules": [rule]})
        await made.at.api.apply(POLICIES, policy)
        try:

            async def is_refused() -> bool:
                return "every key ends; the key stays as it was" in (await made.ready("ci"))[1]

            await eventually(is_refused)
            assert await made.ask(SECRET) == SERVED
        finally:
            await made.delete(POLICIES, made.at.namespace)
        await eventually(is_admitted)


async def test_the_gateway_stays_closed_when_the_last_key_is_gone(control_plane: Path, monkeypatch: pytest.MonkeyPatch):
    async with served(control_plane, monkeypatch) as made:
        await made.apply("ci")
        await eventually(made.answers(SERVED, SECRET))
        await eventually(lambda: made.at.api.get(CONFIG_MAPS, made.at.namespace, KEYS_REQUIRED))
        await made.stop_controller()
        assert [await made.ask(), await made.ask(SECRET)] == [MISSING, SERVED], "a gateway continues"
        await made.delete(KEYS, made.named("ci"))
        await made.kill_gateway()
        await made.start_controller()
        await made.start_gateway()
        await eventually(made.answers(INVALID, SECRET))
        assert (await made.ask())[0] == 401
        await made.apply("ci")
        await eventually(made.answers(SERVED, SECRET))
        await made.kill_gateway()
        await made.start_gateway()
        await eventually(made.answers(MISSING))
        assert await made.ask(SECRET) == SERVED
        # An administrator opens it again.
        await made.delete(KEYS, made.named("ci"))
        await eventually(made.answers(INVALID, SECRET))
        await made.delete(CONFIG_MAPS, KEYS_REQUIRED, made.at.namespace)
        await eventually(made.answers(SERVED))


async def test_a_repository_has_keys_and_a_commit_with_an_error_changes_none(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch
):
    async with cluster(control_plane, monkeypatch) as made:
        source = made.folder / "source"
        source.mkdir()

        def git(*words: str) -> None:
            author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
            subprocess.run(["git", "-C", str(source), *author, *words], check=True, capture_output=True)

        def commit(**files: str) -> None:
            for name, text in files.items():
                (source / f"{name}.yaml").write_text(text)
            git("add", ".")
            git("commit", "-m", "change")

        git("init", "-b", "main")
        commit(far=json.dumps(external(made.provider)), ci=json.dumps(made.key("ci")))
        made.repository = repository_of(f"git+file://{source}")
        await made.start_controller()
        await made.start_gateway()
        await eventually(made.answers(SERVED, SECRET))
        assert await made.ask() == MISSING
        commit(
            ci=json.dumps(made.key("ci", OTHER)),
            bad="apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: bad}\nspec: {imagine: x}\n",
        )
        await asyncio.sleep(4)  # the repository is looked at every two seconds
        assert [await made.ask(), await made.ask(SECRET)] == [MISSING, SERVED], "its models are served, too"
        # A new controller knows nothing that may be applied, and sends nothing.
        await made.stop_controller()
        await made.start_controller()
        await asyncio.sleep(4)
        assert [await made.ask(), await made.ask(SECRET)] == [MISSING, SERVED]
        git("rm", "bad.yaml")
        git("commit", "-m", "repaired")
        await eventually(made.answers(SERVED, OTHER))
        assert await made.ask(SECRET) == INVALID
        git("rm", "ci.yaml")
        git("commit", "-m", "revoked")
        await eventually(made.answers(INVALID, OTHER))


async def test_a_bundle_has_keys_and_models_for_the_gateway(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
):
    async with cluster(control_plane, monkeypatch) as made:
        source = made.folder / "source"
        source.mkdir()
        prod = {"apiVersion": "bateau.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "prod"}}

        def publish(*, old: bool = False, **documents: Mapping[str, Any]) -> None:
            for path in source.iterdir():
                path.unlink()
            for name, tree in documents.items():
                (source / f"{name}.yaml").write_text(json.dumps(tree))
            with closing(Packer(Question(directory=source, environment="prod"), cache=made.folder)) as packer:
                data = packer.bundle(packer.pack("prod"))
            if old:
                files = {name: text for name, text in files_in(data).items() if name != "gateway.json"}
                data = archive((compressed(members(files)),))
            pushed(registry.reference("live"), data, environment="prod")

        far, env = external(made.provider), {**prod, "spec": {"namespace": made.at.namespace}}
        await asyncio.to_thread(publish, far=far, ci=made.key("ci"), env=env)
        made.bundle = reference_of(registry.reference("live"), "prod")
        await made.start_controller()
        await made.start_gateway()
        await eventually(made.answers(SERVED, SECRET))
        assert await made.ask() == MISSING
        await asyncio.to_thread(publish, far=far, ci=made.key("ci", OTHER), env=env)
        await eventually(made.answers(SERVED, OTHER))
        assert await made.ask(SECRET) == INVALID
        # A bundle of an older version names no models and no keys: the gateway keeps what it has.
        await asyncio.to_thread(publish, far=far, env=env, old=True)
        await asyncio.sleep(5)  # the registry is asked every two seconds
        assert [await made.ask(), await made.ask(OTHER)] == [MISSING, SERVED]
        await asyncio.to_thread(publish, far=far, env=env)
        await eventually(made.answers(INVALID, OTHER))
