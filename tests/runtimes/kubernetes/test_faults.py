"""Bad days of a cluster, at the real API server: refusals, ends that do not come, kinds that come and go."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bateau.domain.errors import ObjectRefused
from bateau.domain.unit import Objects, Unit
from bateau.kit.backoff import Backoff
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import watching, work
from bateau.runtimes.kubernetes.api import Resource
from bateau.runtimes.kubernetes.present import present
from cluster.kubectl import Kubectl
from runtimes.kubernetes.rig import CONFIG_MAPS, NAMESPACES, Bench, eventually, settled, state_of, unit, until

_MERGE = "application/merge-patch+json"

DEFINITIONS = Resource("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
QUOTAS = Resource("/api/v1", "resourcequotas", namespaced=True)
JOBS = Resource("/apis/batch/v1", "jobs", namespaced=True)
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES = Resource(_ADMISSION, "validatingadmissionpolicies", namespaced=False)
BINDINGS = Resource(_ADMISSION, "validatingadmissionpolicybindings", namespaced=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "RETRY", Backoff(initial_s=0.2, ceiling_s=0.5))
    monkeypatch.setattr(watching, "_RETRY", Backoff(initial_s=0.2, ceiling_s=0.5))


async def _finalizers(b: Bench, name: str, *names: str) -> None:
    body: JsonObject = {"metadata": {"finalizers": [*names]}}
    await b.api.requests.json("PATCH", CONFIG_MAPS.path(b.namespace, name), body=body, form=_MERGE)


async def test_an_object_whose_finalizer_does_not_end_is_reported_and_still_known_after_a_restart(
    cluster_bench: Bench,
) -> None:
    b = cluster_bench
    async with b.runtime() as runtime:
        await settled(runtime, [unit("shop", b.config_map("shop")), unit("cart", b.config_map("cart"))])
        await _finalizers(b, "cart", "example.org/never")
        seen = runtime.observe()
        runtime.apply([unit("shop", b.config_map("shop"))])
        seen = await until(runtime, lambda seen: any(each.phase == "terminating" for each in seen.objects if each.says))
        assert state_of(seen, "cart").says == "waits for finalizer example.org/never"
        assert seen.moving == {"app/cart"}
        assert "app/shop" not in seen.failures
        before = runtime.api.requests.sent
        await until(runtime, lambda seen: not seen.failures)
        assert runtime.api.requests.sent - before <= 1, "waiting is no work"
    async with b.runtime() as runtime:
        runtime.apply([unit("shop", b.config_map("shop"))])
        seen = await until(runtime, lambda seen: any(each.phase == "terminating" for each in seen.objects if each.says))
        await _finalizers(b, "cart")
        await until(runtime, lambda seen: not seen.moving and not any(each.key[3] == "cart" for each in seen.objects))

        async def is_gone() -> bool:
            return await b.data("cart") is None

        await eventually(is_gone)


def _definition(b: Bench, *versions: str, scope: str = "Namespaced") -> JsonObject:
    """Return the definition of a kind `Thing` that only this test has; the first version is the stored one."""
    fields: JsonObject = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{b.namespace}.example.org"},
        "spec": {
            "group": f"{b.namespace}.example.org",
            "scope": scope,
            "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [
                {"name": each, "served": True, "storage": each == versions[0], "schema": {"openAPIV3Schema": fields}}
                for each in versions
            ],
        },
    }


def _thing(b: Bench, name: str, version: str = "v1", **spec: str) -> JsonObject:
    """Return a Thing that names no namespace."""
    return {
        "apiVersion": f"{b.namespace}.example.org/{version}",
        "kind": "Thing",
        "metadata": {"name": name},
        "spec": {**spec},
    }


def _things(b: Bench, version: str = "v1", *, namespaced: bool = True) -> Resource:
    return Resource(f"/apis/{b.namespace}.example.org/{version}", "things", namespaced=namespaced)


async def _drop(b: Bench, resource: Resource, name: str) -> None:
    found = await b.api.get(resource, "", name)
    await b.api.delete(resource, "", name, uid=text_at(found or {}, "metadata", "uid"))


async def test_a_kind_that_comes_later_gets_newer_and_goes_concerns_its_unit_only(cluster_bench: Bench) -> None:
    b = cluster_bench
    shop, thing = unit("shop", b.config_map("shop")), unit("thing", _thing(b, "one", "v1alpha1", a="1"))
    async with b.runtime() as runtime:
        runtime.apply([shop, thing])
        seen = await until(runtime, lambda seen: bool(seen.failures) and "app/shop" not in seen.moving)
        assert "is its CRD installed?" in seen.failures["app/thing"]
        await b.api.apply(DEFINITIONS, _definition(b, "v1alpha1"))
        await until(runtime, lambda seen: not seen.failures and not seen.moving)
        assert await b.api.get(_things(b, "v1alpha1"), b.namespace, "one") is not None, "it got the runtime's namespace"
        # An older definition does not know a field.
        runtime.apply([shop, unit("thing", {**_thing(b, "one", "v1alpha1"), "spec": {"b": "1"}})])
        seen = await until(runtime, lambda seen: bool(seen.failures))
        assert ".spec.b" in seen.failures["app/thing"]
        # A newer one no longer serves the version.
        await b.api.apply(DEFINITIONS, _definition(b, "v1", "v1alpha1"))
        runtime.apply([shop, thing])
        await until(runtime, lambda seen: not seen.failures)
        newer = _definition(b, "v1", "v1alpha1")
        newer["spec"] = {**_spec(newer), "versions": [_versions(newer)[0], {**_versions(newer)[1], "served": False}]}
        await b.api.apply(DEFINITIONS, newer)
        await eventually(lambda: _unserved(b))
        runtime.apply([shop, unit("thing", _thing(b, "one", "v1alpha1", a="2"))])
        seen = await until(runtime, lambda seen: "app/thing" in seen.failures)
        assert f"the cluster serves Thing as {b.namespace}.example.org/v1, and not as" in seen.failures["app/thing"]
        assert seen.unknown is None
        # The object is removed all the same, although the list has the former version.
        await settled(runtime, [shop])
        assert await b.api.get(_things(b), b.namespace, "one") is None
        # With the definition, all things go; nothing else does.
        await settled(runtime, [shop, unit("thing", _thing(b, "one"))])
        await _drop(b, DEFINITIONS, f"things.{b.namespace}.example.org")
        # While the server removes the definition, it refuses new objects in words of its own.
        await until(runtime, lambda seen: "is its CRD installed?" in seen.failures.get("app/thing", ""))
        seen = await settled(runtime, [shop])
        assert state_of(seen, "shop").phase == "current"


async def _unserved(b: Bench) -> bool:
    return await b.api.resource(f"{b.namespace}.example.org/v1alpha1", "Thing", again=True) is None


def _spec(tree: JsonObject) -> JsonObject:
    spec = tree["spec"]
    assert isinstance(spec, dict)
    return spec


def _versions(tree: JsonObject) -> list[JsonObject]:
    versions = _spec(tree)["versions"]
    assert isinstance(versions, list)
    return [each for each in versions if isinstance(each, dict)]


async def test_a_definition_and_its_objects_are_applied_at_once(cluster_bench: Bench) -> None:
    b = cluster_bench
    thing = _thing(b, "one")
    thing["metadata"] = {"name": "one", "namespace": b.namespace}  # the kind has no namespaces
    async with b.runtime() as runtime:
        runtime.apply([unit("things", _definition(b, "v1", scope="Cluster"), thing)])
        seen = await until(runtime, lambda seen: not seen.moving or bool(seen.failures))
        assert seen.failures == {}
        assert await b.api.get(_things(b, namespaced=False), "", "one") is not None
    await _drop(b, DEFINITIONS, f"things.{b.namespace}.example.org")


async def test_a_policy_and_a_quota_refuse_one_object_until_they_allow_it(cluster_bench: Bench) -> None:
    b = cluster_bench
    name = f"{b.namespace}-no-cart"
    rule: JsonObject = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}
    selector: JsonObject = {"matchLabels": {"kubernetes.io/metadata.name": b.namespace}}
    policy: JsonObject = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
            "validations": [{"expression": "object.metadata.name != 'cart'", "message": "no carts here"}],
        },
    }
    binding: JsonObject = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    quota: JsonObject = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": b.namespace},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    for resource, tree in ((POLICIES, policy), (BINDINGS, binding), (QUOTAS, quota)):
        await b.api.apply(resource, tree)
    units = [unit("shop", b.config_map("shop")), unit("cart", b.config_map("cart")), unit("job", _job(b))]
    try:
        await eventually(lambda: _is_denied(b, b.config_map("cart")))
        async with b.runtime() as runtime:
            runtime.apply(units)
            seen = await until(runtime, lambda seen: len(seen.failures) == 2 and "app/shop" not in seen.moving)
            assert "no carts here" in seen.failures["app/cart"]
            assert "exceeded quota: small" in seen.failures["app/job"]
            assert seen.unknown is None
            await b.api.delete(QUOTAS, b.namespace, "small", uid=await _uid(b, QUOTAS, "small"))
            for resource in (BINDINGS, POLICIES):
                await _drop(b, resource, name)
            await until(runtime, lambda seen: not seen.failures)
    finally:
        for resource in (BINDINGS, POLICIES):
            if await b.api.get(resource, "", name) is not None:
                await _drop(b, resource, name)


async def _is_denied(b: Bench, tree: JsonObject) -> bool:
    try:
        await b.api.apply(CONFIG_MAPS, tree, dry_run=True)
    except ObjectRefused:
        return True
    return False


async def _uid(b: Bench, resource: Resource, name: str) -> str:
    return text_at(await b.api.get(resource, b.namespace, name) or {}, "metadata", "uid")


def _job(b: Bench, name: str = "migrate", generated: bool = False, **labels: str) -> JsonObject:
    containers: JsonObject = {
        "containers": [{"name": "run", "image": "registry.example/run:1"}],
        "restartPolicy": "Never",
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName" if generated else "name": name, "namespace": b.namespace, "labels": {**labels}},
        "spec": {"suspend": True, "template": {"spec": {**containers, "restartPolicy": "Never"}}},
    }


async def test_a_namespace_that_ends_is_reported_and_made_again(cluster_bench: Bench) -> None:
    b = cluster_bench
    other = f"{b.namespace}-b"
    tree = b.config_map("there")
    tree["metadata"] = {"name": "there", "namespace": other}
    units = [unit("shop", b.config_map("shop")), unit("there", tree)]
    async with b.runtime() as runtime:
        await settled(runtime, units)
        holder = b.config_map("holder")
        holder["metadata"] = {"name": "holder", "namespace": other, "finalizers": ["example.org/never"]}
        await b.api.create(CONFIG_MAPS, holder)
        await _drop(b, NAMESPACES, other)
        seen = await until(runtime, lambda seen: "app/there" in seen.failures)
        assert "because it is being terminated" in seen.failures["app/there"]
        assert "app/shop" not in seen.failures
        path = CONFIG_MAPS.path(other, "holder")
        await b.api.requests.json("PATCH", path, body={"metadata": {"finalizers": []}}, form=_MERGE)
        await until(runtime, lambda seen: not seen.failures and not seen.moving)
    await _drop(b, NAMESPACES, other)


def _limited(b: Bench, folder: Path) -> Path:
    """Return the kubeconfig of an account `bateau-controller` that has rights for ConfigMaps only."""
    admin = Kubectl(b.kubeconfig, b.namespace)
    admin("create", "serviceaccount", "bateau-controller")
    admin("create", "clusterrole", b.namespace, "--resource=configmaps,pods,replicasets.apps", "--verb=*")
    account = f"--serviceaccount={b.namespace}:bateau-controller"
    admin("create", "clusterrolebinding", b.namespace, f"--clusterrole={b.namespace}", account)
    made = folder / "kubeconfig"
    made.write_bytes(b.kubeconfig.read_bytes())
    made.chmod(0o600)
    own = Kubectl(made)
    own("config", "set-credentials", "limited", f"--token={admin('create', 'token', 'bateau-controller').strip()}")
    own("config", "set-context", own("config", "current-context").strip(), "--user=limited")
    return made


async def test_a_kind_that_the_account_may_not_use_concerns_its_own_service(
    cluster_bench: Bench, tmp_path: Path
) -> None:
    b = replace(cluster_bench, kubeconfig=_limited(cluster_bench, tmp_path))
    admin = Kubectl(cluster_bench.kubeconfig, b.namespace)
    role = f"{b.namespace}-more"
    try:
        async with b.runtime() as runtime:
            runtime.apply([unit("shop", b.config_map("shop")), unit("cart", b.deployment("cart"))])
            seen = await until(
                runtime, lambda seen: "app/cart" in seen.failures and "app/shop" not in {*seen.failures, *seen.moving}
            )
            assert (seen.unknown, state_of(seen, "shop").phase) == (None, "current")
            assert 'cannot list resource "deployments"' in seen.failures["app/cart"]
            assert "the label rbac.bateau.dev/aggregate-to-controller=true" in seen.failures["app/cart"]
            assert "cannot watch" in state_of(seen, "cart").says or "cannot list" in state_of(seen, "cart").says
            admin("create", "clusterrole", role, "--resource=deployments.apps", "--verb=*")
            account = f"--serviceaccount={b.namespace}:bateau-controller"
            admin("create", "clusterrolebinding", role, f"--clusterrole={role}", account)
            await until(runtime, lambda seen: not seen.failures and not seen.moving)
    finally:
        names = [f"{kind}/{name}" for kind in ("clusterrole", "clusterrolebinding") for name in (b.namespace, role)]
        admin("delete", *names, "--ignore-not-found")


async def test_an_inventory_that_goes_with_its_namespace_is_written_again(cluster_bench: Bench) -> None:
    b = cluster_bench
    units: list[Unit] = [unit("shop", b.config_map("shop")), unit("cart", b.config_map("cart"))]
    name = f"bateau-inventory-{b.namespace}"
    async with b.runtime() as runtime:
        await settled(runtime, units)
        for each in (name, "shop"):
            await b.api.delete(CONFIG_MAPS, b.namespace, each, uid=await _uid(b, CONFIG_MAPS, each))
        await eventually(lambda: b.api.get(CONFIG_MAPS, b.namespace, name))
        await settled(runtime, units)
    async with b.runtime() as runtime:
        await settled(runtime, units[:1])
        assert await b.api.get(CONFIG_MAPS, b.namespace, "cart") is None


async def test_an_object_without_a_name_is_created_once_for_each_content(cluster_bench: Bench) -> None:
    b = cluster_bench

    async def jobs() -> list[str]:
        found, _ = await b.api.list(JOBS, lambda tree: text_at(tree, "metadata", "name"), namespace=b.namespace)
        return sorted(found)

    job = unit("shop", _job(b, "migrate-", generated=True), b.config_map("shop"))
    async with b.runtime() as runtime:
        await settled(runtime, [job])
        (first,) = await jobs()
        assert first.startswith("migrate-")
        await b.api.delete(JOBS, b.namespace, first, uid=await _uid(b, JOBS, first))
        seen = await until(runtime, lambda seen: any(each.phase == "gone" for each in seen.objects))
        assert not seen.moving
    async with b.runtime() as runtime:
        await settled(runtime, [job])
        assert await jobs() == [], "it was created for this content, and has ended"
        await settled(runtime, [unit("shop", _job(b, "migrate-", generated=True, version="2"), b.config_map("shop"))])
        (second,) = await jobs()
        assert second != first


async def test_a_job_that_the_cluster_removes_when_it_has_ended_runs_once_for_each_content(
    cluster_bench: Bench,
) -> None:
    b = cluster_bench

    def units(version: str, data: str = "") -> list[Unit]:
        """Return a Job that ends at once, because it needs no pod, and is removed then."""
        tree = _job(b, version=version)
        tree["spec"] = {**_spec(tree), "suspend": False, "completions": 0, "ttlSecondsAfterFinished": 0}
        return [unit("shop", tree, b.config_map("shop", data=data))]

    ran: list[str] = []

    async def note() -> None:
        async for event in b.api.watch(JOBS, "", namespace=b.namespace):
            if event.type == "ADDED":
                ran.append(text_at(event.object, "metadata", "labels", "version"))  # noqa: PERF401 - as they come

    async def planned(version: str) -> list[str]:
        """Return the objects that a plan would create."""
        (made,) = units(version)
        assert isinstance(made.body, Objects)
        there = await present(b.api, made.body.manifests, owner=b.namespace, namespace=b.namespace)
        found = {text_at(each, "kind") for each in there.objects}
        return [each.group_kind[1] for each in made.body.manifests if each.group_kind[1] not in found]

    noting = asyncio.create_task(note())
    assert await planned("1") == ["Job", "ConfigMap"]
    for versions in (["1"], ["1", "2"], ["2", "1"]):
        async with b.runtime() as runtime:
            for version in versions:
                await settled(runtime, units(version))
                await until(runtime, lambda seen: state_of(seen, "migrate").phase == "gone")
                assert await planned(version) == []
                await settled(runtime, units(version, data="another object of the unit is changed"))
        assert "Job" in await planned("3"), "another content runs again"
    noting.cancel()
    assert ran == ["1", "2", "1"]


async def test_a_kind_that_is_served_just_before_its_object_is_applied_is_watched(
    cluster_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = cluster_bench
    await b.api.apply(DEFINITIONS, _definition(b, "v1"))
    await eventually(lambda: b.api.resource(f"{b.namespace}.example.org/v1", "Thing"))
    async with b.runtime() as runtime:
        ask, late = runtime.api.resource, 2  # before the units are applied

        async def resource(api_version: str, kind: str, *, again: bool = False) -> Resource | None:
            nonlocal late
            if kind == "Thing" and late:
                late -= 1
                return None
            return await ask(api_version, kind, again=again)

        monkeypatch.setattr(runtime.api, "resource", resource)
        thing = _thing(b, "one", a="1")
        thing["metadata"] = {"name": "one", "namespace": b.namespace}
        seen = await settled(runtime, [unit("thing", thing)])
        assert late == 0
        assert state_of(seen, "one").phase == "unknown", "it has no status"
    await _drop(b, DEFINITIONS, f"things.{b.namespace}.example.org")
