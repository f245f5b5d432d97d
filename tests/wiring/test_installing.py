"""Install, upgrade and uninstall against a real API server. Without a node, so the controller has no replica.

A controller that acts is started as a process; tests/cluster/test_install.py runs it in a pod.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bateau import __version__
from bateau.cli.group import bateau
from bateau.control.installation import parts_of
from bateau.domain.errors import ClusterError, ControlError
from bateau.domain.system_names import CONTROLLER
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.ports.runtime import Observed
from bateau.render.installation.objects import Installation
from bateau.runtimes.kubernetes.api import Resource
from bateau.wiring.installing import Given, install, proposal, removal, uninstall
from cluster.kubectl import Kubectl
from runtimes.kubernetes.rig import DEPLOYMENTS, Bench, bench, eventually
from wiring.test_controller import APPS, DEFINITIONS, app, controller, replicas

ROLES = Resource("/apis/rbac.authorization.k8s.io/v1", "clusterroles", namespaced=False)
SECRETS = Resource("/api/v1", "secrets", namespaced=True)
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases", namespaced=True)


async def installed(namespace: str, image: str = Installation().image) -> None:
    settings = Installation(namespace=namespace, image=image, replicas=0, gateway_replicas=0)
    outcome = await install(None, settings, timeout_s=60, force=False, told=lambda _: None)
    assert outcome.done, outcome


async def uninstalled(*, workloads: bool = False) -> tuple[dict[str, str], list[str]]:
    found = await removal(None)
    assert found is not None
    return await uninstall(None, found, workloads=workloads, timeout_s=30)


@asynccontextmanager
async def place(control_plane: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bench]:
    """Give a namespace for an installation, and remove the installation at the end."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane))
    async with bench(control_plane) as at:
        try:
            yield at
        finally:
            if found := await removal(None):
                await uninstall(None, found, workloads=True, timeout_s=30)


async def uid(at: Bench, resource: Resource, name: str) -> str:
    return text_at(await at.api.get(resource, at.namespace, name), "metadata", "uid")


async def test_services_survive_an_uninstallation_are_adopted_and_go_on_request_only(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch
):
    async with place(control_plane, monkeypatch) as at:
        await installed(at.namespace)
        async with controller(at):
            await at.api.apply(APPS, app(at, "web"))
            await eventually(replicas(at, "web", 1))
        names = ((APPS, "web"), (DEPLOYMENTS, "web"), (DEFINITIONS, "apps.bateau.dev"))
        before = [await uid(at, *each) for each in names]
        assert await at.api.get(LEASES, at.namespace, "bateau-controller") is not None
        await at.api.create(SECRETS, {"metadata": {"name": "by-hand", "namespace": at.namespace}})
        assert await uninstalled() == ({}, [])
        for resource, name in (
            (DEPLOYMENTS, "bateau-controller"),
            (ROLES, "bateau-controller"),
            (LEASES, "bateau-controller"),
        ):
            assert await at.api.get(resource, at.namespace, name) is None
        assert await at.api.get(SECRETS, at.namespace, "by-hand") is not None
        assert [await uid(at, *each) for each in names] == before
        await installed(at.namespace)
        async with controller(at):
            await at.api.apply(APPS, app(at, "web", replicas=2), force=True)
            await eventually(replicas(at, "web", 2))
        assert [await uid(at, *each) for each in names] == before
        # Later, on request, the workloads go as well; documents and the objects of others never do.
        await at.api.apply(DEPLOYMENTS, at.deployment("by-hand"))
        await uninstalled()
        found = await removal(None)
        assert found is not None
        assert (found.namespace, found.objects) == (None, [])
        assert ("apps", "Deployment", at.namespace, "web") in dict(found.workloads)[at.namespace]
        await uninstalled(workloads=True)
        assert await at.api.get(DEPLOYMENTS, at.namespace, "web") is None
        assert await at.api.get(DEPLOYMENTS, at.namespace, "by-hand") is not None
        assert await at.api.get(APPS, at.namespace, "web") is not None
        found = await removal(None)
        assert found is None or at.namespace not in dict(found.workloads)


