"""Hold a Lease, so that one of several controllers acts.

Called by wiring.controller. Source: coordination.k8s.io/v1 and the timing of client-go's leader election: a lease of
15 s, renewed every 2 s, given up by its holder after 10 s without success, before another may take it. A request for it
has half of that. So it is the first to notice an API server that no longer answers.

Invariant: two holders never act at the same time, as long as their clocks run at about the same speed: times of another
machine are never compared with the own clock, only watched for changes. Held by
tests/runtimes/kubernetes/test_lease.py.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from bateau.domain.errors import ClusterError, ClusterUnreachable, ObjectRefused
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.ports.clock import Clock
from bateau.runtimes.kubernetes.api import ApiServer, Resource

log = logging.getLogger(__name__)

LEASE_S: Final = 15
RENEW_S: Final = 10.0
RETRY_S: Final = 2.0
TRY_S: Final = RENEW_S / 2
_LEFT_S: Final = 0.5  # less is not enough for a request, and would say nothing about the API server
_LEASES: Final = Resource("/apis/coordination.k8s.io/v1", "leases", namespaced=True)


class Lease:
    """One Lease object. `holder` is the current holder's identity, as far as it is known."""

    def __init__(self, api: ApiServer, clock: Clock, *, namespace: str, name: str, identity: str) -> None:
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seen = ""  # the last known state of another holder, and when it was seen first
        self._seen_at = 0.0
        self.holder = ""

    async def acquire(self) -> None:
        """Return when the lease is held. Waits as long as another one renews it. Errors are tried again."""
        told = ""
        while True:
            try:
                if await self._try(RENEW_S):
                    log.info("this controller leads")
                    return
                says = f"{self.holder} leads; this controller waits"
            except ClusterError as error:
                says = error.message
            if says != told:
                log.info("%s", says)
                told = says
            await asyncio.sleep(RETRY_S)

    async def keep(self) -> None:
        """Renew the lease, and return when it is lost: another one has it, or it could not be renewed for 10 s."""
        renewed_at = self._clock.monotonic()
        while self._clock.monotonic() - renewed_at < RENEW_S:
            await asyncio.sleep(RETRY_S)
            started = self._clock.monotonic()
            left_s = RENEW_S - (started - renewed_at)
            if left_s < _LEFT_S:
                return
            try:
                if not await self._try(min(TRY_S, left_s)):
                    return
                renewed_at = started
            except ClusterError as error:
                log.warning("the lease was not renewed: %s", error.message)

    async def release(self) -> None:
        """Give the lease back, so that the next controller need not wait. Raises ClusterError."""
        tree = await self._api.get(_LEASES, self._namespace, self._name)
        if tree is not None and text_at(tree, "spec", "holderIdentity") == self._identity:
            tree["spec"] = {**object_at(tree, "spec"), "holderIdentity": ""}
            await self._api.update(_LEASES, tree)

    async def _try(self, seconds: float) -> bool:
        """Take or renew the lease if no other controller holds it. Raises ClusterError, at the latest after a time."""
        reach = self._api.requests.reach
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                return await self._taken_now()
        except ClusterUnreachable as error:
            reach.failed(error.message, is_sure=True)
            raise
        except TimeoutError:
            access = self._api.requests.access
            says = f"cannot reach {access.name} at {access.server}: no answer within {seconds:.0f} s"
            reach.failed(says, is_sure=True)
            raise ClusterUnreachable(says) from None

    async def _taken_now(self) -> bool:
        now = datetime.fromtimestamp(self._clock.wall(), tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine: JsonObject = {"holderIdentity": self._identity, "leaseDurationSeconds": LEASE_S, "renewTime": now}
        tree = await self._api.get(_LEASES, self._namespace, self._name)
        try:
            if tree is None:
                metadata: JsonObject = {"name": self._name, "namespace": self._namespace}
                spec: JsonObject = {**mine, "acquireTime": now, "leaseTransitions": 0}
                lease: JsonObject = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
                await self._api.create(_LEASES, {**lease, "spec": spec})
            elif not self._is_free(tree):
                return False
            else:
                # The resource version in it makes the server refuse this if another controller was faster.
                tree["spec"] = {**object_at(tree, "spec"), **mine, **self._taken(tree, now)}
                await self._api.update(_LEASES, tree)
        except ObjectRefused as error:
            if error.reason in ("Conflict", "AlreadyExists"):
                return False
            raise
        self.holder = self._identity
        return True

    def _is_free(self, tree: JsonObject) -> bool:
        spec = object_at(tree, "spec")
        self.holder = text_at(spec, "holderIdentity")
        if self.holder in ("", self._identity):
            return True
        state = f"{self.holder} {text_at(spec, 'renewTime')}"
        if state != self._seen:
            self._seen, self._seen_at = state, self._clock.monotonic()
        told = spec.get("leaseDurationSeconds")
        lasts = told if isinstance(told, int) else LEASE_S
        return self._clock.monotonic() - self._seen_at > lasts

    def _taken(self, tree: JsonObject, now: str) -> JsonObject:
        """Return what changes with the holder."""
        spec = object_at(tree, "spec")
        if text_at(spec, "holderIdentity") == self._identity:
            return {}
        before = spec.get("leaseTransitions")
        return {"acquireTime": now, "leaseTransitions": (before if isinstance(before, int) else 0) + 1}
