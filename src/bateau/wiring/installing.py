"""Install, upgrade and uninstall Bateau on a cluster.

Called by cli.

Invariant: uninstalling removes no document, no definition and no object of a service, unless `workloads` says so. Held
by tests/wiring/test_installing.py.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from bateau.control.installation import changes_of, units_of_installation, upgraded
from bateau.control.other_tool import OtherTool, other_tool
from bateau.control.rollout import Outcome, roll_out
from bateau.domain.change import Delivery, ObjectKey, object_name
from bateau.domain.errors import ClusterError, ControlError
from bateau.domain.system_names import CONTROLLER, CONTROLLER_CERTIFICATES, GATEWAY, GATEWAY_CERTIFICATES, LEASE
from bateau.domain.unit import Objects
from bateau.kit.json_value import JsonObject, array_at, object_at, text_at
from bateau.ports.runtime import Observed
from bateau.render.installation.objects import LOGS_OPTION, LOGS_SHOWN, Installation
from bateau.runtimes.kubernetes import ApiServer, KubernetesRuntime, access_of, kubeconfig_files
from bateau.runtimes.kubernetes.api import FIELD_MANAGER, Resource
from bateau.runtimes.kubernetes.diagnosis import reports
from bateau.runtimes.kubernetes.inventory import inventories
from bateau.runtimes.kubernetes.looking import look
from bateau.runtimes.kubernetes.present import present
from bateau.runtimes.kubernetes.removing import KEPT_KINDS, Remover
from bateau.wiring.left_over import DOCUMENTS_OF
from bateau.wiring.this_process import SystemClock

OWNER: Final = "installation"
_DEPLOYMENTS: Final = Resource("/apis/apps/v1", "deployments", namespaced=True)
_SECRETS: Final = Resource("/api/v1", "secrets", namespaced=True)
_GATEWAY_PART: Final = "bateau/gateway"
_PODS: Final = Resource("/api/v1", "pods", namespaced=True)
_PART: Final = "app.kubernetes.io/part-of=bateau"
# The objects that the controller makes in its own namespace.
_TRACES: Final = (
    (Resource("/apis/coordination.k8s.io/v1", "leases", namespaced=True), LEASE),
    (_SECRETS, CONTROLLER_CERTIFICATES),
    (_SECRETS, GATEWAY_CERTIFICATES),
)
_LOOK_S: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class Given:
    """The options of a person; None is the installed value, or else the default."""

    namespace: str | None = None
    image: str | None = None
    replicas: int | None = None
    gateway_replicas: int | None = None
    logs: str | None = None

    @property
    def is_any(self) -> bool:
        """Whether an option was given."""
        return self != Given()

    def over(self, settings: Installation) -> Installation:
        """Return the settings, with the options that were given in their place."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(settings, **given)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The settings of an installation and the effect of applying them.

    `installed`: `bateau install` has made an earlier one; `other` is the tool that has made one instead.
    """

    settings: Installation
    delivery: Delivery
    installed: bool
    other: OtherTool | None


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What an uninstallation removes: the objects of Bateau, and those of the services of each namespace.

    `namespace` is that of Bateau; None if Bateau itself is not installed.
    """

    namespace: str | None
    objects: Sequence[ObjectKey]
    workloads: Sequence[tuple[str, Sequence[ObjectKey]]]


async def proposal(context: str | None, given: Given, *, upgrade: bool = False) -> Proposal:
    """Return the settings and the effect of an installation, or of an upgrade.

    Raises ClusterError, and ControlError for an image.
    """
    async with _api(context) as api:
        namespace = await _installed_in(api)
        if namespace and given.namespace not in (None, namespace):
            raise ClusterError(
                f"{api.name}: Bateau is installed in namespace {namespace}, not in {given.namespace}",
                hint="a cluster has one installation: leave --namespace out, or run `bateau uninstall` first",
            )
        other = None if namespace else await _other(api, given)
        settings = await _settings(api, namespace or given.namespace, given)
        if other and other.namespace != settings.namespace and not upgrade:
            raise ClusterError(f"{api.name}: {other.says}", hint=other.upgrade)
        units = units_of_installation(settings)
        wanted = [each for unit in units if isinstance(unit.body, Objects) for each in unit.body.manifests]
        there = await present(api, wanted, owner=OWNER, namespace=settings.namespace)
        found = changes_of(units, there.objects, cluster=api.name)
        return Proposal(settings=settings, delivery=found, installed=namespace is not None, other=other)


