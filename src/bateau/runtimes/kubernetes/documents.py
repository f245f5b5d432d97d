"""The documents of Bateau's kinds that are stored in a cluster, as texts; and their statuses and events.

Called by wiring. Sources: custom resources, their status subresource, and the API conventions.

Invariant: a document that vanishes together with its definition counts as kept, and not as deleted: its text
stays. Held by tests/runtimes/kubernetes/test_documents.py.
Invariant: while a kind cannot be watched, no text is given at all, because some might be missing. Held by
tests/runtimes/kubernetes/test_documents.py.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import orjson

from bateau.domain.errors import ClusterError, ControlError
from bateau.kit.json_value import JsonObject, ReadObject, array_at, is_object, object_at, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.watching import Watched

log = logging.getLogger(__name__)

_DEFINITIONS: Final = Resource("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
_EVENTS: Final = Resource("/apis/events.k8s.io/v1", "events", namespaced=True)
_REPORTER: Final = "bateau.dev/controller"
# kubectl's own copy of the document, which says nothing about it.
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_AGAIN_S: Final = 2.0
_SETTLE_S: Final = 0.02  # several changes at once, as those of one `kubectl apply`, are one

DocumentKey: TypeAlias = tuple[str, str, str]
"""Kind, namespace ("" for kinds without one) and name."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its author wrote it, in JSON, with the status that it has now. `created` is in RFC 3339."""

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    text: str
    status: bytes

    @property
    def key(self) -> DocumentKey:
        """Kind, namespace and name."""
        return self.kind, self.namespace, self.name


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """A kind of documents and where the API server keeps them. No message has the name of one that is `unnamed`."""

    kind: str
    resource: Resource
    unnamed: bool = False

    @property
    def definition(self) -> str:
        """Name of its CustomResourceDefinition."""
        return f"{self.resource.plural}.{self.resource.root.split('/')[2]}"


