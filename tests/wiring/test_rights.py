"""The rights of the controller, held against the audit log of a real API server.

The controller runs as its service account, with exactly the generated roles, through a typical life: documents come,
change and go, objects drift, the controller restarts, and another one follows a repository. Then the log has no
refusal, and every granted right was used.

A stand-in measures the pods: no metrics-server runs.

The API server does not stream lists (WatchList), as those before 1.34: the controller then lists and watches.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bateau.control.installation import rights
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.render.installation.objects import Installation
from bateau.runtimes.kubernetes.api import Resource
from bateau.wiring.installing import install
from cluster.fixtures import started
from cluster.gateway_api import install_gateway_api
from cluster.kubectl import Kubectl
from runtimes.kubernetes.metrics_stand_in import StandIn, metrics_stand_in
from runtimes.kubernetes.rig import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, Bench, bench, eventually
from traffic.gateway import free_port
from wiring.test_controller import APPS, app, controller, has_reason, replicas

SYSTEM = "bateau-system"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:bateau-controller"
ACCOUNTS = Resource("/api/v1", "serviceaccounts", namespaced=True)
DEVICE_CLASSES = Resource("/apis/resource.k8s.io/v1", "deviceclasses", namespaced=False)
MODELS = Resource("/apis/bateau.dev/v1alpha1", "models", namespaced=True)
SECRETS = Resource("/api/v1", "secrets", namespaced=True)
KEYS = Resource("/apis/bateau.dev/v1alpha1", "keys", namespaced=False)
POLICIES = Resource("/apis/bateau.dev/v1alpha1", "policies", namespaced=False)
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [ACCOUNT]}, {"level": "None"}],
}
MODEL: JsonObject = {
    "source": "hf://acme/chat/chat.gguf",
    "resources": {"cpu": "1"},
    "scale": {"min": 2, "max": 4},
    "accelerator": {"count": 1},
}
DEVICE_CLASS: JsonObject = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "gpu.nvidia.com"},
    "spec": {},
}
ROUTE: JsonObject = {"hostnames": ["a.example.org"], "gateway": {"className": "none"}}
POLICY: JsonObject = {
    "match": {"kinds": ["App"]},
    "rules": [{"name": "calm", "check": "true", "message": "'it is never broken'", "severity": "error"}],
}


@pytest.fixture(scope="module")
def audit_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "audit.log"


@pytest.fixture(scope="module")
def audited(audit_log: Path) -> Iterator[Path]:
    """The kubeconfig of an API server that writes an audit log of the controller's requests."""
    if "KUBECONFIG" in os.environ:
        pytest.skip("the audit log of another cluster is not known")
    policy = audit_log.with_name("policy.json")
    policy.write_text(json.dumps(AUDIT))
    words = f"--audit-policy-file={policy} --audit-log-path={audit_log} --feature-gates=WatchList=false"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_SERVER_ARGS", words)
        yield from started("audited", nodes=0, parts=["kube"])


