"""Why a service cannot start, or how far it is: the nearest cause.

Called by control.loop.
"""

from collections.abc import Iterable, Mapping

from bateau.control.fetches import Fetches
from bateau.control.path import model_source
from bateau.control.walk import Outcome
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.workload import Workload
from bateau.kit.quantity import approximate_bytes


def why_blocked(
    service: Workload, *, outcome: Outcome | None, failures: Mapping[str, str], fetches: Fetches
) -> str | None:
    """Return the nearest cause that blocks the start of a service, or None. `failures` are those of replicas."""
    if outcome and (refused := outcome.refused.get(service.key)):
        return refused
    if failure := failures.get(service.key):
        return failure
    if source := model_source(service):
        fetch = fetches.failures.get(source)
        return fetch.says if fetch else None
    return None


def why_not_waking(service: Workload, blocked: str | None, replicas: Iterable[Replica], fetches: Fetches) -> str | None:
    """Return why a service that wakes up does not become ready, unless that is being tried again now.

    `blocked` is the cause that blocks its start, if there is one.
    """
    bad = (ReplicaState.BACKOFF, ReplicaState.FAILED)
    own = (each for each in replicas if each.service == service.key and not each.draining)
    if failing := next((each for each in own if each.state in bad), None):
        return failing.reason or "unknown"
    source = model_source(service)
    return None if source and fetches.is_fetching(source) else blocked


def fetched(service: Workload, fetches: Fetches) -> str | None:
    """Return how far the model of a service has been fetched, in steps that are worth a message; None if unknown."""
    progress = fetches.progress.get(model_source(service) or "")
    if progress is None or not progress.bytes_total:
        return None
    return f"{10 * (10 * progress.bytes_done // progress.bytes_total)} % of {approximate_bytes(progress.bytes_total)}"
