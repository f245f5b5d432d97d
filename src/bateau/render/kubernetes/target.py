"""Turn one service into plain Kubernetes objects.

Called by render.release. The modules beside this one make the parts of each object.

Invariant: a service is rendered whole or not at all, and a finding reports everything that is left out. Held by
tests/render/test_kubernetes.py::test_what_cannot_be_rendered_is_said.
Refused: Ingress; it has no words for gRPC, WebSocket or long answers, and its successor has.
"""

from collections.abc import Mapping
from typing import assert_never

from bateau.domain.manifest import Manifest
from bateau.domain.system_names import GATEWAY, GATEWAY_LABEL
from bateau.domain.unit import Objects, Whereabouts
from bateau.domain.workload import (
    Command,
    Container,
    Documents,
    External,
    Limits,
    ModelServer,
    Scale,
    ServiceKey,
    VirtualMachine,
    Wasm,
    Workload,
)
from bateau.ports.target import Address, Rendering, Surroundings
from bateau.render.kubernetes.accelerator import devices_of
from bateau.render.kubernetes.environment import variables_of
from bateau.render.kubernetes.images import Server, server_of
from bateau.render.kubernetes.pod import pod_of
from bateau.render.kubernetes.routes import proxies_of, routed_door, routes_of
from bateau.render.kubernetes.shape import Door, Shape, address_of, doors_of, selector_labels
from bateau.render.marks import From, MarkedObject, MarkedOrigins, Rule, plain_object

_IDLE_SECONDS_MAX = 3600
# Of whatever namespace it is installed in: its Namespace has this label.
_GATEWAY: MarkedObject = {
    "namespaceSelector": Rule({"matchLabels": {GATEWAY_LABEL: "true"}}, "the gateway serves every model"),
    "podSelector": Rule({"matchLabels": {"app.kubernetes.io/name": GATEWAY}}, "the gateway serves every model"),
}
_FIELD_OF = {Command: "command", Wasm: "wasm", VirtualMachine: "vm", Documents: "manifests"}


class Kubernetes:
    """The objects of a service: Deployment, Service and those that they need."""

    name = "kubernetes"

    def address(self, workload: Workload, where: Whereabouts) -> Address | None:
        """Return the URL of the Service, or of a model that runs elsewhere."""
        return address_of(workload, where.namespace)

    def render(self, workload: Workload, around: Surroundings) -> Rendering:
        """Return the objects of `workload`, and a finding for everything that they cannot express."""
        shape = Shape(workload, around)
        server: Server | None = None
        runs = workload.runs
        match runs:
            case ModelServer():
                found = server_of(workload, runs)
                if isinstance(found, str):
                    shape.say(f"not rendered: {found}", "spec.source", verdict="error")
                    return Rendering(findings=tuple(shape.findings))
                server = found
                if runs.cache_claim and server.mounted:
                    shape.say("not rendered: spec.cache; the nodes keep the image of the model", "spec.cache")
            case Container():
                pass
            case External():
                shape.say("not rendered: the model runs elsewhere; apps that use it get its URL", "spec.engine")
                return Rendering(findings=tuple(shape.findings))
            case Command() | Wasm() | VirtualMachine() | Documents():
                field = _FIELD_OF[type(runs)]
                shape.say(f"not rendered: the app runs spec.{field}, and this target needs spec.image", f"spec.{field}")
                return Rendering(findings=tuple(shape.findings))
            case _:
                assert_never(runs)
        shape.check_labels()
        _say_left_out(shape)
        trees = _objects(shape, server)
        manifests = tuple(
            Manifest(
                service=workload.key, target=self.name, tree=plain_object(tree), origins=MarkedOrigins(tree, workload)
            )
            for tree in trees
        )
        return Rendering(body=Objects(manifests=manifests), findings=tuple(shape.findings))


