"""Put the controller of a cluster together: a reconciler for each namespace with documents, or a followed environment.

Called by wiring.controller_terms.

Invariant: deleting or restarting the controller changes nothing that runs. Held by tests/wiring/test_controller.py.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bateau.control.cluster_status import Namespace
from bateau.control.cluster_traffic import Space
from bateau.control.declared import Declared
from bateau.control.reconciler import Declare, Reconciler
from bateau.domain.errors import BateauError, ClusterError
from bateau.domain.spec import API_VERSION, Kind
from bateau.domain.system_names import LEASE
from bateau.domain.workload import ServiceKey
from bateau.ports.texts import Texts
from bateau.runtimes.kubernetes import ApiServer, KubernetesRuntime
from bateau.runtimes.kubernetes.api import Resource
from bateau.runtimes.kubernetes.documents import DocumentKind, Documents
from bateau.runtimes.kubernetes.lease import Lease
from bateau.runtimes.kubernetes.offers import read_offers
from bateau.runtimes.kubernetes.reach import Reach
from bateau.runtimes.kubernetes.watches import OwnWatches, SharedWatches
from bateau.sources.settings import Settings
from bateau.specs.kinds import STORED
from bateau.specs.kinds.key import KIND as KEY
from bateau.wiring.clusters import judge_of, owner_label
from bateau.wiring.controller_metrics import controller_page
from bateau.wiring.controller_settings import ControllerSettings
from bateau.wiring.declaring import Declaring
from bateau.wiring.followed_bundle import FollowedBundle
from bateau.wiring.followed_history import FollowedHistory
from bateau.wiring.following import Followed, opened_bundle, opened_repository
from bateau.wiring.keys_required import KeysRequired
from bateau.wiring.left_over import DOCUMENTS_OF, left_over
from bateau.wiring.offers import KnownOffers
from bateau.wiring.rolling_back import ClusterHistory
from bateau.wiring.schemas import VERSIONS
from bateau.wiring.statuses import Kept, Statuses
from bateau.wiring.stored_keys import ClusterKeys
from bateau.wiring.stored_texts import StoredTexts
from bateau.wiring.this_process import SystemClock
from bateau.wiring.worker import Worker

if TYPE_CHECKING:
    from bateau.wiring.gateway_feed import Admission, GatewayFeed

logger = logging.getLogger(__name__)

_RELEASE_S: Final = 3.0


class Controller:
    """The controller of one cluster, from `run` to its end. `reach` notes whether the cluster answers."""

    def __init__(self, settings: ControllerSettings, reach: Reach | None = None) -> None:
        self.settings = settings
        self.reach = reach or Reach()
        self._wakes: list[Callable[[], None]] = []
        self._clock = SystemClock()
        self._worker = Worker()
        self.api = ApiServer(settings.access, reach=self.reach)
        self._lease = Lease(self.api, self._clock, namespace=settings.namespace, name=LEASE, identity=settings.identity)
        self._leads = False
        self._offers = KnownOffers(partial(read_offers, self.api), self._clock)
        self._declaring = Declaring(self._worker, VERSIONS[-1], self._offers.now)
        kinds = [_documents_of(each) for each in STORED if each.name != "Key"]
        self._documents = Documents(self.api, kinds, changed=self._on_documents)
        self._kept: dict[str, Kept] = {}  # by namespace; a followed environment has ""
        self._apis: list[ApiServer] = [self.api]
        self._watches = SharedWatches(self.api)  # of all namespaces with documents
        self._statuses = Statuses(self._documents, self._kept)
        self._complete = False  # whether all namespaces were known at one time
        self._feed = self._new_feed(settings.gateway) if settings.gateway else None
        self._required = KeysRequired(self.api, namespace=settings.namespace, changed=self._changed)
        self._keys = self._new_keys() if settings.gateway and not settings.follows else None
        self._bundle: FollowedBundle | None = None
        self._history: FollowedHistory | None = None  # of a followed environment
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def holder(self) -> str:
        """The controller that holds the lease, "" while that is not known."""
        return self._lease.holder

    @property
    def is_read(self) -> bool:
        """Whether the state of every service is known, or why it is not."""
        if not self._kept if self.settings.follows else not self._documents_are_kept:
            return False
        return all(each.is_known or each.trouble for each in self._kept.values())

    @property
    def source_trouble(self) -> str | None:
        """Why the specs cannot be read now, None if they can, or if that was not tried yet."""
        if self._bundle and self._bundle.trouble:
            return self._bundle.trouble
        if self.settings.follows:
            return self._kept[""].reconciler.trouble if "" in self._kept else None
        return self._documents.trouble if self._kept else None

    @property
    def gateways(self) -> int | None:
        """The number of connected gateways, None if this controller has none."""
        return self._feed.gateways if self._feed else None

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever anything has changed."""
        self._wakes.append(wake)

    def namespaces(self) -> list[Namespace]:
        """Return the services of all namespaces, as far as they are known now."""
        return [
            Namespace(
                name=name,
                declared=kept.reconciler.declared,
                seen=kept.reconciler.observed,
                trouble=kept.reconciler.trouble,
            )
            for name, kept in sorted(self._kept.items())
        ]

    @property
    def unready(self) -> str | None:
        """Why the controller cannot do its work now, None if it can. One that waits for the lease is ready."""
        if not self._leads:
            return None if self._lease.holder else "the lease was not read yet"
        if self._bundle and (why := self._bundle.trouble):
            return why
        if not self.settings.follows and (why := self._documents.trouble):
            return why
        if self._keys and (why := self._keys.trouble):
            return why
        if self._feed and self._names_no_models:
            return "the bundle does not name the models that the gateway serves: render it again with this version"
        if self._feed and not self._feed.has_certificates:
            return "the certificates of the gateways were not made yet"
        return None

    async def run(self) -> None:
        """Wait for the lease, and act until it is lost, or until cancelled. Raises BateauError."""
        try:
            await self._lease.acquire()
            self._leads = True
            acting = asyncio.create_task(self._act(), name="controller")
            keeping = asyncio.create_task(self._lease.keep(), name="lease")
            try:
                await asyncio.wait({acting, keeping}, return_when=asyncio.FIRST_COMPLETED)
                if acting.done():
                    acting.result()
                logger.error("the lease is lost: another controller acts")
            finally:
                await _cancelled(acting, keeping)
        finally:
            await self._close()

    def metrics(self) -> str:
        """Return the Prometheus page."""
        sent = sum(each.requests.sent for each in self._apis)
        reconcilers = {namespace: kept.reconciler for namespace, kept in self._kept.items()}
        bundle_failures = self._bundle.failures if self._bundle else None
        return controller_page(
            reconcilers, leads=self._leads, sent=sent, gateways=self.gateways, bundle_failures=bundle_failures
        )

    async def _act(self) -> None:
        version = await self._version()
        self._declaring = Declaring(self._worker, version, self._offers.now)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                if self._feed:
                    tasks.create_task(self._feed.run(), name="gateways")
                    tasks.create_task(self._required.run(), name="whether keys are required")
                if self._keys:
                    tasks.create_task(self._keys.run(), name="keys")
                if self.settings.follows:
                    await self._follow()
                    return
                tasks.create_task(self._documents.run(), name="documents")
                tasks.create_task(self._statuses.run(), name="statuses")
                tasks.create_task(self._left_over(), name="inventories")
        except* BateauError as errors:
            raise errors.exceptions[0] from None

    async def _version(self) -> str:
        """Return the version of Kubernetes whose schemas are used: the cluster's own, or the newest that is known."""
        told = (await self.api.version()).removeprefix("v")
        served = ".".join(told.split(".")[:2])
        if served not in VERSIONS:
            logger.warning(
                "the cluster runs Kubernetes %s; objects are checked with the schemas of %s", told, VERSIONS[-1]
            )
        return served if served in VERSIONS else VERSIONS[-1]

    async def _follow(self) -> None:
        followed = await self._opened()
        owner = owner_label(followed.terms.namespace, followed.environment)
        record = ClusterHistory(self.api, owner, followed.terms.namespace, followed.environment or "")
        history = FollowedHistory(record, followed.source)
        api = self._new_api()
        runtime = KubernetesRuntime(
            api,
            self._clock,
            owner=owner,
            namespace=followed.terms.namespace,
            repository=followed.repository,
            drift=followed.terms.drift or "repair",
            watches=OwnWatches(api, judge=judge_of(followed.terms.health_checks)),
        )
        self._history = history
        self._start("", followed.name, followed.texts, history.declare, runtime)
        if self._tasks is not None:
            self._tasks.create_task(history.run(self._kept[""].reconciler), name="history")

    async def _opened(self) -> Followed:
        """Open the repository, or raise BateauError; or the bundle, and try until that succeeds."""
        settings = self.settings
        if settings.repository is not None:
            return await opened_repository(
                settings.repository,
                self._declaring,
                environment=settings.environment,
                namespace=settings.into,
                directory=settings.directory,
                environ=settings.environ,
                allowed_signers=settings.allowed_signers,
            )
        if settings.bundle is None:
            raise AssertionError("a controller without a repository or a bundle follows nothing")
        own = Settings(base=Path.cwd(), environ=settings.environ)
        self._bundle = FollowedBundle(settings.bundle, own, self._declaring, environment=settings.environment)
        return await opened_bundle(self._bundle)

    def _new_feed(self, address: str) -> "GatewayFeed":
        # They load gRPC, which a controller without gateways does not need.
        from bateau.wiring.gateway_certificates import GatewayCertificates
        from bateau.wiring.gateway_feed import GatewayFeed

        return GatewayFeed(
            GatewayCertificates(self.api, self._clock, namespace=self.settings.namespace),
            self._clock,
            address=address,
            directory=self.settings.directory,
            environ=self.settings.environ,
            spaces=self._spaces,
            admission=self._admission,
        )

    def _new_keys(self) -> ClusterKeys:
        return ClusterKeys(
            self.api,
            replace(_documents_of(KEY), unnamed=True),
            self._declaring,
            policies=self._policies,
            changed=self._changed,
        )

    def _policies(self) -> Mapping[str, str] | None:
        """Return the texts of all policies; None while some may be missing."""
        return self._documents.texts("") if self._documents.trouble is None else None

    def _admission(self) -> "Admission | None":
        """Return which keys get in; None until that is known. From the first key on, one is required."""
        from bateau.wiring.gateway_feed import Admission

        sound = self._kept[""].reconciler.sound if "" in self._kept else None
        keys = self._keys.keys if self._keys else sound.keys if sound else None
        required = self._required.is_required
        if keys is None or required is None:
            return None
        if keys:
            self._required.require()
        return Admission(keys if keys or required else None)

    @property
    def _names_no_models(self) -> bool:
        """Whether an old bundle is followed: the gateways keep what they have."""
        return any(
            sound and not sound.names_models for sound in (each.reconciler.sound for each in self._kept.values())
        )

    def _spaces(self) -> list[Space] | None:
        """Return the models of all namespaces; None until each of them has been read since the start."""
        if not self._complete:
            waits = not self.settings.follows and not self._documents_are_kept
            if waits or not all(each.is_known for each in self._kept.values()):
                return None
            self._complete = True
        if self._names_no_models:
            return None
        return [
            Space(
                namespace=namespace,
                release=sound.release,
                replicas=tuple(each.reconciler.observed.replicas),
                kept=sound.refused.keys(),
                since={
                    ServiceKey.of(document.kind, document.name): document.created
                    for document in self._documents.of(namespace).values()
                },
            )
            for namespace, each in self._kept.items()
            if (sound := each.reconciler.sound) is not None
        ]

    @property
    def _documents_are_kept(self) -> bool:
        """Whether the documents were read, and each of their namespaces is reconciled."""
        return self._documents.is_whole and not self._documents.namespaces() - self._kept.keys()

    def _changed(self) -> None:
        self._statuses.wake()
        if self._history:
            self._history.wake()
        if self._feed:
            self._feed.wake()
        for wake in self._wakes:
            wake()

    def _on_documents(self, namespaces: frozenset[str]) -> None:
        if self._keys:
            self._keys.wake()
        for namespace in namespaces - {""}:
            self._keep(namespace)
        self._changed()

    def _keep(self, namespace: str) -> None:
        """Reconcile a namespace from now on."""
        if namespace in self._kept or self._tasks is None:
            return

        async def declare(texts: Mapping[str, str]) -> Declared:
            return await self._declaring.documents(texts, namespace=namespace)

        owner = f"{DOCUMENTS_OF}.{namespace}"
        runtime = KubernetesRuntime(
            self._new_api(), self._clock, owner=owner, namespace=namespace, watches=self._watches
        )
        texts = StoredTexts(self._documents, namespace)
        self._start(namespace, f"documents of {namespace}", texts, declare, runtime)

    def _start(self, namespace: str, name: str, texts: Texts, declare: Declare, runtime: KubernetesRuntime) -> None:
        if self._tasks is not None:
            reconciler = Reconciler(
                name=name, texts=texts, declare=declare, runtime=runtime, clock=self._clock, changed=self._changed
            )
            self._kept[namespace] = Kept(reconciler, runtime)
            self._tasks.create_task(reconciler.run(), name=name)

    def _new_api(self) -> ApiServer:
        api = ApiServer(self.settings.access, reach=self.reach)
        self._apis.append(api)
        return api

    async def _left_over(self) -> None:
        for namespace in await left_over(self.api, self._documents):
            self._keep(namespace)

    async def _close(self) -> None:
        for each in self._kept.values():
            await each.reconciler.close()
        await self._watches.close()
        self._worker.close()
        if self._leads and self.reach.unreachable is None:
            try:
                async with asyncio.timeout(_RELEASE_S):
                    await self._lease.release()
            except (ClusterError, TimeoutError) as error:
                logger.warning("the lease was not given back, and ends by itself: %s", error)
        await self.api.close()


def _documents_of(kind: Kind) -> DocumentKind:
    plural = kind.resource.plural if kind.resource else ""
    return DocumentKind(kind.name, Resource(f"/apis/{API_VERSION}", plural, kind.to_workload is not None))


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
