"""The requests of Bateau to an API server: read, list, watch, server-side apply, delete, and logs.

Called by runtimes.kubernetes and wiring. Sources: the
Kubernetes API concepts (watch bookmarks, resource versions, server-side apply, KEP-555, KEP-956, KEP-3157).

Invariant: fields that another manager holds are never taken by force unless the caller says so. Held by
tests/runtimes/kubernetes/test_api.py.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal, Self, TypeVar
from urllib.parse import quote

import orjson

from bateau.domain.errors import ClusterError
from bateau.kit.json_value import JsonObject, ReadObject, array_at, is_object, object_at, text_at
from bateau.runtimes.kubernetes.kubeconfig import Access
from bateau.runtimes.kubernetes.reach import Reach
from bateau.runtimes.kubernetes.requests import Gone, NotFound, Requests

FIELD_MANAGER: Final = "bateau"
PAGE: Final = 500
# 8 to 16 requests at once: an API server of two cores gets no faster beyond.
IN_FLIGHT: Final = 12
_APPLY: Final = "application/apply-patch+yaml"
_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"
_WATCH_S: Final = 290
# The API server sends a bookmark about once a minute. A stream without a byte for longer is probably cut.
SILENCE_S: Final = 150.0
_INITIAL_END: Final = "k8s.io/initial-events-end"

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Resource:
    """Where the API server keeps the objects of a kind: "/apis/apps/v1", "deployments", and whether in namespaces."""

    root: str
    plural: str
    namespaced: bool

    def collection(self, namespace: str = "") -> str:
        """Return the path of the objects in a namespace, or of all."""
        within = f"/namespaces/{quote(namespace)}" if namespace and self.namespaced else ""
        return f"{self.root}{within}/{self.plural}"

    def path(self, namespace: str, name: str) -> str:
        """Return the path of one object."""
        return f"{self.collection(namespace)}/{quote(name)}"


NAMESPACES: Final = Resource("/api/v1", "namespaces", namespaced=False)


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change of an object; for "BOOKMARK" the object has only its resource version."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: JsonObject

    @property
    def version(self) -> str:
        """The resource version from which a watch continues."""
        return text_at(self.object, "metadata", "resourceVersion")

    @property
    def ends_initial(self) -> bool:
        """Whether all objects that existed at the start have been sent."""
        return text_at(self.object, "metadata", "annotations", _INITIAL_END) == "true"


class ApiServer:
    """One API server. Close it at the end, or use it in `async with`. All that share a `reach` are the same one."""

    def __init__(self, access: Access, *, environ: Mapping[str, str] = os.environ, reach: Reach | None = None) -> None:
        self.requests = Requests(access, environ=environ, reach=reach)
        self._resources: dict[str, dict[str, Resource]] = {}  # by API version, then by kind

    @property
    def name(self) -> str:
        """The context, for messages."""
        return self.requests.access.name

    async def __aenter__(self) -> Self:
        """Return the API server itself."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close all connections."""
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.requests.close()

    async def version(self) -> str:
        """Return the version of the API server, such as "v1.37.2". Raises ClusterError."""
        return text_at(await self.requests.json("GET", "/version"), "gitVersion")

    async def resource(self, api_version: str, kind: str, *, again: bool = False) -> Resource | None:
        """Return where objects of a kind are kept; None if the API server does not serve it. Raises ClusterError.

        A kind that is not known is asked for again each time, since a CRD may have been installed meanwhile. With
        `again`, one that is known is asked for, too.
        """
        known = self._resources.get(api_version, {})
        if kind not in known or again:
            root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            try:
                told = await self.requests.json("GET", root)
            except NotFound:
                self._resources.pop(api_version, None)
                return None
            known = self._resources[api_version] = {
                text_at(each, "kind"): Resource(
                    root, text_at(each, "name"), object_at({"": each}, "").get("namespaced") is True
                )
                for each in array_at(told, "resources")
                if "/" not in text_at(each, "name")
            }
        return known.get(kind)

    def is_namespaced(self, api_version: str, kind: str) -> bool | None:
        """Return whether objects of a kind are in namespaces; None if that was not asked yet. Does no I/O."""
        found = self._resources.get(api_version, {}).get(kind)
        return found.namespaced if found else None

    async def versions(self, group: str) -> list[str]:
        """Return the API versions of a group that are served, the preferred one first. Raises ClusterError."""
        if not group:
            return ["v1"]
        try:
            told = await self.requests.json("GET", f"/apis/{group}")
        except NotFound:
            return []
        every = [text_at(told, "preferredVersion", "groupVersion")]
        every += [text_at(each, "groupVersion") for each in array_at(told, "versions")]
        return list(dict.fromkeys(every))

    async def group_versions(self) -> frozenset[str]:
        """Return all API versions of named groups that are served, such as "apps/v1". Raises ClusterError."""
        told = await self.requests.json("GET", "/apis")
        return frozenset(
            text_at(version, "groupVersion")
            for group in array_at(told, "groups")
            for version in array_at(group, "versions")
        )

    async def get(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        """Return an object, or None if it does not exist. Raises ClusterError."""
        try:
            return await self.requests.json("GET", resource.path(namespace, name))
        except NotFound:
            return None

    async def list(
        self, resource: Resource, keep: Callable[[JsonObject], Kept], *, namespace: str = "", selector: str = ""
    ) -> tuple[list[Kept], str]:
        """Return the result of `keep` for each object, and the resource version to watch from. Raises ClusterError.

        Lists in pages of 500 objects, and keeps only the results of `keep` in memory. A list that takes so long that
        its version is gone starts again.
        """
        for _ in range(3):
            found: list[Kept] = []
            query = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
            try:
                while True:
                    page = await self.requests.json("GET", resource.collection(namespace), query=query)
                    found += [keep(each) for each in array_at(page, "items") if is_object(each)]
                    if not (more := text_at(page, "metadata", "continue")):
                        return found, text_at(page, "metadata", "resourceVersion")
                    query["continue"] = more
            except Gone:
                continue
        raise ClusterError(f"{self.name}: the list of {resource.plural} is older than the server keeps, each time")

    async def watch(
        self,
        resource: Resource,
        version: str,
        *,
        namespace: str = "",
        selector: str = "",
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[WatchEvent]:
        """Yield changes after `version` until the server ends the watch, which it does about every five minutes.

        With `version` "", first all objects, then a bookmark whose `ends_initial` is true (KEP-3157). `opened` is
        called when the server has accepted the watch. Raises Gone if the version is too old, ObjectRefused if the
        server cannot tell objects in a watch, ClusterError.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_S)}
        if version:
            query["resourceVersion"] = version
        else:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        if selector:
            query["labelSelector"] = selector
        lines = self.requests.lines(resource.collection(namespace), query, silence_s=SILENCE_S, opened=opened)
        async for line in lines:
            kind, changed = text_at(line, "type"), object_at(line, "object")
            match kind:
                case "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK":
                    yield WatchEvent(kind, changed)
                case _:
                    says = text_at(changed, "message") or "the watch ended with an error"
                    raise Gone(f"{self.name}: {says}")

    async def apply(
        self, resource: Resource, tree: ReadObject, *, force: bool = False, dry_run: bool = False
    ) -> tuple[JsonObject, bool]:
        """Apply an object as `send` does."""
        path = resource.path(text_at(tree, "metadata", "namespace"), text_at(tree, "metadata", "name"))
        return await self.send(path, orjson.dumps(tree), force=force, dry_run=dry_run)

    async def send(
        self, path: str, body: bytes, *, force: bool = False, dry_run: bool = False
    ) -> tuple[JsonObject, bool]:
        """Apply the object at a path, as JSON, on the server's side under Bateau's field manager (KEP-555).

        Returns what it is now, and whether it did not exist before.

        Raises ObjectRefused, with the reason "Conflict" where another manager holds a field, and ClusterError.
        """
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        status, made = await self.requests.answer("PATCH", path, query=query, body=body, form=_APPLY)
        return made, status == HTTPStatus.CREATED

    async def create(self, resource: Resource, tree: ReadObject) -> JsonObject:
        """Create an object, for those whose name the server generates. Raises ObjectRefused and ClusterError."""
        path = resource.collection(text_at(tree, "metadata", "namespace"))
        query = {"fieldManager": FIELD_MANAGER}
        return await self.requests.json("POST", path, query=query, body={**object_at(tree)}, form=_JSON)

    async def update(self, resource: Resource, tree: ReadObject) -> JsonObject:
        """Replace an object, unless it has changed since it was read. Raises ObjectRefused and ClusterError."""
        path = resource.path(text_at(tree, "metadata", "namespace"), text_at(tree, "metadata", "name"))
        query = {"fieldManager": FIELD_MANAGER}
        return await self.requests.json("PUT", path, query=query, body={**object_at(tree)}, form=_JSON)

    async def merge_status(
        self, resource: Resource, namespace: str, name: str, status: ReadObject, *, uid: str
    ) -> JsonObject:
        """Set fields of the status of the object that has this uid. Raises ObjectRefused and ClusterError."""
        body: JsonObject = {"metadata": {"uid": uid}, "status": {**object_at(status)}}
        path = f"{resource.path(namespace, name)}/status"
        query = {"fieldManager": FIELD_MANAGER}
        return await self.requests.json("PATCH", path, query=query, body=body, form=_MERGE)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> bool:
        """Delete the object that has this uid, its dependents in the background.

        Returns whether it is gone: one with a finalizer or a grace period still exists.

        Raises ObjectRefused and ClusterError. An object of the same name with another uid is left alone.
        """
        body: JsonObject = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            told = await self.requests.json("DELETE", resource.path(namespace, name), body=body, form=_JSON)
        except NotFound:
            return True
        return not text_at(told, "metadata", "deletionTimestamp")

    async def log(self, namespace: str, pod: str, *, container: str = "", lines: int, previous: bool = False) -> str:
        """Return the last lines of a pod's log. Raises ClusterError."""
        query = {"tailLines": str(lines), **({"container": container} if container else {})}
        if previous:
            query["previous"] = "true"
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/log"
        return await self.requests.text(path, query)

    def following_log(
        self, namespace: str, pod: str, *, lines: int | None = None, since: str = "", silence_s: float
    ) -> AsyncGenerator[bytes]:
        """Yield the log of a pod as it is written, each line after its time (RFC 3339) and a space.

        It begins with the last lines, or with those `since` a time. Raises ClusterError.
        """
        query = {"follow": "true", "timestamps": "true"}
        query |= {"sinceTime": since} if since else {} if lines is None else {"tailLines": str(lines)}
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/log"
        return self.requests.chunks(path, query, silence_s=silence_s)