def _objects(shape: Shape, server: Server | None) -> list[MarkedObject]:
    doors = doors_of(shape.service)
    shape.numbers = {door.key: str(door.number.value) for door in doors}
    shape.check_doors(doors)
    variables = variables_of(shape, doors)
    scale = _scale_of(shape)
    routed = routed_door(shape, doors)
    devices = devices_of(shape)
    made = [
        shape.document("v1", "ServiceAccount", {"automountServiceAccountToken": Rule(False, "secure by default")}),
        _network_policy(shape, doors, routed=routed is not None),
        *devices.objects,
    ]
    annotations: MarkedObject = {**devices.annotations}
    if variables.plain:
        made.append(shape.document("v1", "ConfigMap", {"data": variables.plain}))
        digest = Rule(variables.digest, "pods restart when the ConfigMap changes")
        annotations["bateau.dev/config"] = digest
    if shape.service.restarted_at:
        when = Rule(shape.service.restarted_at, "the service was restarted")
        annotations["kubectl.kubernetes.io/restartedAt"] = when
    labels = {**shape.labels(), **devices.labels}
    metadata: MarkedObject = {"labels": labels, **({"annotations": annotations} if annotations else {})}
    replicas = _replicas(shape)
    deployment: MarkedObject = {} if scale else {"replicas": replicas}
    deployment |= {
        "selector": {"matchLabels": shape.selector()},
        "strategy": Rule(
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}, "no replica leaves early"
        ),
        "progressDeadlineSeconds": From(
            max(600, int(shape.service.health.start_timeout) * 2),
            "spec.health.startTimeout",
            "twice, at least 600",
        ),
        "template": {"metadata": metadata, "spec": pod_of(shape, doors, variables, server, devices=devices)},
    }
    made.append(shape.document("apps/v1", "Deployment", {"spec": deployment}, annotated=True))
    if doors:
        made.append(_service(shape, doors))
    if scale:
        made.append(_autoscaler(shape, scale))
    if (scale.min if scale else replicas.value) > 1:
        rest = {"maxUnavailable": Rule(1, "one replica at a time"), "selector": {"matchLabels": shape.selector()}}
        made.append(shape.document("policy/v1", "PodDisruptionBudget", {"spec": rest}))
    if routed and shape.service.route:
        made += routes_of(shape, routed, shape.service.route)
    return made


def _service(shape: Shape, doors: list[Door]) -> MarkedObject:
    ports: list[MarkedObject] = []
    for door in doors:
        port: MarkedObject = {"name": door.name, "port": door.number, "targetPort": door.number}
        if door.app_protocol:
            port["appProtocol"] = Rule(door.app_protocol, f"protocol of port {door.key}")
        ports.append(port)
    return shape.document("v1", "Service", {"spec": {"selector": shape.selector(), "ports": ports}})


def _network_policy(shape: Shape, doors: list[Door], *, routed: bool) -> MarkedObject:
    """Admit the services that use this one, the gateway if it is a model, the proxies of its route, and nobody else."""
    users = shape.around.users
    gateway = isinstance(shape.service.runs, ModelServer)
    spec: MarkedObject = {
        "podSelector": {"matchLabels": shape.selector()},
        "policyTypes": Rule(["Ingress"], "who may call it is what `uses` says"),
    }
    if (users or gateway or routed) and doors:
        peers = [_peer(shape, user, namespace) for user, namespace in users.items()]
        if gateway:
            peers.append(_GATEWAY)
        if routed and shape.service.route:
            peers.append(proxies_of(shape, shape.service.route))
        ports: list[MarkedObject] = [
            # The default, written: the API server adds it to the list, which would then differ from what is asked.
            {"port": door.number, "protocol": Rule("TCP", "every port speaks it")}
            for door in doors
        ]
        spec["ingress"] = [{"from": peers, "ports": [*ports]}]
    return shape.document("networking.k8s.io/v1", "NetworkPolicy", {"spec": spec})


def _peer(shape: Shape, user: ServiceKey, namespace: str) -> MarkedObject:
    """Return the pods of a service that uses this one, also where they are in another namespace."""
    pods = Rule({"matchLabels": selector_labels(user)}, f"{user} uses it")
    if namespace == shape.around.namespace:
        return {"podSelector": pods}
    # Kubernetes labels every namespace with its name.
    labels = Rule({"matchLabels": {"kubernetes.io/metadata.name": namespace}}, f"namespace of {user}")
    return {"namespaceSelector": labels, "podSelector": pods}


