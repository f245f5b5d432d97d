"""The objects of Bateau itself on a cluster: the controller with its rights, and the gateway.

Called by cli.controller, cli.install, control.installation, control.other_tool, render.installation.chart and
wiring.installing. Pure. The definitions of the kinds come from specs.

Invariant: the namespace enforces the Pod Security Standard `restricted`, and the pods pass it. Held by
tests/cluster/test_install.py.
Invariant: only namespaces that an administrator has labelled reach the gateway. Held by
tests/render/test_installation.py.
Invariant: two installations with the same settings are the same bytes. Held by tests/render/test_installation.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bateau.domain.system_names import (
    AGGREGATE,
    ALERTS,
    CHANNEL_PORT,
    CONTROLLER,
    GATEWAY,
    GATEWAY_CERTIFICATES,
    GATEWAY_CLIENT_LABEL,
    GATEWAY_LABEL,
    GATEWAY_PORT,
    GATEWAY_PROBES_PORT,
    HEALTH_PORT,
    NAMESPACE,
    ZONE_LABEL,
)
from bateau.kit.json_value import Json, JsonObject
from bateau.render.installation.rights import LOGS, Right, rules
from bateau.render.kubernetes.images import OWN_IMAGE

CONTROLLER_REPLICAS: Final = 1
GATEWAY_REPLICAS: Final = 2
LOGS_OPTION: Final = "--logs"
LOGS_SHOWN: Final = "shown"
LOGS_HIDDEN: Final = "hidden"
_DRAIN_S: Final = 300  # the longest answer that a gateway's pod finishes before it ends
_END_S: Final = 10
# The listeners open once the controller has sent the configuration: a gateway may have to wait for the controller.
_LISTENS_WITHIN_S: Final = 300
_CERTIFICATES: Final = "/certificates"
_NAME: Final = "app.kubernetes.io/name"
_PART_OF: Final[JsonObject] = {"app.kubernetes.io/part-of": "bateau"}
_USER: Final = 65532
_RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The settings of an installation. `replicas` are those of the controller, which wait for each other's Lease.

    `logs` is "shown" or "hidden": whether the controller's dashboard shows the logs of replicas, and may read them.
    """

    namespace: str = NAMESPACE
    image: str = OWN_IMAGE
    replicas: int = CONTROLLER_REPLICAS
    gateway_replicas: int = GATEWAY_REPLICAS
    logs: str = LOGS_HIDDEN


def namespace_of(settings: Installation) -> JsonObject:
    """Return the namespace. Admission refuses every pod in it that has more rights than `restricted` allows."""
    labels: JsonObject = {
        "app.kubernetes.io/managed-by": "bateau",
        "pod-security.kubernetes.io/enforce": "restricted",
        GATEWAY_LABEL: "true",
    }
    metadata: JsonObject = {"name": settings.namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def controller_objects(settings: Installation, rights: Sequence[Right]) -> list[JsonObject]:
    """Return the controller with its account and rights."""
    at = settings.namespace
    subject: JsonObject = {"kind": "ServiceAccount", "name": CONTROLLER, "namespace": at}
    channel = f"0.0.0.0:{CHANNEL_PORT}"
    arguments = ["controller", "--namespace", at, "--health", f"0.0.0.0:{HEALTH_PORT}", "--gateway", channel]
    arguments += [LOGS_OPTION, settings.logs]
    container: JsonObject = {
        "name": "controller",
        "image": settings.image,
        "args": [*arguments],
        # The receivers of alerts: their addresses are secrets, which must not be in arguments.
        "envFrom": [{"secretRef": {"name": ALERTS, "optional": True}}],
        "ports": [
            {"name": "metrics", "containerPort": HEALTH_PORT},
            {"name": "grpc-xds", "containerPort": CHANNEL_PORT},
        ],
        "livenessProbe": _get("/healthz", HEALTH_PORT, every_s=10),
        "readinessProbe": _get("/readyz", HEALTH_PORT, every_s=5),
        "resources": _resources({"cpu": "50m", "memory": "128Mi"}, {"cpu": "1", "memory": "512Mi"}),
    }
    pod = _pod(CONTROLLER, container, token=True)
    ports: list[Json] = [_port("metrics", HEALTH_PORT), _port("grpc-xds", CHANNEL_PORT)]
    return [
        _account(CONTROLLER, at),
        _object(f"{_RBAC}/v1", "ClusterRole", CONTROLLER, aggregationRule={
            "clusterRoleSelectors": [{"matchLabels": {AGGREGATE: "true"}}]
        }),
        _object(
            f"{_RBAC}/v1", "ClusterRole", f"{CONTROLLER}-base", labels={AGGREGATE: "true"},
            rules=rules(rights, own_namespace=False),
        ),
        _object(f"{_RBAC}/v1", "ClusterRoleBinding", CONTROLLER) | _binding("ClusterRole", subject),
        _object(f"{_RBAC}/v1", "Role", CONTROLLER, at, rules=rules(rights, own_namespace=True)),
        _object(f"{_RBAC}/v1", "RoleBinding", CONTROLLER, at) | _binding("Role", subject),
        _object("v1", "Service", CONTROLLER, at, spec={"selector": _labels(CONTROLLER), "ports": ports}),
        _deployment(CONTROLLER, at, settings.replicas, pod),
        _admitting(CONTROLLER, at, [
            {"ports": [{"port": HEALTH_PORT}]},
            {"from": [{"podSelector": {"matchLabels": _labels(GATEWAY)}}], "ports": [{"port": CHANNEL_PORT}]},
        ]),
    ]  # fmt: skip


def log_objects() -> list[JsonObject]:
    """Return the role with which the controller may read the logs of all pods."""
    labels: JsonObject = {AGGREGATE: "true"}
    name = f"{CONTROLLER}-logs"
    return [_object(f"{_RBAC}/v1", "ClusterRole", name, labels=labels, rules=rules([LOGS], own_namespace=False))]


def gateway_objects(settings: Installation) -> list[JsonObject]:
    """Return the gateway: Envoy in front of the models, without any right on the cluster."""
    at = settings.namespace
    container: JsonObject = {
        "name": "gateway",
        "image": settings.image,
        "args": ["gateway", "--xds", f"{CONTROLLER}.{at}.svc:{CHANNEL_PORT}", "--certificates", _CERTIFICATES],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            # Empty where there are no zones, and before Kubernetes 1.35.
            {"name": "BATEAU_ZONE", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{ZONE_LABEL}']"}}},
        ],
        "ports": [
            {"name": "http", "containerPort": GATEWAY_PORT},
            {"name": "metrics", "containerPort": GATEWAY_PROBES_PORT},
        ],
        "readinessProbe": _get("/ready", GATEWAY_PROBES_PORT, every_s=2),
        "livenessProbe": {
            "tcpSocket": {"port": GATEWAY_PROBES_PORT},
            "periodSeconds": 10,
            "failureThreshold": _LISTENS_WITHIN_S // 10,
        },
        "lifecycle": {"preStop": {"exec": {"command": ["bateau", "gateway", "--drain", str(_DRAIN_S)]}}},
        "resources": _resources({"cpu": "100m", "memory": "128Mi"}, {"memory": "1Gi"}),
    }
    certificates: JsonObject = {"name": "certificates", "secret": {"secretName": GATEWAY_CERTIFICATES}}
    pod = _pod(GATEWAY, container, token=False, mounts={_CERTIFICATES: certificates})
    pod["terminationGracePeriodSeconds"] = _DRAIN_S + _END_S
    pod["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": _labels(GATEWAY)},
        }
        for key in (ZONE_LABEL, "kubernetes.io/hostname")
    ]
    ports: list[Json] = [_port("http", 80, to=GATEWAY_PORT)]
    clients: JsonObject = {"namespaceSelector": {"matchLabels": {GATEWAY_CLIENT_LABEL: "true"}}}
    return [
        _account(GATEWAY, at),
        _object("v1", "Service", GATEWAY, at, spec={"selector": _labels(GATEWAY), "ports": ports}),
        _deployment(GATEWAY, at, settings.gateway_replicas, pod),
        _object("policy/v1", "PodDisruptionBudget", GATEWAY, at, spec={
            "maxUnavailable": 1, "selector": {"matchLabels": _labels(GATEWAY)}
        }),
        _admitting(GATEWAY, at, [
            {"from": [clients], "ports": [{"port": GATEWAY_PORT}]},
            {"ports": [{"port": GATEWAY_PROBES_PORT}]},
        ]),
    ]  # fmt: skip


