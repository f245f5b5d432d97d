"""Collect what the pods of a failed service, and the cluster, say about it: the last log lines, and events.

Called by wiring.clusters and wiring.installing. Needs read rights only; what the account may not read is left out.

Invariant: a diagnosis never fails: the failure that it explains is reported anyway. Held by
tests/runtimes/kubernetes/test_diagnosis.py.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from bateau.domain.errors import ClusterError
from bateau.domain.replica import Replica, ReplicaState
from bateau.kit.json_value import JsonObject, array_at, object_at, text_at
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.api import ApiServer

LOG_LINES: Final = 5
_EVENTS: Final = 3
_SERVICES: Final = 20  # of more failed services, the first ones are explained
_TROUBLED: Final = (ReplicaState.BACKOFF, ReplicaState.FAILED, ReplicaState.UNREADY, ReplicaState.STARTING)
# The kubelet sends this as if it were output, once the container is gone.
_NO_LOG: Final = "unable to retrieve container logs"
# Events that repeat what the state of the pod says.
_REPEATING: Final = frozenset(("BackOff", "Failed", "FailedScheduling", "ErrImageNeverPull"))


async def reports(api: ApiServer, seen: Observed, services: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Return lines of logs and events by service, of the pod of each that is in most trouble."""
    chosen = [each for each in (_pod_of(seen, service) for service in sorted(services)[:_SERVICES]) if each]
    found = await asyncio.gather(*(_report(api, each) for each in chosen))
    return {each.service: lines for each, lines in zip(chosen, found, strict=True) if lines}


def _pod_of(seen: Observed, service: str) -> Replica | None:
    pods = [each for each in seen.replicas if each.service == service and each.state in _TROUBLED and not each.draining]
    return min(pods, key=lambda each: _TROUBLED.index(each.state), default=None)


async def _report(api: ApiServer, replica: Replica) -> Sequence[str]:
    namespace, _, name = replica.id.partition("/")
    log, events = await asyncio.gather(_log(api, namespace, name, replica), _events(api, namespace, name))
    return [*(f"log    {line}" for line in log), *(f"event  {line}" for line in events)]


async def _log(api: ApiServer, namespace: str, name: str, replica: Replica) -> Sequence[str]:
    """Return the last lines of a pod; if its container has no output yet, those of the run before."""
    for previous in (False, True) if replica.restarts else (False,):
        try:
            text = await api.log(namespace, name, lines=LOG_LINES, previous=previous)
        except ClusterError:  # such as a container that has never started
            continue
        if text.strip() and not text.startswith(_NO_LOG):
            return text.splitlines()[-LOG_LINES:]
    return ()


async def _events(api: ApiServer, namespace: str, name: str) -> Sequence[str]:
    """Return the newest warnings about a pod, each once."""
    path = f"/api/v1/namespaces/{quote(namespace)}/events"
    try:
        told = await api.requests.json("GET", path, query={"fieldSelector": f"involvedObject.name={name}"})
    except ClusterError:
        return ()
    found: dict[str, None] = {}
    for each in sorted((object_at({"": each}, "") for each in array_at(told, "items")), key=_when, reverse=True):
        reason, message = text_at(each, "reason"), text_at(each, "message")
        if text_at(each, "type") == "Warning" and reason not in _REPEATING and message:
            found[f"{reason}: {' '.join(message.split())}"] = None
    return list(found)[:_EVENTS]


def _when(event: JsonObject) -> str:
    series = text_at(event, "series", "lastObservedTime")
    return series or text_at(event, "lastTimestamp") or text_at(event, "eventTime")
