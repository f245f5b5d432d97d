"""Documents of custom kinds as texts, at the real API server."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bateau.domain.errors import ClusterError, ControlError
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes.api import Resource
from bateau.runtimes.kubernetes.documents import DocumentKind, Documents
from runtimes.kubernetes.rig import Bench, bench, eventually

DEFINITIONS = Resource("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)


class Kind:
    """A kind of its own for one test, so that its definition can be deleted without any harm."""

    def __init__(self, at: Bench) -> None:
        self.at = at
        self.group = f"g{uuid.uuid4().hex[:8]}.example"
        self.resource = Resource(f"/apis/{self.group}/v1", "things", namespaced=True)
        self.kind = DocumentKind("Thing", self.resource)

    async def define(self) -> None:
        version: JsonObject = {
            "name": "v1",
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
        spec: JsonObject = {
            "group": self.group,
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [version],
        }
        tree: JsonObject = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.kind.definition},
            "spec": spec,
        }
        await self.at.api.apply(DEFINITIONS, tree)

    async def undefine(self) -> None:
        found = await self.at.api.get(DEFINITIONS, "", self.kind.definition)
        if found is not None:
            await self.at.api.delete(DEFINITIONS, "", self.kind.definition, uid=text_at(found, "metadata", "uid"))

    async def write(self, name: str, size: int) -> None:
        metadata: JsonObject = {"name": name, "namespace": self.at.namespace, "annotations": {"team": "shop"}}
        tree: JsonObject = {"apiVersion": f"{self.group}/v1", "kind": "Thing", "metadata": metadata}
        await eventually(self._applies({**tree, "spec": {"size": size}}))

    async def delete(self, name: str) -> None:
        found = await self.at.api.get(self.resource, self.at.namespace, name)
        assert found is not None
        await self.at.api.delete(self.resource, self.at.namespace, name, uid=text_at(found, "metadata", "uid"))

    def _applies(self, tree: JsonObject) -> Callable[[], Awaitable[bool]]:
        async def attempt() -> bool:
            try:
                await self.at.api.apply(self.resource, tree)
            except ClusterError:  # the definition is not served yet
                return False
            return True

        return attempt


@asynccontextmanager
async def watched(control_plane: Path) -> AsyncGenerator[tuple[Kind, Documents]]:
    async with bench(control_plane) as at:
        kind = Kind(at)
        await kind.define()
        documents = Documents(at.api, [kind.kind], changed=lambda _: None)
        task = asyncio.create_task(documents.run())
        try:
            yield kind, documents
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await kind.undefine()


async def until(documents: Documents, namespace: str, names: set[str]) -> dict[str, str]:
    """Wait until the texts have these names."""

    async def told() -> bool:
        try:
            return set(documents.texts(namespace)) == names
        except ControlError:
            return False

    await eventually(told)
    return {**documents.texts(namespace)}


async def test_documents_are_texts_without_what_the_server_adds(control_plane: Path):
    async with watched(control_plane) as (kind, documents):
        own = kind.at.namespace
        await kind.write("one", 1)
        found = await until(documents, own, {"thing/one"})
        assert found["thing/one"] == (
            f'{{"apiVersion":"{kind.group}/v1","kind":"Thing","metadata":{{"name":"one","namespace":"{own}",'
            '"annotations":{"team":"shop"}},"spec":{"size":1}}'
        )
        changes = documents.changes(own)
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        document = documents.of(own)["Thing", own, "one"]
        await documents.report(document, {"conditions": []})
        await documents.note(document, reason="Trial", message="a note", warning=False)
        await kind.write("two", 2)
        async with asyncio.timeout(10):
            await waiting
        assert set(documents.texts(own)) == {"thing/one", "thing/two"}
        await kind.delete("one")
        await until(documents, own, {"thing/two"})
        assert documents.lost == 0


async def test_a_document_that_vanishes_with_its_definition_stays(control_plane: Path):
    async with watched(control_plane) as (kind, documents):
        own = kind.at.namespace
        await kind.write("one", 1)
        await kind.write("two", 2)
        await until(documents, own, {"thing/one", "thing/two"})
        await kind.undefine()

        async def lost() -> bool:
            return documents.lost == 2

        await eventually(lost)
        assert len(documents.of(own)) == 2
        # The definition is back, and one of the documents: the other one is still not deleted by anybody.
        await kind.define()
        await kind.write("one", 7)

        async def is_back() -> bool:
            return documents.lost == 1

        await eventually(is_back)
        found = await until(documents, own, {"thing/one", "thing/two"})
        assert '"size":7' in found["thing/one"]


async def test_without_a_definition_there_are_no_texts_rather_than_none(control_plane: Path):
    async with bench(control_plane) as at:
        kind = Kind(at)
        documents = Documents(at.api, [kind.kind], changed=lambda _: None)
        with pytest.raises(ControlError, match="not read yet"):
            documents.texts(at.namespace)
        task = asyncio.create_task(documents.run())

        async def told() -> bool:
            return "does not tell" in (documents.trouble or "")

        await eventually(told)
        with pytest.raises(ControlError, match="does not tell its things"):
            documents.texts(at.namespace)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
