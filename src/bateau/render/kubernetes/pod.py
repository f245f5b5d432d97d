"""The pod of a service: one container with probes, resources and no more rights than it needs.

Called by render.kubernetes.target.

Invariant: every pod passes the Pod Security Standard `restricted`. Held by
tests/policy/test_starter.py::test_every_rendered_pod_passes_the_restricted_standard.
"""

from collections.abc import Mapping
from typing import Final

from bateau.domain.system_names import FETCH_FILES, FETCH_SETTINGS
from bateau.domain.workload import Container, ModelServer
from bateau.kit.json_value import JsonObject
from bateau.kit.position import child, item
from bateau.kit.quantity import format_bytes, format_cores
from bateau.render.kubernetes.accelerator import Devices
from bateau.render.kubernetes.environment import Variables
from bateau.render.kubernetes.images import Server
from bateau.render.kubernetes.shape import Door, Shape
from bateau.render.marks import From, Marked, MarkedObject, Rule

_CONTAINER_RIGHTS: Final = Rule(
    {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    },
    "secure by default",
)
# Endpoints and proxies learn of the end of a pod later than the pod: requests in the meantime are still answered.
_END_SECONDS: Final = 5
_UNPRIVILEGED_PORT: Final = 1024
_USER: Final = 65532
_TMP: Final[JsonObject] = {"name": "tmp", "emptyDir": {}}
_SITE: Final = "/etc/bateau-fetch"
_SITE_SAYS: Final = "how models are fetched is a matter of the site"
_READ_ONLY: Final = "the root file system is read-only"


def pod_of(
    shape: Shape, doors: list[Door], variables: Variables, server: Server | None, *, devices: Devices
) -> MarkedObject:
    """Return the marked spec of the pod."""
    service, runs = shape.service, shape.service.runs
    name = From(shape.service.name, "metadata.name")
    container: MarkedObject = {
        "name": name,
        "image": server.image if server else From(runs.image if isinstance(runs, Container) else "", "spec.image"),
    }
    if server and server.command:
        container["command"] = server.command
    if server:
        container["args"] = server.arguments
    if isinstance(runs, Container) and runs.command:
        container["command"] = [
            _word(shape.with_ports(word), item("spec.command", index)) for index, word in enumerate(runs.command)
        ]
    if doors:
        container["ports"] = [{"name": door.name, "containerPort": door.number} for door in doors]
    # Of the same variable in two sources, the later one is used.
    fetches = server is not None and not server.mounted and not server.fetch
    sources = [*(_site_variables() if fetches else [])]
    sources += [{"configMapRef": {"name": name}}] if variables.plain else []
    if sources:
        container["envFrom"] = [*sources]
    if variables.secret or server:
        secrets = [_secret(variable, name) for variable in variables.secret]
        container["env"] = [*secrets, *(_caches(service.env) if server and not server.mounted else [])]
    container["resources"] = _resources(shape, devices)
    container |= _probes(shape, doors)
    container["lifecycle"] = Rule({"preStop": {"sleep": {"seconds": _END_SECONDS}}}, "let endpoints learn of the end")
    container["securityContext"] = _CONTAINER_RIGHTS
    mounts: list[JsonObject] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - a volume of the pod's own
    volumes: list[Marked] = [Rule(_TMP, _READ_ONLY)]
    if server:
        mounts.append({"name": "models", "mountPath": "/models"})
        volumes.append(_models(server))
    site: list[JsonObject] = [{"name": "site", "mountPath": _SITE, "readOnly": True}]
    container["volumeMounts"] = Rule([*mounts, *(site if fetches else [])], _READ_ONLY)
    if server and not server.mounted:
        volumes.append(Rule({"name": "site", "configMap": {"name": FETCH_FILES, "optional": True}}, _SITE_SAYS))
    pod: MarkedObject = {
        "serviceAccountName": name,
        "automountServiceAccountToken": Rule(False, "secure by default"),
        "enableServiceLinks": Rule(False, "variables come from `uses` alone"),
        "terminationGracePeriodSeconds": _grace(shape),
        "securityContext": _rights(doors, own_image=server is not None),
        "containers": [container],
        **devices.fields,
        "volumes": volumes,
    }
    if server and server.fetch:
        kept = ("image", "env", "resources", "securityContext")
        fetch = {key: container[key] for key in kept if key in container}
        fetch |= {"envFrom": [*_site_variables()], "volumeMounts": Rule([*mounts, *site], _READ_ONLY)}
        pod["initContainers"] = [{"name": Rule("fetch", "fetches the model"), "command": server.fetch, **fetch}]
    return pod


