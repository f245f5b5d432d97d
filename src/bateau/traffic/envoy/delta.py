"""The state of one connected Envoy in delta xDS: its resources, its rejections, and the responses to send next.

Called by traffic.envoy.ads and traffic.envoy.asked. Pure: no task, no clock, no socket. Every message and every new set
of resources ends in `_advance`, which compares the resources that Envoy has with those that it should have. Source:
Envoy's "xDS REST and gRPC protocol", incremental xDS.

Invariant: make before break. Envoy acknowledges new clusters, endpoints and secrets before it gets filters, listeners
and routes that name them. A cluster is removed only after Envoy has acknowledged routes that do not name it. Held by
tests/traffic/test_ads.py.
Invariant: each type has at most one unacknowledged response, apart from answers to Envoy's own requests. A silent Envoy
takes bounded memory and delays no other Envoy. Held by
tests/traffic/test_ads.py::test_a_proxy_that_never_answers_holds_up_no_other_and_is_sent_no_more.
"""

import itertools
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2 as _discovery_pb2

from bateau.traffic.envoy.listener import FRONT
from bateau.traffic.envoy.resources import CLUSTER, ENDPOINTS, EXTENSION, LISTENER, ROUTES, SECRET, Resource, Resources

# Generated without type information.
discovery_pb2: Any = _discovery_pb2

