"""The controller as a process, against a real API server: documents that are stored in the cluster, and a repository.

There is no node in most of these tests, so that pods do not run: Deployments stay in progress.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bateau.domain.errors import ClusterError
from bateau.kit.json_value import JsonObject, array_at, is_object, object_at, text_at
from bateau.runtimes.kubernetes.api import Resource
from bateau.specs.crds import custom_resource_definitions
from cluster.kubectl import Kubectl
from runtimes.kubernetes.admission import admission
from runtimes.kubernetes.rig import CONFIG_MAPS, DEPLOYMENTS, Bench, bench, eventually
from wiring.cluster_specs import SHOP_ON_BERLIN

DEFINITIONS = Resource("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
APPS = Resource("/apis/bateau.dev/v1alpha1", "apps", namespaced=True)
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases", namespaced=True)
EVENTS = Resource("/apis/events.k8s.io/v1", "events", namespaced=True)


class Process:
    """A controller as its users start it."""

    def __init__(self, at: Bench, *words: str, **environ: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bateau", "controller", f"--namespace={at.namespace}",
             f"--health=127.0.0.1:{self.port}", "--dashboard=127.0.0.1:0", *words],
            env={**os.environ, "KUBECONFIG": str(at.kubeconfig), **environ},
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def ask(self, path: str) -> tuple[int, str]:
        """Return status and text of an answer; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, and return the exit code and the log."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log


@asynccontextmanager
async def controller(at: Bench, *words: str, **environ: str) -> AsyncGenerator[Process]:
    with tempfile.TemporaryDirectory() as state:
        process = Process(at, *words, **{"XDG_STATE_HOME": state, **environ})
        try:
            yield process
        finally:
            if process.process.poll() is None:
                await asyncio.to_thread(process.end)
            assert process.process.stderr is not None
            process.process.stderr.close()


@asynccontextmanager
async def defined(control_plane: Path) -> AsyncGenerator[Bench]:
    """Give a namespace in a cluster that has the definitions of Bateau."""
    async with bench(control_plane) as at:
        for each in custom_resource_definitions():
            await at.api.apply(DEFINITIONS, each)

        async def served() -> bool:
            try:
                await at.api.list(APPS, lambda each: each, namespace=at.namespace)
            except ClusterError:
                return False
            return True

        await eventually(served)
        yield at


def app(at: Bench, name: str, **spec: object) -> JsonObject:
    tree = {
        "apiVersion": "bateau.dev/v1alpha1",
        "kind": "App",
        "metadata": {"name": name, "namespace": at.namespace},
        "spec": {"image": "registry.example/web:1", "replicas": 1, **spec},
    }
    return json.loads(json.dumps(tree))


async def ready(at: Bench, name: str) -> JsonObject:
    """Return the condition Ready of an App; empty without one."""
    tree = await at.api.get(APPS, at.namespace, name)
    found = [each for each in array_at(tree, "status", "conditions") if is_object(each)]
    none: JsonObject = {}
    return next((each for each in found if text_at(each, "type") == "Ready"), none)


def has_reason(at: Bench, name: str, reason: str) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        return text_at(await ready(at, name), "reason") == reason

    return asked


def replicas(at: Bench, name: str, number: int) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        tree = await at.api.get(DEPLOYMENTS, at.namespace, name)
        return tree is not None and object_at(tree, "spec").get("replicas") == number

    return asked


