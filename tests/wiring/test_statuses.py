"""Statuses of documents: a bug with one of them is reported, and the others are written."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

import pytest

from bateau.control.declared import Declared
from bateau.control.reconciler import Reconciler
from bateau.domain.errors import ObjectRefused
from bateau.kit.json_value import JsonObject, array_at, text_at
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes import KubernetesRuntime
from bateau.runtimes.kubernetes.documents import Document, DocumentKey, Documents, document
from bateau.wiring import statuses as module
from bateau.wiring.statuses import Kept, Statuses


def app(name: str) -> Document:
    metadata: JsonObject = {"name": name, "namespace": "shop", "uid": name, "generation": 2}
    return document({"apiVersion": "bateau.dev/v1alpha1", "kind": "App", "metadata": metadata, "spec": {}})


class FakeDocuments:
    """Documents of one namespace, and what is written about them."""

    def __init__(self, *names: str) -> None:
        self.found = {each.key: each for each in map(app, names)}
        self.written: dict[str, JsonObject] = {}
        self.news = asyncio.Event()

    def of(self, namespace: str) -> Mapping[DocumentKey, Document]:
        assert namespace == "shop"
        return self.found

    def now(self) -> datetime:
        return datetime(1999, 12, 31, tzinfo=UTC)

    async def report(self, document: Document, status: JsonObject) -> None:
        if document.name == "denied":
            raise ObjectRefused("a webhook denies it", reason="Denied", code=403)
        self.written[document.name] = status
        self.news.set()

    async def note(self, *_: object, **__: object) -> None:
        """Events are not looked at here."""


class FakeReconciler:
    """One that has declared its texts, and sees nothing."""

    declared = Declared()
    trouble = None
    observed = Observed()

    def __init__(self, documents: FakeDocuments) -> None:
        self.taken = {f"app/{each.name}": each.text for each in documents.found.values()}


class FakeRuntime:
    """One that has read the cluster."""

    is_read = True


async def test_a_bug_with_one_document_is_logged_once_and_the_others_are_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    healthy = module.verdict

    def planted(key: str, declared: Declared | None, seen: Observed, *, trouble: str | None = None) -> object:
        if key == "app/bad":
            raise RuntimeError("planted")
        return healthy(key, declared, seen, trouble=trouble)

    monkeypatch.setattr(module, "verdict", planted)
    documents = FakeDocuments("bad", "denied", "web")
    kept = Kept(cast("Reconciler", FakeReconciler(documents)), cast("KubernetesRuntime", FakeRuntime()))
    made = Statuses(cast("Documents", documents), {"shop": kept})
    running = asyncio.create_task(made.run())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            made.wake()
            async with asyncio.timeout(10):
                await documents.news.wait()
            await asyncio.sleep(0.3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert list(documents.written) == ["web"]
    assert text_at(array_at(documents.written["web"], "conditions")[0], "lastTransitionTime") == "1999-12-31T00:00:00Z"
    assert [each.getMessage() for each in caplog.records] == [
        "the status of app/bad in shop is not known: this is a bug in bateau",
        "a status was not written, and is tried again: a webhook denies it",
    ]
