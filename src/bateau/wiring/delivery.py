"""Put together what `render` and `plan` need: texts of a directory or a commit, schemas, policies.

Called by those commands.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from bateau.control.delivery import Rendered, Rules, deliver
from bateau.domain.errors import ControlError
from bateau.kit.yaml_tree import read_documents
from bateau.sources.git import GitObjects
from bateau.sources.spec_files import SpecFiles
from bateau.specs import read
from bateau.wiring.policies import starter_policies
from bateau.wiring.schemas import load_schemas


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a command asks for."""

    directory: Path
    environment: str | None
    namespace: str = "default"
    starter: bool = False
    kubernetes: str = "1.37"


def rendered(question: Question) -> Rendered:
    """Render what stands in the directory now."""
    return _delivered(question, SpecFiles(question.directory, default={}).read())


async def rendered_at(question: Question, revision: str) -> Rendered:
    """Render what stood in the directory at a commit. Raises the SourceError family."""
    objects = await GitObjects.of_clone(question.directory, environ=os.environ)
    return _delivered(question, await objects.texts_at(revision))


async def commit_of(question: Question, revision: str) -> str:
    """Return the id of a commit of the repository that the directory lies in. Raises the SourceError family."""
    return await (await GitObjects.of_clone(question.directory, environ=os.environ)).id_of(revision)


def objects_in(directory: Path) -> list[Mapping[str, Any]]:
    """Return every Kubernetes object in the YAML files below a directory. Raises ControlError where one is no YAML."""
    found: list[Mapping[str, Any]] = []
    for path in sorted((*directory.rglob("*.yaml"), *directory.rglob("*.yml"))):
        documents, unread = read_documents(str(path.relative_to(directory)), path.read_text("utf-8", "surrogateescape"))
        flaws = [flaw for each in unread for flaw in each.flaws]
        if flaws:
            raise ControlError(f"{flaws[0].position}: {flaws[0].says}", hint=flaws[0].hint)
        every: list[Any] = [document.tree for document in documents]
        found += [cast("dict[str, Any]", tree) for tree in every if isinstance(tree, dict) and "kind" in tree]
    return found


def _delivered(question: Question, texts: Mapping[str, str]) -> Rendered:
    rules = Rules(
        schemas=load_schemas(question.kubernetes),
        today=datetime.now(tz=UTC).date(),
        starter=starter_policies() if question.starter else (),
    )
    return deliver(read(texts), question.environment, rules, variables=os.environ, namespace=question.namespace)