def _models(server: Server) -> MarkedObject:
    """Return the volume of the model's file."""
    if server.claim:
        claim: MarkedObject = {"claimName": server.claim}
        return {"name": Rule("models", "where models are kept"), "persistentVolumeClaim": claim}
    if server.mounted is None:
        return {"name": Rule("models", "where models are kept"), "emptyDir": Rule({}, "where models are kept")}
    image = {"reference": server.mounted, "pullPolicy": Rule("IfNotPresent", "a changed model has another reference")}
    return {"name": Rule("models", "the image of the model"), "image": image}


def _site_variables() -> list[MarkedObject]:
    """Return the variables of a namespace for whatever fetches models: mirrors, a proxy, and tokens."""
    return [
        {kind: Rule({"name": FETCH_SETTINGS, "optional": True}, _SITE_SAYS)} for kind in ("configMapRef", "secretRef")
    ]


def _word(text: str, path: str) -> From[str]:
    """Return a word of a command that means here what it says: Kubernetes would expand `$(NAME)` and `$$` in it."""
    if "$(" not in text and "$$" not in text:
        return From(text, path)
    return From(text.replace("$", "$$"), path, "with `$` doubled, so that Kubernetes leaves it alone")


def _rights(doors: list[Door], *, own_image: bool) -> Rule[JsonObject]:
    rights: JsonObject = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if own_image:
        # The images of the engines name no user; an app's image keeps the one it names.
        rights |= {"runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER}
    if any(door.number.value < _UNPRIVILEGED_PORT for door in doors):
        rights["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    return Rule(rights, "secure by default")


def _grace(shape: Shape) -> From[int]:
    stop = shape.service.stop_timeout_s
    whole = shape.seconds(shape.service.drain_timeout_s + stop + _END_SECONDS, "spec.drainTimeout").value
    return From(whole, "spec.drainTimeout", f"drainTimeout, {stop:g} s to stop and {_END_SECONDS} s for endpoints")


def _secret(variable: str, name: From[str]) -> MarkedObject:
    says = f"the value of {child('spec.env', variable)} stays in the cluster"
    return {
        "name": Rule(variable, says),
        "valueFrom": {"secretKeyRef": {"name": name, "key": Rule(variable, says)}},
    }


def _caches(written: Mapping[str, str]) -> list[MarkedObject]:
    pairs = {"HF_HOME": "/models", "LLAMA_CACHE": "/models", "HOME": "/models", "XDG_CACHE_HOME": "/models"}
    return [
        {"name": Rule(key, "where models are kept"), "value": Rule(value, "where models are kept")}
        for key, value in pairs.items()
        if key not in written
    ]


def _resources(shape: Shape, devices: Devices) -> MarkedObject:
    spec = shape.service
    amounts: MarkedObject = {}
    if spec.resources.cpu:
        amounts["cpu"] = From(format_cores(spec.resources.cpu), "spec.resources.cpu")
    if spec.resources.memory:
        amounts["memory"] = From(format_bytes(spec.resources.memory), "spec.resources.memory")
    amounts |= devices.amounts
    claims: MarkedObject = {"claims": [*devices.claims]} if devices.claims else {}
    if not amounts:
        small = Rule({"cpu": "100m", "memory": "128Mi"}, "a small share where the spec asks for none")
        return {"requests": small, **claims}
    return {"requests": dict(amounts), "limits": dict(amounts), **claims}


def _probes(shape: Shape, doors: list[Door]) -> MarkedObject:
    health = shape.service.health
    door = next((each for each in doors if each.key == health.port), doors[0] if doors else None)
    if door is None:
        return {}
    action: MarkedObject
    if isinstance(shape.service.runs, ModelServer):
        path = From(health.path, "spec.health.path") if health.path else Rule("/health", "path of the engine")
        action = {"httpGet": {"path": path, "port": door.number}}
    elif (health.kind or ("http" if health.path else None)) == "http":
        action = {"httpGet": {"path": From(health.path or "/", "spec.health.path"), "port": door.number}}
    elif health.kind == "grpc" or (health.kind is None and door.protocol == "grpc"):
        action = {"grpc": {"port": door.number}}
    else:
        action = {"tcpSocket": {"port": door.number}}
    period = shape.seconds(health.interval, "spec.health.interval")
    timing = {"periodSeconds": period, "timeoutSeconds": shape.seconds(health.timeout, "spec.health.timeout")}
    failures = From(health.failure_threshold, "spec.health.failureThreshold")
    tries = -(-int(health.start_timeout) // period.value) or 1
    starting = From(tries, "spec.health.startTimeout", f"probes of {period.value} s each")
    return {
        "startupProbe": {**action, **timing, "failureThreshold": starting},
        "livenessProbe": {**action, **timing, "failureThreshold": failures},
        "readinessProbe": {**action, **timing, "failureThreshold": Rule(1, "no requests after the first bad probe")},
    }
