"""The record of the commits that a controller applies, on a real API server."""

import asyncio
import os
import subprocess
from functools import partial
from pathlib import Path

from bateau.control.reconciler import Reconciler
from bateau.runtimes.kubernetes import ApiServer, KubernetesRuntime, access_of
from bateau.runtimes.kubernetes.offers import read_offers
from bateau.sources.git import parse
from bateau.wiring.clusters import owner_label
from bateau.wiring.declaring import Declaring
from bateau.wiring.followed_history import FollowedHistory
from bateau.wiring.following import RepositorySource
from bateau.wiring.repository import FollowedRepository, following_of
from bateau.wiring.rolling_back import ClusterHistory
from bateau.wiring.this_process import SystemClock
from bateau.wiring.worker import Worker
from runtimes.kubernetes.rig import bench, eventually

APP = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: shop}\nspec: {manifests: [objects/*.yaml]}\n"
ENVIRONMENT = "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\nspec: {}\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: colours}\ndata: {a: red}\n"
# Only the API server knows which addresses it may give to Services.
REFUSED = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {clusterIP: 192.0.2.1, ports: [{port: 80}]}\n"


def commit(work: Path) -> str:
    def git(*words: str) -> str:
        command = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("add", "--all")
    git("commit", "--quiet", "--message", "m")
    return git("rev-parse", "HEAD")


def begun(work: Path) -> str:
    (work / "objects").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(work)], check=True)
    (work / "specs.yaml").write_text(f"{APP}---\n{ENVIRONMENT}")
    (work / "objects" / "colours.yaml").write_text(CONFIG)
    (work / "objects" / "service.yaml").write_text(REFUSED)
    return commit(work)


def repaired(work: Path) -> str:
    (work / "objects" / "service.yaml").unlink()
    return commit(work)


async def test_a_commit_that_the_cluster_refuses_has_failed_and_the_repaired_one_is_healthy(
    control_plane: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    first = begun(work)
    async with bench(control_plane) as at:
        owner, reference = owner_label(at.namespace, "prod"), parse(f"git+file://{work}")
        environ = dict(os.environ)
        repository = FollowedRepository(
            reference,
            cache=tmp_path / "cache",
            directory=tmp_path / "source",
            environ=environ,
            following=following_of(reference),
        )
        await repository.open()
        record, worker = ClusterHistory(at.api, owner, at.namespace, "prod"), Worker()
        source = RepositorySource(
            repository=repository,
            declaring=Declaring(worker, "1.37", partial(read_offers, at.api)),
            environment="prod",
            namespace=at.namespace,
            directory=tmp_path / "source",
        )
        history = FollowedHistory(record, source, patience_s=0.5)
        reconciler = Reconciler(
            name="test",
            texts=repository,
            declare=history.declare,
            runtime=KubernetesRuntime(
                ApiServer(access_of([at.kubeconfig])), SystemClock(), owner=owner, namespace=at.namespace
            ),
            clock=SystemClock(),
            changed=history.wake,
        )

        async def recorded() -> list[tuple[str | None, str]]:
            return [(each.commit, each.outcome) for each in (await record.read()).revisions]

        async def has_failed() -> bool:
            return await recorded() == [(first, "failed")]

        tasks = [asyncio.create_task(reconciler.run()), asyncio.create_task(history.run(reconciler))]
        try:
            await eventually(has_failed)
            (event,) = [each for each in (await record.read()).revisions[0].events if each.outcome == "failed"]
            assert "app/shop: Service shop: " in event.says.replace(f"{at.namespace}/", "")
            second = repaired(work)

            async def is_healthy() -> bool:
                return await recorded() == [(first, "failed"), (second, "healthy")]

            await eventually(is_healthy)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await reconciler.close()
            worker.close()