class Documents:
    """All documents of some kinds. `changed` is called with the namespaces in which texts differ; "" is everywhere."""

    def __init__(
        self, api: ApiServer, kinds: Iterable[DocumentKind], *, changed: Callable[[frozenset[str]], None]
    ) -> None:
        self._api = api
        self._news = asyncio.Event()
        self._changed = changed
        self._kinds = {each.kind: each for each in kinds}
        self._watched = {
            each.kind: Watched(api, each.resource, keep=document, changed=self._news.set)
            for each in self._kinds.values()
        }
        self._settled: dict[DocumentKey, Document] = {}
        self._lost: dict[DocumentKey, Document] = {}  # their definition was deleted, and they with it
        self._waiting: dict[str, list[asyncio.Event]] = {}
        self._is_whole = False

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for watched in self._watched.values():
                tasks.create_task(watched.run(), name="watch documents")
            tasks.create_task(self._settle(), name="settle documents")

    @property
    def trouble(self) -> str | None:
        """Why the texts are not known; None if they are."""
        for kind, watched in self._watched.items():
            if not watched.told.is_set():
                return "the documents were not read yet"
            if watched.unknown:
                return f"the cluster does not tell its {self._kinds[kind].definition}: {watched.unknown}"
        return None

    @property
    def is_whole(self) -> bool:
        """Whether the texts are known, and have been taken over at one time since the start."""
        return self._is_whole and self.trouble is None

    @property
    def lost(self) -> int:
        """The number of documents that are kept although their definition was deleted."""
        return len(self._lost)

    def of(self, namespace: str) -> Mapping[DocumentKey, Document]:
        """Return the documents of a namespace, and those without one."""
        return {key: each for key, each in self._settled.items() if key[1] in ("", namespace)}

    def namespaces(self) -> frozenset[str]:
        """Return the namespaces that have documents."""
        return frozenset(key[1] for key in self._settled) - {""}

    def texts(self, namespace: str) -> Mapping[str, str]:
        """Return the text of each document of a namespace, by its key as that of a service: "model/chat".

        Raises ControlError while some documents may be missing.
        """
        if (why := self.trouble) is not None:
            raise ControlError(why, hint="`bateau install` creates the definitions")
        return {f"{each.kind.lower()}/{each.name}": each.text for each in self.of(namespace).values()}

    async def changes(self, namespace: str) -> AsyncIterator[None]:
        """Yield whenever the texts of a namespace may differ."""
        event = asyncio.Event()
        events = self._waiting.setdefault(namespace, [])
        events.append(event)
        try:
            while True:
                await event.wait()
                event.clear()
                yield
        finally:
            events.remove(event)

    def now(self) -> datetime:
        """Return the time by the clock of the API server."""
        return self._api.requests.now()

    async def report(self, document: Document, status: JsonObject) -> None:
        """Write the status of a document. Raises ClusterError."""
        resource = self._kinds[document.kind].resource
        await self._api.merge_status(resource, document.namespace, document.name, status, uid=document.uid)

    async def note(self, document: Document, *, reason: str, message: str, warning: bool) -> None:
        """Add an event about a document. Raises ClusterError."""
        now = self.now()
        event: JsonObject = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                # As client-go names events: unique without asking the server.
                "name": f"{document.name}.{time.time_ns():x}",
                "namespace": document.namespace,
            },
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": _REPORTER,
            "reportingInstance": self._api.name,
            "action": "Reconcile",
            "reason": reason,
            "note": message[:1000],
            "type": "Warning" if warning else "Normal",
            "regarding": {
                "apiVersion": text_at(orjson.loads(document.text), "apiVersion"),
                "kind": document.kind,
                "namespace": document.namespace,
                "name": document.name,
                "uid": document.uid,
            },
        }
        await self._api.create(_EVENTS, event)

    async def _settle(self) -> None:
        """Take the watched documents over whenever there are news, until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(_SETTLE_S)
            self._news.clear()
            try:
                await self._take_over()
            except ClusterError as error:
                log.warning("deleted documents wait until their definitions can be read: %s", error.message)
            except Exception:
                log.exception("documents stay as they were: this is a bug in bateau")
            else:
                continue
            asyncio.get_running_loop().call_later(_AGAIN_S, self._news.set)

    async def _take_over(self) -> None:
        """Take the watched documents over. Raises ClusterError if the definitions of deleted ones cannot be read."""
        is_whole = self.trouble is None
        now = {each.key: each for watched in self._watched.values() for each in watched.items.values()}
        gone = self._settled.keys() - now.keys() - self._lost.keys()
        undefined = {kind for kind in {key[0] for key in gone} if not await self._is_defined(kind)}
        for key in gone:
            if key[0] in undefined:
                log.warning("%s: its definition was deleted; its objects stay", self._named(key))
                self._lost[key] = self._settled[key]
        self._lost = {key: each for key, each in self._lost.items() if key not in now}
        now |= self._lost
        before, self._settled = self._settled, now
        differ = {
            key[1]
            for key in before.keys() | now.keys()
            if (old := before.get(key)) is None or (new := now.get(key)) is None or old.text != new.text
        }
        self._is_whole = self._is_whole or is_whole
        self._wake(frozenset(differ))

    def _named(self, key: DocumentKey) -> str:
        kind, namespace, name = key
        return f"a {kind}" if self._kinds[kind].unnamed else f"{kind} {namespace}/{name}"

    async def defined_at(self) -> str:
        """Return when the newest of the definitions was created, in RFC 3339; "" without any. Raises ClusterError."""
        found = [await self._api.get(_DEFINITIONS, "", each.definition) for each in self._kinds.values()]
        return max(text_at(each, "metadata", "creationTimestamp") for each in found)

    async def _is_defined(self, kind: str) -> bool:
        """Whether the definition of a kind exists and stays. Raises ClusterError."""
        tree = await self._api.get(_DEFINITIONS, "", self._kinds[kind].definition)
        return tree is not None and not text_at(tree, "metadata", "deletionTimestamp")

    def _wake(self, namespaces: frozenset[str]) -> None:
        self._changed(namespaces)
        for namespace, events in self._waiting.items():
            if namespace in namespaces or "" in namespaces:
                for event in events:
                    event.set()


def document(tree: JsonObject) -> Document:
    """Return an object as its author wrote it: without the fields that the API server fills in."""
    metadata = object_at(tree, "metadata")
    told: JsonObject = {"name": text_at(metadata, "name")}
    if namespace := text_at(metadata, "namespace"):
        told["namespace"] = namespace
    for field in ("labels", "annotations"):
        if found := {key: each for key, each in object_at(metadata, field).items() if key != _LAST_APPLIED}:
            told[field] = found
    text: JsonObject = {"apiVersion": text_at(tree, "apiVersion"), "kind": text_at(tree, "kind"), "metadata": told}
    if "spec" in tree:
        text["spec"] = tree["spec"]
    generation = metadata.get("generation")
    return Document(
        kind=text_at(tree, "kind"),
        namespace=namespace,
        name=text_at(metadata, "name"),
        uid=text_at(metadata, "uid"),
        generation=generation if isinstance(generation, int) else 0,
        created=text_at(metadata, "creationTimestamp"),
        text=orjson.dumps(text).decode(),
        status=orjson.dumps(object_at(tree, "status")),
    )


def conditions_in(status: ReadObject) -> Mapping[str, JsonObject]:
    """Return the conditions in a status, by type."""
    return {text_at(each, "type"): each for each in array_at(status, "conditions") if is_object(each)}