_WILDCARD = "*"
_WILDCARD_TYPES = frozenset({CLUSTER, LISTENER})
_TARGETS = (CLUSTER, ENDPOINTS, SECRET)
_USERS = (EXTENSION, LISTENER, ROUTES)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why Envoy rejected one version of a resource."""

    version: str
    message: str


@dataclass(frozen=True, slots=True)
class _Sent:
    """A response that Envoy has not answered yet: versions by name, None for removed resources."""

    versions: Mapping[str, str | None]


@dataclass
class _Subscription:
    """One type: the names that Envoy subscribes to, the versions that it has (`held`), and those it has rejected."""

    names: set[str] = field(default_factory=set[str])
    wildcard: bool = False
    answered: bool = False
    held: dict[str, str] = field(default_factory=dict[str, str])
    pending: dict[str, _Sent] = field(default_factory=dict[str, _Sent])  # by nonce
    rejected: dict[str, Rejection] = field(default_factory=dict[str, Rejection])
    retry: set[str] = field(default_factory=set[str])  # rejected names to be sent again
    alone: set[str] = field(default_factory=set[str])  # names of a response that was rejected without naming one

    def expects(self, name: str) -> str | None:
        """Return the version that Envoy will have after it has accepted all pending responses."""
        for sent in reversed(self.pending.values()):
            if name in sent.versions:
                return sent.versions[name]
        return self.held.get(name)

    def has_answered_for(self, wanted: Mapping[str, Resource]) -> bool:
        """Whether Envoy has accepted or rejected everything in `wanted`."""
        return all(self.held.get(n) == r.version or self.has_rejected(n, r) for n, r in wanted.items())

    def has_rejected(self, name: str, resource: Resource) -> bool:
        """Whether Envoy has rejected this version of a resource."""
        rejection = self.rejected.get(name)
        return rejection is not None and rejection.version == resource.version


class Subscriber:
    """One connected Envoy. Responses to send to it are appended to `outbox`, in order.

    `node` and `zone` are as the Envoy names itself; the zone is empty if it knows none.
    `settled` is true if Envoy has accepted or rejected every resource that it should have. Envoy no longer counts the
    requests in flight of a cluster that it has replaced: `replacement` numbers the last time that this may have
    happened, 0 if never. No two replacements have the same number. With `replaced_before`, an earlier control plane may
    have replaced a cluster whose requests have not ended.
    """

    _replacements = itertools.count(1)

    def __init__(self, resources: Resources, *, draining: Collection[str] = (), replaced_before: bool = True) -> None:
        self.node: str | None = None
        self.zone = ""
        self.outbox: deque[Any] = deque()
        self.settled = False
        self._resources = resources
        self._draining = draining
        self._types: dict[str, _Subscription] = {}
        self._replaced: set[str] = set()  # clusters that wait for endpoints that Envoy does not ask for again
        self._nonce = 0
        self._replaced_before = replaced_before
        self.replacement = 0

    def update(self, resources: Resources, *, draining: Collection[str] = ()) -> None:
        """Replace the resources that Envoy should have. Nodes in `draining` get no listeners."""
        self._resources = resources
        self._draining = draining
        self.retry()

    def retry(self) -> None:
        """Send rejected resources again: a port that was in use may be free now."""
        for subscription in self._types.values():
            subscription.retry = set(subscription.rejected)
        self._advance()

    def receive(self, request: Any) -> None:
        """Handle a DeltaDiscoveryRequest: a subscription, an acknowledgement, or both."""
        if request.HasField("node") and request.node.id:
            self.node = str(request.node.id)
            self.zone = str(request.node.locality.zone)
        type_url: str = request.type_url
        first = type_url not in self._types
        subscription = self._types.setdefault(type_url, _Subscription())
        if first:
            subscription.held.update(request.initial_resource_versions)
            if type_url == CLUSTER and subscription.held and self._replaced_before:
                self.replacement = next(self._replacements)  # perhaps by the control plane before this one
            subscription.wildcard = type_url in _WILDCARD_TYPES and not request.resource_names_subscribe
        if sent := subscription.pending.pop(request.response_nonce, None):
            if request.HasField("error_detail"):
                _take_rejection(subscription, sent, str(request.error_detail.message))
            else:
                _take_acknowledgement(subscription, sent)
        asked = _subscribe(subscription, request.resource_names_subscribe, first=first)
        _unsubscribe(subscription, request.resource_names_unsubscribe)
        if asked:
            self._answer(type_url, subscription, asked)
        self._advance()

    def rejections(self) -> Iterator[tuple[Resource, str]]:
        """Yield each rejected resource, of those that Envoy should have now, and the reason."""
        for type_url, subscription in self._types.items():
            there = self._wanted(type_url)
            for name, rejection in subscription.rejected.items():
                if name in there and subscription.has_rejected(name, there[name]):
                    yield there[name], rejection.message

    def _advance(self) -> None:
        """Queue every response that may be sent now, and update `settled`."""
        self.settled = False
        for type_url in _TARGETS:
            self._send_difference(type_url, keep=True)
        if not all(self._of(t).has_answered_for(self._needed(t)) for t in _TARGETS):
            return
        for type_url in _USERS:
            self._send_difference(type_url)
            if not self._has_answered(type_url):
                return
        if not self._has_asked():
            return
        for type_url in _TARGETS:
            self._send_difference(type_url)
        self.settled = all(self._has_answered(type_url) for type_url in _TARGETS)

    def _has_asked(self) -> bool:
        """Whether Envoy has subscribed to all it needs: the parts of a listener are requested after the listener."""
        if not {CLUSTER, LISTENER} <= self._types.keys():
            return False
        return FRONT not in self._of(LISTENER).held or all(
            self._resources.get(type_url, {}).keys() <= self._of(type_url).names for type_url in (EXTENSION, ROUTES)
        )

    def _has_answered(self, type_url: str) -> bool:
        """Whether Envoy has accepted or rejected every resource of a type that it should have, and has no other."""
        subscription, wanted = self._of(type_url), self._needed(type_url)
        return not (subscription.held.keys() - wanted.keys()) and subscription.has_answered_for(wanted)

    def _of(self, type_url: str) -> _Subscription:
        return self._types.get(type_url) or _Subscription()

    def _needed(self, type_url: str) -> Mapping[str, Resource]:
        """Return the resources that Envoy has to answer for. It asks for the endpoints of each cluster it accepts."""
        if type_url != ENDPOINTS or CLUSTER not in self._types:
            return self._wanted(type_url)
        names, clusters = self._of(ENDPOINTS).names, self._of(CLUSTER)
        refused = {name for name, r in self._wanted(CLUSTER).items() if clusters.has_rejected(name, r)}
        expected = self._wanted(CLUSTER).keys() - refused
        return {n: r for n, r in self._resources.get(ENDPOINTS, {}).items() if n in names or n in expected}

    def _wanted(self, type_url: str) -> Mapping[str, Resource]:
        if type_url == LISTENER and self.node in self._draining:
            return {}
        subscription, there = self._of(type_url), self._resources.get(type_url, {})
        return there if subscription.wildcard else {n: r for n, r in there.items() if n in subscription.names}

    def _send_difference(self, type_url: str, *, keep: bool = False) -> None:
        """Send the resources of a type that Envoy lacks and, unless `keep`, the names of removed ones."""
        subscription = self._types.get(type_url)
        if subscription is None or subscription.pending:
            return
        wanted = self._wanted(type_url)
        changed = {
            name: resource
            for name, resource in wanted.items()
            if (self._waits(type_url, name) or subscription.held.get(name) != resource.version)
            and (name in subscription.retry or not subscription.has_rejected(name, resource))
        }
        gone = [] if keep else [name for name in subscription.held if name not in wanted]
        for name in subscription.alone & changed.keys():
            self._send(type_url, subscription, {name: changed.pop(name)})
        if changed or gone or not subscription.answered:
            self._send(type_url, subscription, changed, gone)

    def _answer(self, type_url: str, subscription: _Subscription, asked: Sequence[str]) -> None:
        """Answer a subscription to names at once: Envoy waits for each name, even if it does not exist."""
        wanted = self._wanted(type_url)
        found = {
            name: wanted[name]
            for name in asked
            if name in wanted and (self._waits(type_url, name) or subscription.expects(name) != wanted[name].version)
        }
        absent = [name for name in asked if name not in wanted]
        if found or absent:
            self._send(type_url, subscription, found, absent)

    def _waits(self, type_url: str, name: str) -> bool:
        return type_url == ENDPOINTS and name in self._replaced

    def _send(
        self,
        type_url: str,
        subscription: _Subscription,
        changed: Mapping[str, Resource],
        gone: Sequence[str] = (),
    ) -> None:
        self._nonce += 1
        if type_url == CLUSTER:
            replaced = subscription.held.keys() & changed.keys()
            self._replaced |= replaced
            if replaced:
                self.replacement = next(self._replacements)
        elif type_url == ENDPOINTS:
            self._replaced -= changed.keys()
        versions: dict[str, str | None] = {name: resource.version for name, resource in changed.items()}
        subscription.pending[str(self._nonce)] = _Sent({**versions, **dict.fromkeys(gone)})
        subscription.answered = True
        subscription.retry -= changed.keys()
        self.outbox.append(response(type_url, str(self._nonce), changed, gone))


def response(type_url: str, nonce: str, changed: Mapping[str, Resource], gone: Sequence[str]) -> Any:
    """Return a DeltaDiscoveryResponse with resources, and with the names of those that do not exist."""
    made = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url, nonce=nonce, removed_resources=gone)
    for name, resource in changed.items():
        added = made.resources.add(name=name, version=resource.version)
        added.resource.type_url = type_url
        added.resource.value = resource.body
    return made


def _subscribe(subscription: _Subscription, names: Iterable[str], *, first: bool) -> list[str]:
    """Add names to a subscription, and return those that Envoy waits for."""
    asked: list[str] = []
    for name in names:
        if name == _WILDCARD:
            subscription.wildcard = True
            continue
        subscription.names.add(name)
        asked.append(name)
        # A second subscription on the same stream means that Envoy has dropped the resource.
        if not first:
            subscription.held.pop(name, None)
            subscription.rejected.pop(name, None)
    return asked


def _unsubscribe(subscription: _Subscription, names: Iterable[str]) -> None:
    for name in names:
        if name == _WILDCARD:
            subscription.wildcard = False
            subscription.held = {n: v for n, v in subscription.held.items() if n in subscription.names}
            continue
        subscription.names.discard(name)
        for known in (subscription.held, subscription.rejected):
            known.pop(name, None)


def _take_acknowledgement(subscription: _Subscription, sent: _Sent) -> None:
    for name, version in sent.versions.items():
        subscription.rejected.pop(name, None)
        subscription.alone.discard(name)
        if version is None:
            subscription.held.pop(name, None)
        else:
            subscription.held[name] = version


def _take_rejection(subscription: _Subscription, sent: _Sent, message: str) -> None:
    """Record the resources at fault. Envoy may not have applied the others, so they are sent again."""
    names = [name for name, version in sent.versions.items() if version is not None]
    at_fault = [name for name in names if _is_named(name, message)] or (names if len(names) == 1 else [])
    if not at_fault:
        subscription.alone |= set(names)
    for name, version in sent.versions.items():
        if version is None:
            subscription.held.pop(name, None)
        elif name in at_fault:
            subscription.alone.discard(name)
            subscription.rejected[name] = Rejection(version, message)


def _is_named(name: str, message: str) -> bool:
    """Whether a message names a resource.

    >>> _is_named("app/shop/http", "Error adding listener 'app/shop/http': cannot bind")
    True
    >>> _is_named("model/chat", "Error adding cluster model/chat-2: no")
    False
    """
    return re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", message) is not None
