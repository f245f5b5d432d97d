"""Say in words why a pod does not run, from the messages of the scheduler, the kubelet, containerd and quotas.

Called by runtimes.kubernetes.live and runtimes.kubernetes.pods. Pure. Sources: the messages of Kubernetes 1.37
and containerd 2.4, as a real node gives them.

Invariant: a message that is not understood is returned as it is, never dropped. Held by
tests/runtimes/kubernetes/test_reasons.py.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

_NODES: Final = re.compile(r"0/(?P<nodes>\d+) nodes are available: (?P<why>.*)", re.DOTALL)
_ITEM: Final = re.compile(r"(?P<number>\d+) (?P<why>(?:\{[^}]*\}|[^,{])+)")
_EXCEEDED: Final = re.compile(
    r"exceeded quota: (?P<quota>[^,]+), requested: (?P<asked>\S+), used: (?P<used>\S+), limited: (?P<limit>\S+)"
)
_UNSPECIFIED: Final = re.compile(r"failed quota: (?P<quota>[^:]+): must specify (?P<what>\S+) for: (?P<container>.+)")
_FORBIDDEN: Final = re.compile(r'^(?:Error creating: )?pods "[^"]*" is forbidden: ')
_START: Final = re.compile(r"^failed to create containerd task: .*unable to start container process: ", re.DOTALL)
_UNREADY: Final = re.compile(r"containers with unready status: \[(?P<names>[^\]]+)\]")
_DENIED: Final = ("401", "403", "unauthorized", "denied", "forbidden", "authorization failed", "no basic auth")
_AWAY: Final = ("i/o timeout", "no such host", "connection refused", "network is unreachable", "deadline exceeded")


def scheduling_words(message: str) -> str:
    """Return why no node takes a pod.

    >>> scheduling_words("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: none")
    'none of the 3 nodes can take the pod: 1 has too little free cpu, 2 are cordoned'
    """
    found = _NODES.search(message)
    if found is None:
        return message
    why = re.split(r"\.? (?:preemption:|no new claims)", found["why"])[0].rstrip(". ")
    items = [_node_words(int(each["number"]), each["why"].strip()) for each in _ITEM.finditer(why)]
    nodes = int(found["nodes"])
    none = "the only node cannot" if nodes == 1 else f"none of the {nodes} nodes can"
    return f"{none} take the pod: {', '.join(items) or why}"


def quota_words(message: str) -> str:
    """Return which quota refuses a pod, with the figures.

    >>> quota_words("exceeded quota: tiny, requested: pods=1, used: pods=2, limited: pods=2")
    'ResourceQuota tiny is exceeded (pods: 1 more requested, 2 of 2 used)'
    """
    message = _FORBIDDEN.sub("", message)
    if found := _EXCEEDED.search(message):
        used, limit = _amounts(found["used"]), _amounts(found["limit"])
        asked = (
            f"{name}: {amount} more requested, {used.get(name, '?')} of {limit.get(name, '?')} used"
            for name, amount in _amounts(found["asked"]).items()
        )
        return f"ResourceQuota {found['quota']} is exceeded ({'; '.join(asked)})"
    if found := _UNSPECIFIED.search(message):
        return f"ResourceQuota {found['quota']} requires {found['what']} of container {found['container']}"
    return message


def image_words(image: str, reason: str, message: str) -> str:
    """Return why an image is not there.

    >>> image_words("r.example/a:1", "ErrImagePull", "failed to resolve image: r.example/a:1: not found")
    'image r.example/a:1 does not exist'
    """
    told = message.lower()
    if reason == "ErrImageNeverPull":
        return f"image {image} is not on the node, and its pull policy is Never"
    if reason == "InvalidImageName":
        return f"{image} is not the name of an image"
    if any(each in told for each in _DENIED):
        return f"the registry refuses image {image}: it is private or does not exist, and imagePullSecrets must fit"
    if "not found" in told:
        return f"image {image} does not exist"
    if any(each in told for each in _AWAY):
        return f"the registry of image {image} cannot be reached: {message.rpartition(': ')[2]}"
    return f"image {image} cannot be pulled: {message}" if message else f"image {image} cannot be pulled"


def readiness_words(message: str) -> str:
    """Return which containers are not ready.

    >>> readiness_words("containers with unready status: [web log]")
    'web, log are not ready'
    """
    if found := _UNREADY.fullmatch(message):
        names = found["names"].split()
        return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not ready"
    return message


def start_words(message: str) -> str:
    """Return why a container does not start, without the path through the container runtime."""
    return _START.sub("", message)


def _node_words(number: int, why: str) -> str:
    one = number == 1
    for begin, says in _WHY:
        if why.startswith(begin):
            return f"{number} {says(why[len(begin) :].strip(), one)}"
    return f"{number}: {why}"


def _has(what: str) -> Callable[[str, bool], str]:
    return lambda rest, one: f"{'has' if one else 'have'} {what.format(rest)}"


_WHY: Final[Sequence[tuple[str, Callable[[str, bool], str]]]] = (
    ("Insufficient", _has("too little free {}")),
    ("Too many pods", _has("no room for another pod")),
    ("node(s) didn't match Pod's node affinity/selector", _has("other labels than the pod asks for")),
    ("node(s) had untolerated taint(s)", _has("a taint that the pod does not tolerate")),
    ("node(s) had untolerated taint", _has("the taint {} that the pod does not tolerate")),
    ("node(s) were unschedulable", lambda _, one: f"{'is' if one else 'are'} cordoned"),
    ("node(s) didn't match pod topology spread constraints", _has("enough of its pods (topologySpreadConstraints)")),
    ("node(s) didn't match pod anti-affinity rules", _has("a pod that it must not be beside (anti-affinity)")),
)


def _amounts(text: str) -> dict[str, str]:
    return {name: amount for each in text.split(",") for name, _, amount in [each.partition("=")]}