async def test_the_first_gateways_wait_for_the_controller_that_makes_their_certificates(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without the Secret, the kubelet tries to mount it at longer and longer intervals, of up to two minutes."""
    async with place(control_plane, monkeypatch) as at:
        waits = asyncio.Event()

        def told(seen: Observed) -> None:
            if any("not scheduled" in (each.reason or "") for each in seen.replicas):
                waits.set()

        settings = Installation(namespace=at.namespace, replicas=1, gateway_replicas=1)
        installing = asyncio.create_task(install(None, settings, timeout_s=60, force=False, told=told))
        async with asyncio.timeout(50):
            await waits.wait()
        assert await at.api.get(DEPLOYMENTS, at.namespace, "bateau-controller") is not None
        assert await at.api.get(DEPLOYMENTS, at.namespace, "bateau-gateway") is None
        installing.cancel()
        await asyncio.gather(installing, return_exceptions=True)


async def test_an_upgrade_keeps_the_settings_and_shows_what_changes(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch
):
    async with place(control_plane, monkeypatch) as at:
        first = await proposal(None, Given(namespace=at.namespace))
        assert not first.installed
        assert {each.act for each in first.delivery.changes} <= {"create", "change"}
        await installed(at.namespace, "registry.example:5000/bateau:0.0.1")
        found = await proposal(None, Given())
        assert found.installed
        assert found.settings == Installation(
            namespace=at.namespace,
            image=f"registry.example:5000/bateau:{__version__}",
            replicas=0,
            gateway_replicas=0,
        )
        changes = found.delivery.changes
        assert {each.key[3] for each in changes} == {"bateau-controller", "bateau-gateway"}
        fields = {each.path for change in changes for each in change.fields}
        assert fields == {"spec.template.spec.containers[0].image"}
        same = await proposal(None, Given(image="registry.example:5000/bateau:0.0.1"))
        assert not same.delivery.pending
        with pytest.raises(ClusterError, match=f"is installed in namespace {at.namespace}"):
            await proposal(None, Given(namespace="bateau-system"))
        await installed(at.namespace, "registry.example/bateau@sha256:0123")
        with pytest.raises(ControlError, match="named by its digest"):
            await proposal(None, Given())


async def test_an_object_that_this_version_no_longer_has_is_removed(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch
):
    from bateau.control import installation

    def more(settings: Installation) -> dict[str, list[object]]:
        old = at.config_map("old", a="b")
        return {**parts(settings), "old": [old]}  # type: ignore[dict-item]

    parts = installation.parts_of
    async with place(control_plane, monkeypatch) as at:
        with monkeypatch.context() as patch:
            patch.setattr(installation, "parts_of", more)
            await installed(at.namespace)
        assert await at.data("old") == {"a": "b"}
        found = await proposal(None, Given())
        assert [(each.act, each.key[3]) for each in found.delivery.changes] == [("remove", "old")]
        assert not found.delivery.wrong
        await installed(at.namespace)
        assert await at.data("old") is None


async def test_a_field_that_another_tool_manages_is_not_taken_over(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch
):
    async with place(control_plane, monkeypatch) as at:
        await installed(at.namespace)
        kubectl = Kubectl(control_plane, at.namespace)
        kubectl("set", "image", "deployment/bateau-controller", "controller=registry.example/mine:1")
        settings = Installation(namespace=at.namespace, replicas=0, gateway_replicas=0)
        outcome = await install(None, settings, timeout_s=2, force=False, told=lambda _: None)
        assert "conflict with" in outcome.failed["bateau/controller"]
        outcome = await install(None, settings, timeout_s=60, force=True, told=lambda _: None)
        assert outcome.done


async def test_what_helm_has_installed_is_upgraded_by_helm(control_plane: Path, monkeypatch: pytest.MonkeyPatch):
    async with place(control_plane, monkeypatch) as at:
        (tree,) = (
            each
            for each in parts_of(Installation(namespace=at.namespace, replicas=0))["controller"]
            if each["kind"] == "Deployment"
        )
        notes: JsonObject = {"meta.helm.sh/release-name": "own", "meta.helm.sh/release-namespace": at.namespace}
        await at.api.create(DEPLOYMENTS, {**tree, "metadata": {**object_at(tree, "metadata"), "annotations": notes}})
        done = await asyncio.to_thread(run, "upgrade", "--yes")
        assert done.return_value == 3
        assert f"Bateau is installed in namespace {at.namespace} by Helm (release own)" in done.output
        assert f"helm upgrade own ./chart --namespace {at.namespace} --reset-then-reuse-values" in done.output
        # A second installation would share the rights and the definitions of the first one.
        with pytest.raises(ClusterError, match=r"by Helm \(release own\)"):
            await proposal(None, Given())
        await at.api.delete(DEPLOYMENTS, at.namespace, CONTROLLER, uid=await uid(at, DEPLOYMENTS, CONTROLLER))


def run(*words: str) -> Result:
    return CliRunner().invoke(bateau, words, standalone_mode=False)


def test_the_commands_show_the_plan_and_change_nothing_without_consent(
    control_plane: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KUBECONFIG", str(control_plane))
    namespace = "never-made"
    done = run("install", "--namespace", namespace)
    assert f"+ Deployment {namespace}/bateau-controller" in done.output
    assert "confirmation needs a terminal" in done.output
    assert done.return_value == 2
    assert run("install", "--namespace", namespace, "--dry-run").return_value == 0
    done = run("upgrade", "--yes")
    assert "use `bateau install`" in done.output
    assert done.return_value == 3
    assert Kubectl(control_plane).run("get", "namespace", namespace).returncode != 0


def test_a_chart_is_not_written_over_other_files(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Exception, match="has other files than a chart"):
        CliRunner().invoke(bateau, ["install", "--helm", str(tmp_path)], standalone_mode=False, catch_exceptions=False)
    chart = tmp_path / "chart"
    assert run("install", "--helm", str(chart)).return_value == 0
    assert run("install", "--helm", str(chart)).return_value == 0
    assert (chart / "templates/controller.yaml").exists()
