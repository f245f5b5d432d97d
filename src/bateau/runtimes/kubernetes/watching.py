"""Keep summaries of the objects of one kind, by a list and then a watch that is resumed.

Called by runtimes.kubernetes.documents, runtimes.kubernetes.history, runtimes.kubernetes.watches and
wiring.keys_required. Sources: KEP-365 (pages), KEP-956 (bookmarks), KEP-3157 (streamed lists).

Invariant: a gap in the watch is closed by a new list. Until then the last known state stays, with the reason why it may
be old. Held by tests/runtimes/kubernetes/test_watching.py.
Invariant: memory holds the results of `keep`, and never whole objects. Held by
tests/runtimes/kubernetes/test_watching.py::test_only_what_is_kept_is_in_memory.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Generic, TypeVar

from bateau.domain.errors import ClusterError, ObjectRefused, bug
from bateau.kit.backoff import Backoff
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.requests import Forbidden, Gone, NotFound, Overloaded

log = logging.getLogger(__name__)

Kept = TypeVar("Kept")
_RETRY = Backoff(initial_s=0.5, ceiling_s=30.0)
_STEADY_S = 10.0  # a watch that has lasted for so long begins a new row of failures


class Watched(Generic[Kept]):
    """The objects of one kind that match a selector, by uid. `unknown` has the reason while they may be out of date.

    `moved` gets each summary that differs, before and after; `changed` is called after that. `served` is false while
    the API server does not have the kind, and `forbidden` is true while the account may not read it.
    """

    def __init__(
        self,
        api: ApiServer,
        resource: Resource,
        *,
        keep: Callable[[JsonObject], Kept | None],
        changed: Callable[[], None],
        moved: Callable[[Kept | None, Kept | None], None] = lambda _before, _after: None,
        selector: str = "",
        namespace: str = "",
    ) -> None:
        self._api = api
        self._resource = resource
        self._keep = keep
        self._changed = changed
        self._moved = moved
        self._selector = selector
        self._namespace = namespace
        self._streams_lists = True
        self._version = ""
        self.items: dict[str, Kept] = {}
        self.told = asyncio.Event()  # a list has come, or the reason why there is none
        self.unknown: str | None = None
        self.served = True
        self.forbidden = False

    @property
    def version(self) -> int:
        """The resource version up to which all changes are known; 0 while that is not known."""
        return int(self._version) if self._version.isdecimal() else 0

    async def run(self) -> None:
        """List and watch until cancelled."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            pause, started, version = 0.0, loop.time(), self._version
            failed = True
            try:
                await self._once()
                failed = self._version == version  # no news; a server that ends each watch at once is not asked at once
            except Gone:
                self._version = ""
            except ClusterError as error:
                self.served = not isinstance(error, NotFound)
                self.forbidden = isinstance(error, Forbidden)
                pause = error.after_s if isinstance(error, Overloaded) else 0.0
                self._note(error.message)
            except Exception as error:
                log.exception("the watch of %s failed", self._resource.plural)
                self._note(bug(error))
            failures = failed + (0 if loop.time() - started > _STEADY_S else failures)
            delay = _RETRY.delay_s(failures) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            await asyncio.sleep(max(delay, pause))

    async def _once(self) -> None:
        """Continue from the known version, or from a list, until the server ends the watch."""
        if not self._version and not self._streams_lists:
            await self._list()
        try:
            await self._follow()
        except ObjectRefused as error:
            if not self._streams_lists or self._version or isinstance(error, NotFound):
                raise
            self._streams_lists = False  # an API server before 1.34, or a kind that has no watch cache
            await self._list()
            await self._follow()

    async def _list(self) -> None:
        def kept(tree: JsonObject) -> tuple[str, Kept | None]:
            return text_at(tree, "metadata", "uid"), self._keep(tree)

        found, self._version = await self._api.list(
            self._resource, kept, namespace=self._namespace, selector=self._selector
        )
        self._replace({uid: each for uid, each in found if each is not None})

    async def _follow(self) -> None:
        initial: dict[str, Kept] | None = None if self._version else {}
        watch = self._api.watch(
            self._resource,
            self._version,
            namespace=self._namespace,
            selector=self._selector,
            opened=self._fresh if self._version else lambda: None,
        )
        async for event in watch:
            self._version = event.version if initial is None else ""
            if event.type == "BOOKMARK":
                if initial is not None and event.ends_initial:
                    self._version = event.version
                    self._replace(initial)
                    initial = None
                continue
            uid = text_at(event.object, "metadata", "uid")
            kept = None if event.type == "DELETED" else self._keep(event.object)
            into = self.items if initial is None else initial
            before = into.pop(uid, None)
            if kept is not None:
                into[uid] = kept
            if initial is None and kept != before:
                self._moved(before, kept)
                self._fresh()

    def _replace(self, items: dict[str, Kept]) -> None:
        before, self.items = self.items, items
        # Those that have gone come first: one of the same name may have come instead.
        for uid in before.keys() - items.keys():
            self._moved(before[uid], None)
        for uid, each in items.items():
            if (old := before.get(uid)) != each:
                self._moved(old, each)
        self._fresh()

    def _fresh(self) -> None:
        self.unknown, self.served, self.forbidden = None, True, False
        self.told.set()
        self._changed()

    def _note(self, says: str) -> None:
        if self.unknown != says:
            log.warning("%s", says)
            self.unknown = says
            self.told.set()
            self._changed()
