"""Keep the history of an owner on the cluster, in a ConfigMap beside the inventory.

Called by wiring.followed_history and wiring.rolling_back. The texts and their format are those of control.deliveries.

Invariant: two writers never lose each other's entries: one that has read an older version writes nothing, and tries
again. Held by tests/runtimes/kubernetes/test_history.py.
"""

from collections.abc import Callable, Mapping
from typing import Final

from bateau.domain.errors import ObjectRefused
from bateau.kit.json_value import JsonObject, named_texts_at, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.watching import Watched

_CONFIG_MAPS: Final = Resource("/api/v1", "configmaps", namespaced=True)
_TRIES: Final = 5
_LABEL: Final = "bateau.dev/history"


async def read_history(api: ApiServer, *, owner: str, namespace: str) -> Mapping[str, str] | None:
    """Return the texts of the history; None if there is none. Raises ClusterError."""
    tree = await api.get(_CONFIG_MAPS, namespace, _name(owner))
    return named_texts_at(tree, "data") if tree else None


def watched_history(
    api: ApiServer, *, owner: str, namespace: str, changed: Callable[[], None]
) -> Watched[Mapping[str, str]]:
    """Return the texts of the history as a watch, which has at most one item."""
    return Watched(
        api,
        _CONFIG_MAPS,
        keep=lambda tree: named_texts_at(tree, "data"),
        changed=changed,
        selector=f"{_LABEL}={owner}",
        namespace=namespace,
    )


async def change_history(
    api: ApiServer, change: Callable[[Mapping[str, str] | None], Mapping[str, str]], *, owner: str, namespace: str
) -> None:
    """Replace the texts by what `change` makes of the current ones. Raises ClusterError, and what `change` raises."""
    for attempt in range(_TRIES):
        tree = await api.get(_CONFIG_MAPS, namespace, _name(owner))
        texts = change(named_texts_at(tree, "data") if tree else None)
        try:
            if tree is None:
                await api.create(_CONFIG_MAPS, _config_map(texts, owner, namespace, ""))
            elif named_texts_at(tree, "data") != texts:
                version = text_at(tree, "metadata", "resourceVersion")
                await api.update(_CONFIG_MAPS, _config_map(texts, owner, namespace, version))
        except ObjectRefused as error:
            if error.reason not in ("Conflict", "AlreadyExists") or attempt == _TRIES - 1:
                raise
        else:
            return


def _name(owner: str) -> str:
    return f"bateau-history-{owner}"


def _config_map(texts: Mapping[str, str], owner: str, namespace: str, version: str) -> JsonObject:
    metadata: JsonObject = {
        "name": _name(owner),
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": "bateau", _LABEL: owner},
    }
    if version:
        metadata["resourceVersion"] = version
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {**texts}}