def _account(name: str, namespace: str) -> JsonObject:
    return _object("v1", "ServiceAccount", name, namespace, automountServiceAccountToken=False)


def _binding(kind: str, subject: JsonObject) -> JsonObject:
    return {"roleRef": {"apiGroup": _RBAC, "kind": kind, "name": CONTROLLER}, "subjects": [subject]}


def _deployment(name: str, namespace: str, replicas: int, pod: JsonObject) -> JsonObject:
    spec: JsonObject = {
        "replicas": replicas,
        "selector": {"matchLabels": _labels(name)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": {**_labels(name), **_PART_OF}}, "spec": pod},
    }
    return _object("apps/v1", "Deployment", name, namespace, spec=spec)


def _pod(
    name: str, container: JsonObject, *, token: bool, mounts: Mapping[str, JsonObject] | None = None
) -> JsonObject:
    """Return a pod of one container without any right. `mounts` has a volume for each path."""
    volumes: dict[str, JsonObject] = {"/tmp": {"name": "tmp", "emptyDir": {}}, **(mounts or {})}  # noqa: S108 - its own
    rights: JsonObject = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    kept: list[Json] = [
        {"name": volume["name"], "mountPath": path, **({} if "emptyDir" in volume else {"readOnly": True})}
        for path, volume in volumes.items()
    ]
    return {
        "serviceAccountName": name,
        "automountServiceAccountToken": token,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{**container, "securityContext": rights, "volumeMounts": kept}],
        "volumes": [*volumes.values()],
    }


def _admitting(name: str, namespace: str, ingress: list[Json]) -> JsonObject:
    spec: JsonObject = {
        "podSelector": {"matchLabels": _labels(name)},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", name, namespace, spec=spec)


def _object(
    version: str, kind: str, name: str, namespace: str = "", *, labels: JsonObject | None = None, **rest: Json
) -> JsonObject:
    metadata: JsonObject = {"name": name, **({"namespace": namespace} if namespace else {})}
    metadata["labels"] = {_NAME: CONTROLLER if name.startswith(CONTROLLER) else name, **_PART_OF, **(labels or {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _labels(name: str) -> JsonObject:
    return {_NAME: name}


def _port(name: str, port: int, *, to: int | None = None) -> Json:
    return {"name": name, "port": port, "targetPort": port if to is None else to}


def _get(path: str, port: int, *, every_s: int) -> JsonObject:
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": every_s}


def _resources(requests: JsonObject, limits: JsonObject) -> JsonObject:
    return {"requests": requests, "limits": limits}