async def install(
    context: str | None,
    settings: Installation,
    *,
    timeout_s: float,
    force: bool,
    told: Callable[[Observed], None],
) -> Outcome:
    """Apply an installation, and wait until it is healthy. Raises ClusterError.

    The first gateways are applied once the controller is ready, and has made their certificates: the kubelet looks for
    a missing Secret after 1 s, 2 s, 4 s, and at last every two minutes.
    """
    clock = SystemClock()
    ends_at = clock.monotonic() + timeout_s
    async with _runtime(context, OWNER, settings.namespace, force=force) as runtime:
        before = await look(runtime.api, owner=OWNER, namespace=settings.namespace)
        existing = {each.service for each in before.objects if each.service}
        units = units_of_installation(settings)
        if await runtime.api.get(_SECRETS, settings.namespace, GATEWAY_CERTIFICATES) is None:
            first = [each for each in units if each.key != _GATEWAY_PART]
            held = {_GATEWAY_PART}
            outcome = await roll_out(
                runtime, first, clock, timeout_s=timeout_s, told=told, existing=existing, held=held
            )
            if not outcome.done:
                outcome = replace(outcome, not_applied=[*outcome.not_applied, "the gateway"])
                return replace(outcome, reports=await reports(runtime.api, outcome.observed, outcome.failed))
        left_s = ends_at - clock.monotonic()
        outcome = await roll_out(runtime, units, clock, timeout_s=left_s, told=told, existing=existing)
        if outcome.done:
            return outcome
        return replace(outcome, reports=await reports(runtime.api, outcome.observed, outcome.failed))


async def removal(context: str | None) -> Removal | None:
    """Return what an uninstallation removes; None if there is nothing. Raises ClusterError.

    Raises ClusterError, too, if a controller runs that `install` has not made: it would recreate the removed objects.
    """
    async with _api(context) as api:
        namespace = await _installed_in(api)
        made = await _listed(api, OWNER, namespace) if namespace else []
        if namespace is None:
            found, _ = await api.list(_PODS, _name, selector=f"app.kubernetes.io/name={CONTROLLER}")
            if found:
                other = await _other(api, Given())
                raise ClusterError(
                    f"{api.name}: {other.says}"
                    if other
                    else f"{api.name}: pod {found[0]} runs, and `bateau install` has not created it",
                    hint=other.removal if other else "remove it with the tool that has created it",
                )
        workloads = [(each, await _listed(api, f"{DOCUMENTS_OF}.{each}", each)) for each in await _served(api)]
        if namespace is None and not workloads:
            return None
        return Removal(namespace=namespace, objects=made, workloads=workloads)


async def uninstall(
    context: str | None, chosen: Removal, *, workloads: bool, timeout_s: float
) -> tuple[dict[str, str], list[str]]:
    """Remove an installation; with `workloads`, also what the controller has made for documents.

    Returns why objects could not be removed, by their names, and the reasons of objects that stay. Raises ClusterError.
    """
    refused: dict[str, str] = {}
    stays: list[str] = []
    owners = [(OWNER, chosen.namespace)] if chosen.namespace else []
    owners += [(f"{DOCUMENTS_OF}.{each}", each) for each, _ in chosen.workloads] if workloads else []
    for owner, namespace in owners:
        async with _runtime(context, owner, namespace) as runtime:
            await runtime.adopt()
            refused |= await runtime.remove()
            left = [each for each in runtime.observe().objects if each.key[:2] not in KEPT_KINDS]
            stays += [f"{object_name(each.key)}: {each.says}" for each in left]
            if owner == OWNER:
                # While a controller lives, it recreates the objects of documents, and renews its Lease.
                refused |= await _ended(runtime.api, namespace, timeout_s)
                await _remove_traces(runtime.api, namespace)
        if refused:
            break
    return refused, stays


