"""Declare units in a process beside the controller, so that its memory and its loop are free of it.

Called by wiring.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bateau.control.bundled import Origin, declared_by, origin_of
from bateau.control.declared import Declared, declare, declare_each
from bateau.control.deliveries import Deliveries
from bateau.control.destinations import Terms, terms_of
from bateau.control.holding import with_holds
from bateau.control.object_checks import Rules
from bateau.control.stored_keys import StoredKey, StoredKeys, admitted
from bateau.domain.api_key import ApiKey
from bateau.domain.offers import Offers
from bateau.specs import read
from bateau.wiring.foreign import foreign_documents
from bateau.wiring.question import Question
from bateau.wiring.rolling_back import service_at
from bateau.wiring.schemas import load_schemas
from bateau.wiring.worker import Worker


class Declaring:
    """Declares units of texts for a cluster that serves a version of Kubernetes ("1.37").

    `offers` returns the accelerators of the cluster; it is asked only if texts may need one.
    """

    def __init__(self, worker: Worker, kubernetes: str, offers: Callable[[], Awaitable[Offers]]) -> None:
        self._worker = worker
        self._kubernetes = kubernetes
        self._offers = offers

    async def documents(self, texts: Mapping[str, str], *, namespace: str) -> Declared:
        """Declare the documents of a namespace, each by itself.

        Raises ControlError if the process dies, and ClusterError if it is not known what the cluster offers.
        """
        offers = await self._offers_for(texts)
        return await self._worker.call(_documents, dict(texts), namespace, self._kubernetes, offers)

    async def repository(
        self,
        texts: Mapping[str, str],
        deliveries: Deliveries,
        *,
        environment: str | None,
        namespace: str | None,
        directory: Path,
        cache: tuple[Path, str],
    ) -> Declared:
        """Declare an environment of a repository whose files are in a directory. Raises ControlError likewise.

        Services that a rollback of `deliveries` holds are as in their commits, which are in `cache`: a repository
        without a work tree, and the folder of the specs in it.
        """
        then = Question(
            directory=cache[0],
            subdirectory=cache[1],
            environment=environment,
            namespace=namespace,
            kubernetes=self._kubernetes,
            # A held service may need an accelerator that the followed commit does not.
            offers=await (self._offers() if deliveries.holds else self._offers_for(texts)),
        )
        return await self._worker.call(_repository, dict(texts), deliveries, then, directory)

    async def keys(
        self, stored: Sequence[StoredKey], policies: Mapping[str, str], before: Mapping[str, ApiKey] | None
    ) -> StoredKeys:
        """Return which of the Keys in the cluster get in: see `control.stored_keys`. Raises ControlError likewise."""
        return await self._worker.call(_keys, list(stored), dict(policies), before)

    async def bundle(self, data: bytes, name: str, deliveries: Deliveries, first: Origin) -> Declared:
        """Declare a bundle, which is for the same environment as the `first` one. Raises ControlError likewise."""
        return await self._worker.call(declared_by, data, name, deliveries, first)

    async def origin(self, data: bytes, name: str, environment: str | None) -> Origin:
        """Return where a bundle comes from. Raises ControlError likewise, and if it is for another environment."""
        return await self._worker.call(origin_of, data, name, environment)

    async def terms(self, texts: Mapping[str, str], *, environment: str | None, namespace: str | None) -> Terms:
        """Return the terms of an environment of a repository. Raises ControlError likewise."""
        return await self._worker.call(_terms, dict(texts), environment, namespace)

    async def _offers_for(self, texts: Mapping[str, str]) -> Offers | None:
        # A large cluster has large lists of nodes: they are not read for services on CPU.
        return await self._offers() if any("accelerator" in text for text in texts.values()) else None


def _terms(texts: Mapping[str, str], environment: str | None, namespace: str | None) -> Terms:
    return terms_of(read(texts), environment, namespace=namespace)


def _keys(stored: Sequence[StoredKey], policies: Mapping[str, str], before: Mapping[str, ApiKey] | None) -> StoredKeys:
    return admitted(stored, policies, before, today=datetime.now(tz=UTC).date())


def _documents(texts: Mapping[str, str], namespace: str, kubernetes: str, offers: Offers | None) -> Declared:
    return declare_each(texts, _rules(kubernetes, offers), namespace=namespace)


def _repository(texts: Mapping[str, str], deliveries: Deliveries, then: Question, directory: Path) -> Declared:
    return declare(
        texts,
        then.environment,
        _rules(then.kubernetes, then.offers),
        namespace=then.namespace,
        variables=os.environ,
        foreign=foreign_documents(directory, then.kubernetes),
        hold=lambda made: with_holds(made, deliveries, partial(service_at, then)),
    )


def _rules(kubernetes: str, offers: Offers | None) -> Rules:
    return Rules(schemas=load_schemas(kubernetes), today=datetime.now(tz=UTC).date(), offers=offers)