async def installed(kubeconfig: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install without a pod of the controller, and return a kubeconfig of its service account."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    settings = Installation(replicas=0, gateway_replicas=0)
    outcome = await install(None, settings, timeout_s=60, force=False, told=lambda _: None)
    assert outcome.done, outcome
    admin = Kubectl(kubeconfig, SYSTEM)

    async def aggregated() -> bool:
        # The controller manager fills the bound role with the rules of those that it aggregates.
        return "rules" in admin.get("clusterrole", "bateau-controller")

    await eventually(aggregated)
    return admin.with_token(admin("create", "token", "bateau-controller").strip(), folder)


def document(at: Bench, kind: str, name: str, spec: JsonObject) -> JsonObject:
    metadata: JsonObject = {"name": name, **({} if kind in {"Policy", "Key"} else {"namespace": at.namespace})}
    return {"apiVersion": "bateau.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


async def remove(at: Bench, resource: Resource, name: str) -> None:
    tree = await at.api.get(resource, at.namespace, name)
    await at.api.delete(resource, at.namespace, name, uid=text_at(tree, "metadata", "uid"))


async def life_of_documents(at: Bench, system: Bench, metrics: StandIn) -> None:
    """Let documents come, change, drift and go, with a restart in between."""

    async def is_measured() -> bool:
        # The controller measures every 15 seconds, as soon as a service has a pod.
        return any(user == ACCOUNT for _, user in metrics.asked)

    async def has_gone() -> bool:
        # Accounts are removed last.
        return [await at.api.get(ACCOUNTS, at.namespace, each) for each in ("web", "rpc", "chat")] == [None] * 3

    async def is_reported() -> bool:
        return bool(object_at(await at.api.get(MODELS, at.namespace, "chat"), "status"))

    async def is_admitted() -> bool:
        return bool(object_at(await at.api.get(KEYS, "", "ci"), "status"))

    async def is_calm() -> bool:
        return text_at(await at.api.get(CONFIG_MAPS, at.namespace, "web"), "data", "MODE") == "calm"

    async with controller(system, f"--gateway=127.0.0.1:{free_port()}") as process:
        await at.api.apply(POLICIES, document(at, "Policy", "calm", POLICY))
        await at.api.apply(APPS, app(at, "web", env={"MODE": "calm"}, ports={"http": {}}, route=ROUTE))
        await at.api.apply(APPS, app(at, "rpc", ports={"rpc": {"protocol": "grpc"}}, route=ROUTE))
        await at.api.apply(APPS, app(at, "fixed", replicas=2))
        await at.api.apply(MODELS, document(at, "Model", "chat", MODEL))
        await at.api.apply(KEYS, document(at, "Key", "ci", {"sha256": "0" * 64}))
        await eventually(has_reason(at, "web", "Progressing"))
        await eventually(is_reported)
        await eventually(is_admitted)
        await eventually(is_measured)
        await remove(at, KEYS, "ci")
        await at.api.apply(APPS, app(at, "fixed", replicas=3), force=True)
        await eventually(replicas(at, "fixed", 3))
        changed = await at.api.get(CONFIG_MAPS, at.namespace, "web")
        await at.api.update(CONFIG_MAPS, {**object_at(changed), "data": {"MODE": "wild"}})
        await eventually(is_calm)
        assert await at.api.get(SECRETS, SYSTEM, "bateau-gateway-certificates") is not None
        _, log = process.end()
    assert "Traceback" not in log
    async with controller(system) as process:
        await eventually(lambda: _leads(process))
        for resource, name in ((APPS, "web"), (APPS, "rpc"), (MODELS, "chat"), (POLICIES, "calm")):
            await remove(at, resource, name)
        await eventually(has_gone)
        _, log = process.end()
    assert "Traceback" not in log


async def _leads(process: Any) -> bool:
    return "bateau_controller_leads 1" in process.ask("/metrics")[1]


async def life_of_a_repository(at: Bench, system: Bench, folder: Path) -> None:
    """Follow a repository whose services live in a namespace that does not exist yet."""
    namespace = f"r-{uuid.uuid4().hex[:10]}"

    def git(*words: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(folder), *author, *words], check=True, capture_output=True)

    git("init", "-b", "main")
    (folder / "web.yaml").write_text(json.dumps({**app(at, "web"), "metadata": {"name": "web"}}))
    git("add", ".")
    git("commit", "-m", "web")

    async def is_made() -> bool:
        return await at.api.get(DEPLOYMENTS, namespace, "web") is not None

    async with controller(system, f"--repository=git+file://{folder}", f"--into={namespace}"):
        await eventually(is_made)
    tree = await at.api.get(NAMESPACES, "", namespace)
    await at.api.delete(NAMESPACES, "", namespace, uid=text_at(tree, "metadata", "uid"))


def asked(log: Path) -> Iterator[tuple[bool, set[str], str, str, str, str]]:
    """Yield each request of the controller: whether it was refused, verbs, group, resource, namespace and name."""
    for line in log.read_text().splitlines():
        event = json.loads(line)
        of = event.get("objectRef")
        code = event.get("responseStatus", {}).get("code")
        decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
        refused = decision == "forbid" or code == 403
        if of is None:
            assert not refused, event
            continue
        resource = f"{of['resource']}/{of['subresource']}" if of.get("subresource") else of["resource"]
        # An apply of an object that does not exist needs both.
        verbs = {event["verb"], *(["create"] if (event["verb"], code) == ("patch", 201) else [])}
        yield refused, verbs, of.get("apiGroup", ""), resource, of.get("namespace", ""), of.get("name", "")


@pytest.mark.timeout(400)
async def test_the_controller_is_refused_nothing_and_uses_every_right(
    audited: Path, audit_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install_gateway_api(Kubectl(audited))
    account = await installed(audited, tmp_path, monkeypatch)
    async with bench(audited) as at:
        system = Bench(account, at.api, SYSTEM)
        await at.api.apply(DEVICE_CLASSES, DEVICE_CLASS)
        (tmp_path / "repository").mkdir()
        try:
            async with metrics_stand_in(at.api, at.namespace) as metrics:
                await life_of_documents(at, system, metrics)
            await life_of_a_repository(at, system, tmp_path / "repository")
        finally:
            # A refusal explains whatever else did not happen.
            requests = list(asked(audit_log))
            assert [each for each in requests if each[0]] == [], "the table lacks these rights"
    unused = [
        (right.group, resource, verb, name)
        for right in rights()
        for resource in right.resources
        for verb in right.verbs
        for name in right.names or ("",)
        if not any(
            verb in verbs
            and (group, kind) == (right.group, resource)
            and (not right.own_namespace or namespace == SYSTEM)
            and name in ("", of)
            for _, verbs, group, kind, namespace, of in requests
        )
    ]
    assert unused == [], "the table grants these rights, and nothing uses them"
