"""Write the statuses and events of the documents in a cluster, as their services change.

Called by wiring.controller.

Invariant: a bug with the status of one document is logged, and the statuses of all others are written. Held by
tests/wiring/test_statuses.py.
Invariant: a restart of the controller changes no status by itself: nothing is written before the state of the cluster
has been read. Held by tests/wiring/test_controller.py.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from bateau.control.conditions import Verdict, status_of, verdict
from bateau.control.reconciler import Reconciler
from bateau.control.rollout import parts_of
from bateau.domain.errors import ClusterError
from bateau.domain.workload import ServiceKey
from bateau.kit.json_value import JsonObject, text_at
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes import KubernetesRuntime
from bateau.runtimes.kubernetes.documents import Document, DocumentKey, Documents, conditions_in

logger = logging.getLogger(__name__)

_TOGETHER_S: Final = 0.1  # changes within this time are reported together
_AGAIN_S: Final = 5.0
_WRITES: Final = 8


@dataclass(frozen=True, slots=True)
class Kept:
    """A namespace that is reconciled, and its runtime."""

    reconciler: Reconciler
    runtime: KubernetesRuntime

    @property
    def is_known(self) -> bool:
        """Whether nothing is missing in the observed state of the declared services."""
        return self.reconciler.sound is not None and self.runtime.is_read

    @property
    def trouble(self) -> str | None:
        """Why something is missing, if that is known."""
        wrong = self.reconciler.declared.wrong if self.reconciler.declared else None
        return self.reconciler.trouble or wrong or self.reconciler.observed.unknown


class Statuses:
    """Reports the state of the services of `kept`, by namespace, whenever it is woken."""

    def __init__(self, documents: Documents, kept: Mapping[str, Kept]) -> None:
        self._documents = documents
        self._kept = kept
        self._news = asyncio.Event()
        self._written: dict[DocumentKey, tuple[str, JsonObject]] = {}  # uid and status
        self._refused: str | None = None  # why a status could not be written the last time
        self._bugs: dict[DocumentKey, str] = {}  # that are logged
        self._slots = asyncio.Semaphore(_WRITES)

    def wake(self) -> None:
        """Report soon."""
        self._news.set()

    async def run(self) -> None:
        """Write the statuses of documents whenever they differ, until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(_TOGETHER_S)
            self._news.clear()
            due = [each for namespace in [*self._kept] for each in self._due(namespace)]
            ends = await asyncio.gather(*(self._write(*each) for each in due), return_exceptions=True)
            failed = [each for each in ends if isinstance(each, BaseException)]
            for error in failed:
                if not isinstance(error, ClusterError):
                    logger.error("a status was not written", exc_info=error)
            refused = next((each.message for each in failed if isinstance(each, ClusterError)), None)
            if refused and refused != self._refused:
                logger.warning("a status was not written, and is tried again: %s", refused)
            self._refused = refused
            if failed:
                asyncio.get_running_loop().call_later(_AGAIN_S, self._news.set)

    def _due(self, namespace: str) -> list[tuple[Document, JsonObject, Verdict]]:
        """Return the documents of a namespace whose status is out of date, each with its new status."""
        kept = self._kept[namespace]
        reconciler = kept.reconciler
        if not kept.runtime.is_read and reconciler.trouble is None:
            return []
        now = self._documents.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        seen = reconciler.observed
        parts = parts_of(seen)
        nothing = Observed(unknown=seen.unknown)
        found: list[tuple[Document, JsonObject, Verdict]] = []
        for each in self._documents.of(namespace).values():
            key = ServiceKey.of(each.kind, each.name)
            try:
                status, answer = self._status(each, reconciler, parts.get(key, nothing), now)
            except Exception as error:
                if self._bugs.get(each.key) != repr(error):
                    logger.exception("the status of %s in %s is not known: this is a bug in bateau", key, namespace)
                self._bugs[each.key] = repr(error)
                continue
            if answer is not None and status != self._before(each):
                found.append((each, status, answer))
        return found

    def _status(
        self, each: Document, reconciler: Reconciler, seen: Observed, now: str
    ) -> tuple[JsonObject, Verdict | None]:
        """Return the status of a document, and the verdict in it; no verdict if it has none, or is about to be read."""
        key = ServiceKey.of(each.kind, each.name)
        taken = reconciler.taken.get(key) == each.text
        if not each.namespace or (not taken and reconciler.trouble is None):
            return {}, None
        before = self._before(each)
        answer = verdict(key, reconciler.declared, seen, trouble=reconciler.trouble)
        told = before.get("observedGeneration")
        generation = each.generation if taken else told if isinstance(told, int) else 0
        return status_of(key, answer, seen, generation=generation, before=before, now=now), answer

    def _before(self, document: Document) -> JsonObject:
        """Return the last status of a document: as it was written here, or as the cluster has it."""
        uid, status = self._written.get(document.key, ("", {}))
        return status if uid == document.uid else orjson.loads(document.status)

    async def _write(self, document: Document, status: JsonObject, found: Verdict) -> None:
        """Write a status, and an event where the answer has changed. Raises ClusterError; then both are tried again."""
        before, now = conditions_in(self._before(document)), conditions_in(status)
        async with self._slots:
            await self._documents.report(document, status)
            if _answer(before) != _answer(now):
                warning = found.degraded == "True"
                await self._documents.note(document, reason=found.reason, message=found.message, warning=warning)
            self._written[document.key] = document.uid, status


def _answer(conditions: Mapping[str, JsonObject]) -> tuple[str, str, str]:
    """Return the part of a status whose change is an event."""
    ready, degraded = conditions.get("Ready", {}), conditions.get("Degraded", {})
    return text_at(ready, "reason"), text_at(ready, "status"), text_at(degraded, "status")