async def test_documents_become_objects_and_statuses_and_nothing_changes_without_a_controller(control_plane: Path):
    async with defined(control_plane) as at:
        async with controller(at) as process:
            await at.api.apply(APPS, app(at, "web"))
            await at.api.apply(APPS, app(at, "bad", uses=["model/nope"]))
            await eventually(replicas(at, "web", 1))
            await eventually(has_reason(at, "web", "Progressing"))
            await eventually(has_reason(at, "bad", "Refused"))
            assert "there is no such Model" in text_at(await ready(at, "bad"), "message")
            assert await at.api.get(DEPLOYMENTS, at.namespace, "bad") is None

            async def has_events() -> bool:
                found, _ = await at.api.list(EVENTS, lambda each: each, namespace=at.namespace)
                told = {
                    (text_at(e, "regarding", "name"), text_at(e, "reason"), text_at(e, "type")): text_at(e, "note")
                    for e in found
                }
                # There is no node, which is told when the scheduler says so, whatever was told before.
                waits = told.get(("web", "Progressing", "Warning"), "")
                return "not scheduled" in waits and ("bad", "Refused", "Warning") in told

            await eventually(has_events)
            # As `kubectl scale` does.
            await at.api.apply(APPS, app(at, "web", replicas=3), force=True)
            await eventually(replicas(at, "web", 3))
            assert process.ask("/healthz") == (200, "ok\n")
            assert process.ask("/readyz") == (200, "ok\n")
            assert "bateau_controller_leads 1" in process.ask("/metrics")[1]
            process.process.send_signal(signal.SIGUSR1)
            code, log = process.end()
            assert code == 0
            assert "bytes" in log  # the dump of the memory
            assert "Traceback" not in log
        before = await at.api.get(DEPLOYMENTS, at.namespace, "web")
        async with controller(at) as process:
            # One that was deleted while nobody looked goes; the others are the same objects as before.
            await at.api.apply(APPS, app(at, "late"))
            await eventually(replicas(at, "late", 1))
            after = await at.api.get(DEPLOYMENTS, at.namespace, "web")
        assert before == after


async def test_what_was_deleted_without_a_controller_is_removed_and_nothing_of_others(control_plane: Path):
    async with defined(control_plane) as at:
        async with controller(at):
            await at.api.apply(APPS, app(at, "web"))
            await eventually(replicas(at, "web", 1))
            deployment = await at.api.get(DEPLOYMENTS, at.namespace, "web")
            labels = object_at(deployment, "metadata", "labels")
            copied = at.deployment("copied")
            copied["metadata"] = {**object_at(copied, "metadata"), "labels": labels}
            await at.api.create(DEPLOYMENTS, copied)
        tree = await at.api.get(APPS, at.namespace, "web")
        await at.api.delete(APPS, at.namespace, "web", uid=text_at(tree, "metadata", "uid"))
        assert await at.api.get(DEPLOYMENTS, at.namespace, "web") is not None
        async with controller(at):

            async def gone() -> bool:
                return await at.api.get(DEPLOYMENTS, at.namespace, "web") is None

            await eventually(gone)
        assert await at.api.get(DEPLOYMENTS, at.namespace, "copied") is not None


async def test_a_document_whose_object_a_webhook_denies_has_its_words_and_is_applied_when_it_relents(
    control_plane: Path,
):
    async with defined(control_plane) as at, admission(at, {"web": (403, "no webs here")}) as webhook, controller(at):
        await at.api.apply(APPS, app(at, "web"))
        await at.api.apply(APPS, app(at, "other"))
        await eventually(has_reason(at, "web", "Failed"))
        says = f'Deployment {at.namespace}/web: admission webhook "{webhook.name}" denied the request: no webs here'
        assert text_at(await ready(at, "web"), "message") == says

        async def has_event() -> bool:
            found, _ = await at.api.list(EVENTS, lambda each: text_at(each, "note"), namespace=at.namespace)
            return says in found

        await eventually(has_event)
        webhook.denied.clear()  # early: the next attempt comes after about as long as it was denied
        await eventually(replicas(at, "other", 1))
        await eventually(replicas(at, "web", 1))
        await eventually(has_reason(at, "web", "Progressing"))


async def test_of_two_controllers_one_acts_and_the_other_takes_over(control_plane: Path):
    async with defined(control_plane) as at, controller(at) as first:

        async def leads() -> bool:
            return "bateau_controller_leads 1" in first.ask("/metrics")[1]

        await eventually(leads)
        async with controller(at) as second:

            async def waits() -> bool:
                return second.ask("/readyz")[0] == 200

            await eventually(waits)
            assert "bateau_controller_leads 0" in second.ask("/metrics")[1]
            first.end()
            await at.api.apply(APPS, app(at, "web"))
            await eventually(replicas(at, "web", 1))


