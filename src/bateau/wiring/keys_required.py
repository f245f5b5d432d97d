"""Remember in a cluster that requests to its gateways need a key, also when the last key is gone.

Called by wiring.controller.

It is a ConfigMap beside the controller. The first key makes it. An administrator may create it before there is a key,
and deletes it to let everybody in again.

Invariant: a gateway that had keys does not open by itself, whichever of its parts restart. Held by
tests/wiring/test_cluster_keys.py::test_the_gateway_stays_closed_when_the_last_key_is_gone.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from bateau.domain.errors import ClusterError
from bateau.domain.system_names import CONTROLLER, KEYS_REQUIRED
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import ApiServer
from bateau.runtimes.kubernetes.api import Resource
from bateau.runtimes.kubernetes.watching import Watched

logger = logging.getLogger(__name__)

_CONFIG_MAPS: Final = Resource("/api/v1", "configmaps", namespaced=True)
_FORMAT: Final = "1"
_AGAIN_S: Final = 5.0


class KeysRequired:
    """Whether keys are required. `changed` is called whenever that may differ."""

    def __init__(self, api: ApiServer, *, namespace: str, changed: Callable[[], None]) -> None:
        self._api = api
        self._namespace = namespace
        self._changed = changed
        self._wanted = asyncio.Event()
        self._was_read = False
        self._watched = Watched(api, _CONFIG_MAPS, keep=_is_it, changed=self._news, namespace=namespace)

    @property
    def is_required(self) -> bool | None:
        """Whether requests need a key; None until that was read."""
        return bool(self._watched.items) or self._wanted.is_set() if self._was_read else None

    def require(self) -> None:
        """Require keys from now on."""
        if not self._watched.items:
            self._wanted.set()

    async def run(self) -> None:
        """Watch and write until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watched.run(), name="watch whether keys are required")
            tasks.create_task(self._keep(), name="remember that keys are required")

    async def _keep(self) -> None:
        told: str | None = None
        while True:
            await self._wanted.wait()
            try:
                await self._api.apply(_CONFIG_MAPS, _object(self._namespace))
            except ClusterError as error:
                if told != error.message:
                    logger.error("that keys are required is not remembered yet: %s", error.message)
                told = error.message
            else:
                told = None
            await asyncio.sleep(_AGAIN_S)

    def _news(self) -> None:
        self._was_read = self._was_read or self._watched.unknown is None
        if self._watched.items:
            self._wanted.clear()
        self._changed()


def _is_it(tree: JsonObject) -> str | None:
    name = text_at(tree, "metadata", "name")
    return name if name == KEYS_REQUIRED else None


def _object(namespace: str) -> JsonObject:
    labels: JsonObject = {"app.kubernetes.io/name": CONTROLLER, "app.kubernetes.io/part-of": "bateau"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": KEYS_REQUIRED, "namespace": namespace, "labels": labels},
        "data": {"format": _FORMAT},
    }