def _scale_of(shape: Shape) -> Scale | None:
    """Return the bounds an autoscaler can keep, or None where there is none."""
    scale = shape.service.scale
    if scale is None:
        return None
    if scale.min == 0:
        shape.say("not rendered: spec.scale.min 0; a HorizontalPodAutoscaler keeps at least 1", "spec.scale.min")
    if scale.min > scale.max:
        shape.say(f"spec.scale.min is {scale.min}, more than spec.scale.max {scale.max}", "spec.scale", verdict="error")
    if scale.queue is not None:
        shape.say("not rendered: spec.scale.queue; Kubernetes queues no requests", "spec.scale.queue")
    if scale.max <= max(scale.min, 1):
        return None
    if not shape.service.resources.cpu:
        shape.say("scaling follows CPU, and spec.resources.cpu says of how much", "spec.scale")
    return scale


def _replicas(shape: Shape) -> From[int]:
    """Return how many there are where nothing scales them: with bounds that are one number, that number."""
    spec = shape.service
    scale = spec.scale
    if scale is None or scale.max > max(scale.min, 1):
        return From(spec.replicas, "spec.replicas")
    return From(max(scale.min, 1), "spec.scale.min", "at least 1" if scale.min < 1 else None)


def _autoscaler(shape: Shape, scale: Scale) -> MarkedObject:
    idle = min(shape.seconds(scale.idle_after, "spec.scale.idleAfter").value, _IDLE_SECONDS_MAX)
    target = {
        "apiVersion": Rule("apps/v1", "the Deployment beside it"),
        "kind": Rule("Deployment", "the Deployment beside it"),
        "name": From(shape.service.name, "metadata.name"),
    }
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }
    spec = {
        "scaleTargetRef": target,
        "minReplicas": From(max(scale.min, 1), "spec.scale.min", "at least 1" if scale.min < 1 else None),
        "maxReplicas": From(scale.max, "spec.scale.max"),
        "metrics": Rule([metric], "CPU in use"),
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": From(idle, "spec.scale.idleAfter")}},
    }
    return shape.document("autoscaling/v2", "HorizontalPodAutoscaler", {"spec": spec})


def _say_left_out(shape: Shape) -> None:
    """Say which fields plain Kubernetes has no word for."""
    runs, service = shape.service.runs, shape.service
    if isinstance(runs, Container) and runs.working_directory:
        shape.say("not rendered: spec.workingDirectory; the image says where it runs", "spec.workingDirectory")
    if service.restart != "always":
        says = "not rendered: spec.restart; a Deployment starts it again and again. Bring a Job as spec.manifests"
        shape.say(says, "spec.restart", verdict="error")
    if service.stop_signal != "SIGTERM":
        shape.say("not rendered: spec.stopSignal; the image says with which signal it is stopped", "spec.stopSignal")
    for name, wanted in _of_gateway(service).items():
        if wanted:
            shape.say(f"not rendered: spec.{name}; the gateway of a controller acts on it", f"spec.{name}")
    for name, wanted in _of_machine(service).items():
        if wanted:
            shape.say(f"not rendered: spec.{name}; it works on one machine only", f"spec.{name}")
    if service.rollout is not None and (service.rollout.strategy != "rolling" or service.rollout.judge):
        shape.say("not rendered: spec.rollout; a Deployment only rolls, and judges by its probes", "spec.rollout")


def _of_gateway(service: Workload) -> Mapping[str, object]:
    limits = service.limits or Limits()
    return {
        "limits.requestsPerMinute": limits.requests_per_minute,
        "limits.perKey.requestsPerMinute": limits.per_key.requests_per_minute,
        "fallback": service.routing.fallback,
        "split": service.routing.split,
        "timeout": service.routing.timeout_s,
    }


def _of_machine(service: Workload) -> Mapping[str, object]:
    limits = service.limits or Limits()
    return {
        "limits.tokensPerMinute": limits.tokens_per_minute,
        "limits.perKey.tokensPerMinute": limits.per_key.tokens_per_minute,
        "costs": service.costs,
    }