async def test_drift_is_repaired(control_plane: Path):
    async with defined(control_plane) as at, controller(at):
        await at.api.apply(APPS, app(at, "web", env={"MODE": "calm"}))

        async def mode(value: str) -> bool:
            return await at.data("web") == {"MODE": value}

        await eventually(lambda: mode("calm"))
        changed = await at.api.get(CONFIG_MAPS, at.namespace, "web")
        assert changed is not None
        await at.api.update(CONFIG_MAPS, {**changed, "data": {"MODE": "wild"}})
        await eventually(lambda: mode("calm"))


async def test_a_repository_is_followed_whole_or_not_at_all(control_plane: Path, tmp_path: Path):
    def git(*words: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *author, *words], check=True, capture_output=True)

    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(text)
        git("add", ".")
        git("commit", "-m", uuid.uuid4().hex)

    async with bench(control_plane) as at:
        git("init", "-b", "main")
        web = json.dumps({**app(at, "web"), "metadata": {"name": "web"}})
        write("web.yaml", web)
        url = f"git+file://{tmp_path}"
        async with controller(at, f"--repository={url}", f"--into={at.namespace}") as process:
            await eventually(replicas(at, "web", 1))
            write("bad.yaml", "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: bad}\nspec: {imagine: x}\n")
            write("web.yaml", web.replace('"replicas": 1', '"replicas": 2'))
            await asyncio.sleep(3)  # the repository is looked at every two seconds
            assert await replicas(at, "web", 1)()
            git("rm", "bad.yaml")
            git("commit", "-m", "repaired")
            await eventually(replicas(at, "web", 2))
            code, log = process.end()
        assert code == 0
        assert "bad.yaml:4:7: an App needs one of" in log


async def test_a_rollback_is_kept_by_a_controller_that_follows_the_repository(control_plane: Path, tmp_path: Path):
    def git(*words: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *author, *words], check=True, capture_output=True)

    def commit(colour: str) -> None:
        text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: colours}}\ndata: {{a: {colour}}}\n"
        (tmp_path / "objects" / "colours.yaml").write_text(text)
        git("add", ".")
        git("commit", "-m", colour)

    async with bench(control_plane) as at:

        async def bateau(*words: str) -> str:
            command = [sys.executable, "-m", "bateau", *words, "--env", "prod"]
            environ = {**os.environ, "KUBECONFIG": str(at.kubeconfig)}
            done = await asyncio.to_thread(
                subprocess.run, command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        async def colour() -> str:
            return text_at(await at.api.get(CONFIG_MAPS, at.namespace, "colours") or {}, "data", "a")

        def is_healthy_at(wanted: str, number: int) -> Callable[[], Awaitable[bool]]:
            async def asked() -> bool:
                found = json.loads(await bateau("history", "--json"))
                newest = found[0]["revision"] if found else {"id": 0, "outcome": None}
                return (await colour(), newest["id"], newest["outcome"]) == (wanted, number, "healthy")

            return asked

        async def stays(wanted: str) -> None:
            for _ in range(60):
                assert await colour() == wanted
                await asyncio.sleep(0.05)

        git("init", "-b", "main")
        context = Kubectl(at.kubeconfig)("config", "current-context").strip()
        (tmp_path / "specs.yaml").write_text(SHOP_ON_BERLIN % {"namespace": at.namespace, "context": context})
        (tmp_path / "objects").mkdir()
        commit("red")
        words = (f"--repository=git+file://{tmp_path}", "--env=prod")
        async with controller(at, *words):
            await eventually(is_healthy_at("red", 1))
            commit("green")
            await eventually(is_healthy_at("green", 2))
            await bateau("rollback", "shop")
            await stays("red")
        async with controller(at, *words):
            await eventually(is_healthy_at("red", 3))
            await stays("red")
            commit("blue")
            await eventually(is_healthy_at("blue", 4))


async def test_a_context_that_does_not_exist_is_named(control_plane: Path):
    async with bench(control_plane) as at, controller(at, "--context=no-such-context") as process:
        _, log = await asyncio.to_thread(process.process.communicate, timeout=30)
        assert process.process.returncode != 0
        assert "no-such-context" in log
        assert "Traceback" not in log
