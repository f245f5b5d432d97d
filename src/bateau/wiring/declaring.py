"""Declare units in a process beside the controller, so that its memory and its loop are free of it.

Called by wiring.controller.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bateau.control.declared import Declared, declare, declare_each
from bateau.control.destinations import Terms, terms_of
from bateau.control.object_checks import Rules
from bateau.specs import read
from bateau.wiring.foreign import foreign_documents
from bateau.wiring.schemas import load_schemas
from bateau.wiring.worker import Worker


class Declaring:
    """Declares units of texts for a cluster that serves a version of Kubernetes ("1.37")."""

    def __init__(self, worker: Worker, kubernetes: str) -> None:
        self._worker = worker
        self._kubernetes = kubernetes

    async def documents(self, texts: Mapping[str, str], *, namespace: str) -> Declared:
        """Declare the documents of a namespace, each by itself. Raises ControlError if the process dies."""
        return await self._worker.call(_documents, dict(texts), namespace, self._kubernetes)

    async def repository(
        self, texts: Mapping[str, str], *, environment: str | None, namespace: str | None, directory: Path
    ) -> Declared:
        """Declare an environment of a repository whose files are in a directory. Raises ControlError likewise."""
        return await self._worker.call(_repository, dict(texts), environment, namespace, directory, self._kubernetes)

    async def terms(self, texts: Mapping[str, str], *, environment: str | None, namespace: str | None) -> Terms:
        """Return the terms of an environment of a repository. Raises ControlError likewise."""
        return await self._worker.call(_terms, dict(texts), environment, namespace)


def _terms(texts: Mapping[str, str], environment: str | None, namespace: str | None) -> Terms:
    return terms_of(read(texts), environment, namespace=namespace)


def _documents(texts: Mapping[str, str], namespace: str, kubernetes: str) -> Declared:
    return declare_each(texts, _rules(kubernetes), namespace=namespace)


def _repository(
    texts: Mapping[str, str], environment: str | None, namespace: str | None, directory: Path, kubernetes: str
) -> Declared:
    return declare(
        texts,
        environment,
        _rules(kubernetes),
        namespace=namespace,
        variables=os.environ,
        foreign=foreign_documents(directory, kubernetes),
    )


def _rules(kubernetes: str) -> Rules:
    return Rules(schemas=load_schemas(kubernetes), today=datetime.now(tz=UTC).date())