async def _settings(api: ApiServer, namespace: str | None, given: Given) -> Installation:
    """Return the settings: as given, else as installed, else the defaults. Raises ClusterError and ControlError."""
    start = replace(Installation(), namespace=namespace or Installation().namespace)
    controller, gateway = [await api.get(_DEPLOYMENTS, start.namespace, name) for name in (CONTROLLER, GATEWAY)]
    image = next(
        (text_at(each, "image") for each in array_at(controller, "spec", "template", "spec", "containers")), ""
    )
    installed = replace(
        start,
        image=given.image or (upgraded(image) if image else start.image),
        replicas=_replicas(controller, start.replicas),
        gateway_replicas=_replicas(gateway, start.gateway_replicas),
        logs=_logs(controller, start.logs),
    )
    return given.over(installed)


async def _other(api: ApiServer, given: Given) -> OtherTool | None:
    """Return the tool that has created a controller without `bateau install`. Raises ClusterError."""
    selector = f"app.kubernetes.io/name={CONTROLLER},{_PART}"
    found, _ = await api.list(_DEPLOYMENTS, lambda tree: tree, selector=selector)
    if not found:
        return None
    namespace = text_at(found[0], "metadata", "namespace")
    try:
        settings = await _settings(api, namespace, replace(given, namespace=None))
    except ControlError:  # the image is named by its digest
        settings = await _settings(api, namespace, replace(given, namespace=None, image="IMAGE"))
    return other_tool(found[0], settings)


def _logs(deployment: JsonObject | None, default: str) -> str:
    """Return the setting as the arguments of an installed controller have it."""
    containers = array_at(deployment, "spec", "template", "spec", "containers")
    words = [each for container in containers for each in array_at(container, "args")]
    at = words.index(LOGS_OPTION) + 1 if LOGS_OPTION in words else len(words)
    return LOGS_SHOWN if words[at : at + 1] == [LOGS_SHOWN] else default


def _replicas(deployment: JsonObject | None, default: int) -> int:
    found = object_at(deployment, "spec").get("replicas")
    return found if isinstance(found, int) else default


async def _installed_in(api: ApiServer) -> str | None:
    """Return the namespace of the installation; None if there is none. Raises ClusterError."""
    return next((namespace for owner, namespace, _ in await inventories(api) if owner == OWNER), None)


async def _served(api: ApiServer) -> list[str]:
    """Return the namespaces whose documents have objects. Raises ClusterError."""
    return [each for owner, each, _ in await inventories(api) if owner == f"{DOCUMENTS_OF}.{each}"]


async def _listed(api: ApiServer, owner: str, namespace: str) -> list[ObjectKey]:
    """Return the objects that Bateau has made for an owner, and that may be removed. Raises ClusterError."""
    made = Remover(api, owner=owner, namespace=namespace)
    await made.read()
    return sorted(key for key, each in made.listed.items() if each.uid and key[:2] not in KEPT_KINDS)


async def _ended(api: ApiServer, namespace: str, timeout_s: float) -> dict[str, str]:
    """Wait until the pods of an installation have ended; return those that have not. Raises ClusterError."""
    clock = SystemClock()
    ends_at = clock.monotonic() + timeout_s
    while True:
        pods, _ = await api.list(_PODS, _name, namespace=namespace, selector=_PART)
        if not pods or clock.monotonic() >= ends_at:
            return {f"Pod {namespace}/{each}": "it has not ended yet" for each in pods}
        await asyncio.sleep(_LOOK_S)


def _name(tree: JsonObject) -> str:
    return text_at(tree, "metadata", "name")


async def _remove_traces(api: ApiServer, namespace: str) -> None:
    """Remove what the controller has made in its own namespace. Raises ClusterError."""
    for resource, name in _TRACES:
        tree = await api.get(resource, namespace, name)
        managers = {text_at(each, "manager") for each in array_at(tree, "metadata", "managedFields")}
        if managers == {FIELD_MANAGER}:
            await api.delete(resource, namespace, name, uid=text_at(tree, "metadata", "uid"))


def _api(context: str | None) -> ApiServer:
    return ApiServer(access_of(kubeconfig_files(os.environ), context))


@asynccontextmanager
async def _runtime(
    context: str | None, owner: str, namespace: str, *, force: bool = False
) -> AsyncGenerator[KubernetesRuntime]:
    """Give a runtime that changes what others hold only with `force`: a person has seen the plan."""
    runtime = KubernetesRuntime(
        _api(context), SystemClock(), owner=owner, namespace=namespace, drift="report", force=force
    )
    try:
        yield runtime
    finally:
        await runtime.close()
