"""The controller as a process that follows a bundle: a real registry, and a real API server."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from bateau.kit.json_value import text_at
from bateau.runtimes.kubernetes import access_of
from bateau.sources.git import parse
from bateau.wiring.applying import commit_holding, repository_of
from bateau.wiring.bundles import pushed, reference_of
from bateau.wiring.clusters import owner_label, roll_back_on
from bateau.wiring.comparing import clusters_of
from bateau.wiring.controller import Controller
from bateau.wiring.controller_settings import ControllerSettings
from bateau.wiring.delivery import rendered
from bateau.wiring.packing import Packer
from bateau.wiring.question import Question
from bateau.wiring.rolling_back import ClusterHistory
from cluster.kubectl import Kubectl
from cluster.registries import Registry
from runtimes.kubernetes.rig import CONFIG_MAPS, Bench, bench, eventually
from wiring.cluster_specs import SHOP_ON_BERLIN
from wiring.test_controller import Process, controller

MORE = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: %s}\nspec: {manifests: [objects/%s/*.yaml]}\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: %s}\n"
# A controller with a bundle needs no git and no helm.
NO_PROGRAMS = {"PATH": "/nonexistent"}


@dataclass
class Shop:
    """A clone with an app `shop`, which has a ConfigMap of a colour, and other apps; and where its bundles go."""

    at: Bench
    registry: Registry
    work: Path

    def write(self, colour: str, *others: str) -> str:
        """Commit a colour, and one app for each of the others; return the commit."""
        context = Kubectl(self.at.kubeconfig)("config", "current-context").strip()
        specs = [SHOP_ON_BERLIN % {"namespace": self.at.namespace, "context": context}]
        self._put("objects/colours.yaml", CONFIG % ("colours", colour))
        for name in others:
            self._put(f"objects/{name}/it.yaml", CONFIG % (name, "here"))
        self._put("specs.yaml", "---\n".join([*specs, *(MORE % (name, name) for name in others)]))
        if not (self.work / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", colour)
        return self.git("rev-parse", "HEAD")

    def publish(self, tag: str = "live") -> str:
        """Push the bundle of the work tree, and return its reference with the digest."""
        question = Question(directory=self.work, environment="prod")
        with closing(Packer(question, cache=self.work.parent)) as packer:
            commit = commit_holding(self.work, packer.texts, other_files=True)
            data = packer.bundle(packer.pack("prod"), commit=commit, repository=repository_of(self.work))
        return pushed(self.registry.reference(tag), data, environment="prod")

    @asynccontextmanager
    async def followed(self, directory: Path, *, bundle: str | None = None) -> AsyncGenerator[None]:
        """Follow a bundle, or the clone as a repository, with a controller in this process."""
        settings = ControllerSettings(
            access=access_of([self.at.kubeconfig]),
            namespace=self.at.namespace,
            directory=directory,
            repository=None if bundle else parse(f"git+file://{self.work}"),
            bundle=reference_of(bundle, "prod") if bundle else None,
            environment="prod",
        )
        running = asyncio.create_task(Controller(settings).run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def roll_back(self) -> None:
        """Do the same as `bateau rollback shop --env prod`."""
        question = Question(directory=self.work, environment="prod")
        (place,) = await asyncio.to_thread(clusters_of, question)
        made = await asyncio.to_thread(rendered, question)
        await roll_back_on(question, place, made, "shop", to=None, told=lambda _: None)

    def git(self, *words: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(self.work), *author, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def has(self, **data: str | None) -> Callable[[], Awaitable[bool]]:
        """Ask whether these ConfigMaps have these values; None stands for one that does not exist."""

        async def asked() -> bool:
            found = {name: await self.at.api.get(CONFIG_MAPS, self.at.namespace, name) for name in data}
            return {name: tree and text_at(tree, "data", "a") for name, tree in found.items()} == data

        return asked

    def healthy(self, *commits: str) -> Callable[[], Awaitable[bool]]:
        """Ask whether the history of the cluster has exactly these commits, and all are healthy."""
        record = ClusterHistory(self.at.api, owner_label(self.at.namespace, "prod"), self.at.namespace, "prod")

        async def asked() -> bool:
            found = (await record.read()).revisions
            return [(each.commit, each.outcome) for each in found] == [(each, "healthy") for each in commits]

        return asked

    def _put(self, name: str, text: str) -> None:
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def failures(process: Process) -> int:
    found = re.search(r'bateau_reconcile_failures_total{namespace=""} (\d+)', process.ask("/metrics")[1])
    return int(found[1]) if found else 0


async def test_a_bundle_takes_over_from_its_repository_and_a_service_less_is_pruned(
    control_plane: Path, registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(control_plane) as at:
        shop = Shop(at, registry, tmp_path / "work")
        first = shop.write("red", "more")
        shop.git("remote", "add", "origin", "git@git.example:acme/shop.git")
        async with shop.followed(tmp_path / "state"):
            await eventually(shop.healthy(first))
        before = await at.api.get(CONFIG_MAPS, at.namespace, "colours")
        async with controller(at, f"--bundle={registry.reference('live')}", "--env=prod", **NO_PROGRAMS) as process:

            async def waits() -> bool:
                return failures(process) > 0 and "not found (HTTP 404)" in process.ask("/readyz")[1]

            await eventually(waits)
            assert await shop.has(colours="red", more="here")(), "nothing is pruned while there is no bundle"
            second = shop.write("green")
            await asyncio.to_thread(shop.publish)
            await eventually(shop.has(colours="green", more=None))
            await eventually(shop.healthy(first, second))
            code, log = process.end()
        assert code == 0
        assert "Traceback" not in log
        after = await at.api.get(CONFIG_MAPS, at.namespace, "colours")
        assert text_at(before, "metadata", "uid") == text_at(after, "metadata", "uid")

        shop.write("blue")
        shop.git("remote", "set-url", "origin", "git@git.example:acme/cart.git")
        await asyncio.to_thread(shop.publish, "cart")
        async with shop.followed(tmp_path / "other", bundle=registry.reference("cart")):

            async def is_refused() -> bool:
                return "belongs to the repository git.example/acme/shop, and these specs are from" in caplog.text

            await eventually(is_refused)
        assert await shop.has(colours="green")()


async def test_a_damaged_bundle_changes_nothing_and_a_rollback_is_kept_until_the_spec_changes(
    control_plane: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(control_plane) as at:
        shop = Shop(at, registry, tmp_path / "work")
        red = shop.write("red")
        await asyncio.to_thread(shop.publish)
        async with controller(at, f"--bundle={registry.reference('live')}") as process:
            await eventually(shop.healthy(red))
            green = shop.write("green")
            await asyncio.to_thread(shop.publish)
            await eventually(shop.healthy(red, green))
            monkeypatch.setenv("KUBECONFIG", str(at.kubeconfig))
            await shop.roll_back()
            shop.write("green", "late")
            await asyncio.to_thread(shop.publish)
            await eventually(shop.has(late="here"))
            assert await shop.has(colours="red")(), "the rollback lasts"

            shop.write("blue")
            other = await asyncio.to_thread(shop.publish, "other")
            blob = registry.blob(bundle_in(registry, other))
            sound = blob.read_bytes()
            blob.write_bytes(bytes(len(sound)))
            assert (await asyncio.to_thread(shop.publish)).partition("@")[2] == other.partition("@")[2]

            async def has_failed() -> bool:
                return failures(process) > 0

            await eventually(has_failed)
            assert await shop.has(colours="red", late="here")()
            blob.write_bytes(sound)
            await eventually(shop.has(colours="blue", late=None))
            _, log = process.end()
        assert "app/shop is rolled back to revision 1, which the bundle does not have" in log
        assert "instead of the promised sha256:" in log


def bundle_in(registry: Registry, reference: str) -> str:
    """Return the digest of the layer of an artifact."""
    manifest = json.loads(registry.blob(reference.partition("@")[2]).read_bytes())
    return manifest["layers"][0]["digest"]
