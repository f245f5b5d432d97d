"""Follow the Keys that are stored in a cluster: which of them get in at its gateways, and what their statuses say.

Called by wiring.controller.

Invariant: no log has the name, the hash or another part of a Key. Held by
tests/wiring/test_cluster_keys.py::test_keys_take_effect_and_no_log_names_them.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import orjson

from bateau.control.stored_keys import StoredKey, StoredKeys, without_effect
from bateau.domain.api_key import ApiKey
from bateau.domain.errors import BateauError, ObjectRefused
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import ApiServer
from bateau.runtimes.kubernetes.documents import Document, DocumentKind, Documents, conditions_in
from bateau.wiring.declaring import Declaring

logger = logging.getLogger(__name__)

RESYNC_S: Final = 600.0  # an exception from a policy ends with its day
_AGAIN_S: Final = 5.0
_WRITES: Final = 8


class ClusterKeys:
    """The Keys of a cluster. `changed` is called whenever other keys get in.

    `policies` returns the texts of all policies, by "policy/NAME"; None while some may be missing.
    """

    def __init__(
        self,
        api: ApiServer,
        kind: DocumentKind,
        declaring: Declaring,
        *,
        policies: Callable[[], Mapping[str, str] | None],
        changed: Callable[[], None],
    ) -> None:
        self._declaring = declaring
        self._policies = policies
        self._changed = changed
        self._news = asyncio.Event()
        self._documents = Documents(api, [kind], changed=lambda _: self._news.set())
        self._written: dict[str, tuple[str, JsonObject]] = {}  # uid and status, by name
        self._known: StoredKeys | None = None
        self._told: tuple[int, int] | None = None

    @property
    def keys(self) -> Sequence[ApiKey] | None:
        """The keys that get in, the same object until others do; None until all of them were read."""
        return self._known.keys if self._known else None

    @property
    def trouble(self) -> str | None:
        """Why the Keys are not known; None if they are."""
        return self._documents.trouble

    def wake(self) -> None:
        """Judge the Keys soon: a policy has changed."""
        self._news.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._documents.run(), name="watch keys")
            tasks.create_task(self._keep(), name="keep keys")

    async def _keep(self) -> None:
        again_s = RESYNC_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(again_s):
                    await self._news.wait()
            self._news.clear()
            try:
                failed = await self._turn()
            except BateauError as error:  # the process that reads them ended
                failed = f"Keys stay as they were: {error.message}"
            except Exception as error:  # noqa: BLE001 - its text may have a part of a Key
                failed = f"Keys stay as they were: this is a bug in bateau: {type(error).__name__}"
            if failed:
                logger.error("%s", failed)
            again_s = _AGAIN_S if failed else RESYNC_S

    async def _turn(self) -> str | None:
        """Judge all Keys, and write their statuses. Returns what has failed."""
        policies = self._policies()
        if policies is None or self._documents.trouble is not None:
            return None  # whoever knows it then wakes this
        documents = [*self._documents.of("").values()]
        before = None if self._known is None else {key.name: key for key in self._known.keys}
        found = await self._declaring.keys([self._stored(each) for each in documents], policies, before)
        if self._known is None or found.keys != self._known.keys:
            self._known = found
            self._changed()
        self._tell(found)
        return await self._report(documents, found)

    def _tell(self, found: StoredKeys) -> None:
        told = len(found.keys), len(found.refused)
        if told != self._told and (self._told or any(told)):
            logger.info("%d keys get in at the gateways, and %d are refused", *told)
        self._told = told

    def _stored(self, document: Document) -> StoredKey:
        ready = conditions_in(self._before(document)).get("Ready", {})
        was_admitted = text_at(ready, "status") == "True" and ready.get("observedGeneration") == document.generation
        return StoredKey(name=document.name, text=document.text, created=document.created, was_admitted=was_admitted)

    async def _report(self, documents: Sequence[Document], found: StoredKeys) -> str | None:
        """Write the statuses that differ. Returns what has failed."""
        keys = {key.name: key for key in found.keys}
        slots = asyncio.Semaphore(_WRITES)
        due = [
            (each, status)
            for each in documents
            if (status := self._status(each, found.refused.get(each.name), keys.get(each.name))) != self._before(each)
        ]
        ends = await asyncio.gather(*(self._write(slots, *each) for each in due))
        failed = [each for each in ends if each is not None]
        return f"the statuses of {len(failed)} Keys were not written: {failed[0]}" if failed else None

    async def _write(self, slots: asyncio.Semaphore, document: Document, status: JsonObject) -> str | None:
        async with slots:
            try:
                await self._documents.report(document, status)
            except ObjectRefused as error:
                return f"the API server has refused one ({error.code} {error.reason})"
            except BateauError as error:
                return f"the API server gave no answer ({type(error).__name__})"
        self._written[document.name] = document.uid, status
        return None

    def _before(self, document: Document) -> JsonObject:
        """Return the last status of a document: as it was written here, or as the cluster has it."""
        uid, status = self._written.get(document.name, ("", {}))
        return status if uid == document.uid else orjson.loads(document.status)

    def _status(self, document: Document, refused: str | None, key: ApiKey | None) -> JsonObject:
        truth, reason, message = "True", "Admitted", "requests with this key get in"
        if refused is not None:
            truth, reason, message = "False", "Refused", refused
            if key is not None:
                message = f"{refused}; the key stays as it was"
        elif key is not None and (idle := without_effect(key)):
            message = f"{message}, but {idle}"
        before = conditions_in(self._before(document)).get("Ready", {})
        now = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        since = text_at(before, "lastTransitionTime") if text_at(before, "status") == truth else ""
        return {
            "observedGeneration": document.generation,
            "conditions": [
                {
                    "type": "Ready",
                    "status": truth,
                    "observedGeneration": document.generation,
                    "lastTransitionTime": since or now,
                    "reason": reason,
                    "message": message,
                }
            ],
        }
