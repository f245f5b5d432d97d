"""Render the specs of a directory or a commit, with schemas and policies, for `plan`, `check` and `explain`.

Called by cli and wiring.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bateau.control.comparison import difference, taken, unread
from bateau.control.delivery import Rendered, deliver
from bateau.control.object_checks import Rules
from bateau.domain.change import Delivery
from bateau.domain.errors import ControlError, SourceError
from bateau.domain.manifest import Manifest
from bateau.kit.json_value import ReadObject, is_object
from bateau.kit.position import Flaw
from bateau.kit.yaml_go import KUBECTL
from bateau.kit.yaml_tree import read_documents
from bateau.ports.foreign import Foreign
from bateau.sources.git import GitObjects, Listing
from bateau.sources.spec_files import SpecFiles
from bateau.specs import Reading, read
from bateau.wiring.bundles import bundle_at
from bateau.wiring.foreign import foreign_documents, foreign_documents_at
from bateau.wiring.policies import starter_policies
from bateau.wiring.question import Question
from bateau.wiring.schemas import load_schemas

_FLAWS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class _Side:
    """The specs of the directory or of a commit, with the files that its apps name. `name` is for people."""

    name: str
    texts: Mapping[str, str]
    reading: Reading
    foreign: Foreign | None


@dataclass(frozen=True, kw_only=True)
class Base:
    """A commit: its specs by name, and all of its files below the directory of the specs."""

    objects: GitObjects
    commit_id: str
    texts: Mapping[str, str]
    listing: Listing


def rendered(question: Question) -> Rendered:
    """Render the specs of the directory."""
    return _delivered(question, _now(question))


def rendered_at(question: Question, revision: str) -> Rendered:
    """Render the specs of the directory at a commit. Raises the SourceError family."""
    return _delivered(question, _at(question, revision))


def rendered_again(question: Question, made: Rendered) -> Rendered:
    """Render specs of the directory that were rendered already, for the offers of a cluster."""
    foreign = foreign_documents(question.directory, question.kubernetes)
    reading = made.reading or read(made.texts)
    return _delivered(question, _Side(name=made.missing.side, texts=made.texts, reading=reading, foreign=foreign))


def planned(
    question: Question,
    *,
    commits: tuple[str, str] | None,
    against: Path | str | None,
    confirmed: int | None = None,
    made: Rendered | None = None,
) -> Delivery:
    """Return the changes between two commits, or from the last commit or `against` to the directory.

    `against` is a directory of manifests, or a bundle: a file, or its reference in a registry. `confirmed` is the
    confirmed number of removals. `made` are the specs of the directory if they have been rendered. Raises ControlError
    and the SourceError family.
    """
    older, newer = commits or ("", "")
    if made is None:
        made = rendered_at(question, newer or "HEAD") if commits else rendered(question)
    if against:
        manifests = manifests_at(against, question.environment)
        observed = taken(
            manifests,
            str(against),
            made.reading or read(made.texts),
            rules_of(question),
            environment=question.environment,
            variables=os.environ,
        )
    else:
        observed = _observed(question, older or "HEAD", made)
    return difference(made, observed, environment=question.environment, confirmed=confirmed)


def _observed(question: Question, revision: str, desired: Rendered) -> Rendered:
    """Render the older commit. Raises the SourceError family, unless `desired` has errors to report first."""
    try:
        return rendered_at(question, revision)
    except SourceError as error:
        if not desired.wrong:
            raise
        return unread(revision, error.message, environment=question.environment)


async def commit_of(question: Question, revision: str) -> str:
    """Return the id of a commit of the repository that the directory lies in. Raises the SourceError family."""
    return await (await GitObjects.of_clone(question.directory, environ=os.environ)).id_of(revision)


async def prefix_of(directory: Path) -> str:
    """Return the path of a directory from the top of its repository, ending in "/"; empty outside a repository."""
    try:
        return (await GitObjects.of_clone(directory, environ=os.environ)).path_of("")
    except SourceError:
        return ""


def manifests_at(place: Path | str, environment: str | None) -> Sequence[Manifest | ReadObject]:
    """Return the objects for an environment in a bundle, or in the YAML files below a directory.

    `place` is a file, a directory, or the reference oci://... of a bundle in a registry. Raises ControlError if they
    cannot be read, there are none, or the bundle is for another environment, and the SourceError family.
    """
    if isinstance(place, str) or not place.is_dir():
        return bundle_at(place, environment=environment)
    found = objects_in(place)
    if not found:
        hint = "write it with `bateau render --env NAME -o DIRECTORY`"
        raise ControlError(f"`--against` needs Kubernetes objects, and there are none below {place}", hint=hint)
    return found


def objects_in(directory: Path) -> list[ReadObject]:
    """Return every Kubernetes object in the YAML files below a directory, as kubectl reads them.

    Raises ControlError if any of them cannot be read or is not YAML.
    """
    found: list[ReadObject] = []
    flaws: list[Flaw] = []
    for path in sorted((*directory.rglob("*.yaml"), *directory.rglob("*.yml"))):
        try:
            text = path.read_text("utf-8", "surrogateescape") if not path.is_dir() else ""
        except OSError as error:
            raise ControlError(f"cannot read {path}: {error.strerror}") from error
        documents, unread = read_documents(str(path.relative_to(directory)), text, dialect=KUBECTL)
        flaws += [flaw for each in (*documents, *unread) for flaw in each.flaws]
        found += [tree for document in documents if is_object(tree := document.tree) and "kind" in tree]
    if flaws:
        says = [f"{flaw.position}: {flaw.says}" for flaw in flaws[:_FLAWS_SHOWN]]
        more = f"; and {len(flaws) - _FLAWS_SHOWN} more" if len(flaws) > _FLAWS_SHOWN else ""
        raise ControlError(f"{directory} cannot be read: {'; '.join(says)}{more}", hint=flaws[0].hint)
    return found


def _now(question: Question) -> _Side:
    texts = SpecFiles(question.directory, default={}).read()
    foreign = foreign_documents(question.directory, question.kubernetes)
    return _Side(name="the working tree", texts=texts, reading=read(texts), foreign=foreign)


def _at(question: Question, revision: str) -> _Side:
    base = asyncio.run(base_at(question, revision))
    commit, reading = base.commit_id, read(base.texts)
    foreign = None
    if any(spec.brings_documents for spec in reading.specs):
        foreign = foreign_documents_at(base.objects, base.listing, commit, question.kubernetes)
    called = "" if commit.startswith(revision) else f" ({revision})"
    return _Side(name=f"commit {commit[:12]}{called}", texts=base.texts, reading=reading, foreign=foreign)


async def base_at(question: Question, revision: str) -> Base:
    """Return a commit of the repository that a question is about. Raises the SourceError family."""
    if question.subdirectory is None:
        objects = await GitObjects.of_clone(question.directory, environ=os.environ)
    else:
        objects = GitObjects.of_bare(question.directory, question.subdirectory, environ=os.environ)
    commit = await objects.id_of(revision)
    return Base(
        objects=objects,
        commit_id=commit,
        texts=await objects.texts_at(commit),
        listing=await objects.listing(commit),
    )


def rules_of(question: Question) -> Rules:
    """Return the schemas and the policies of a question."""
    return Rules(
        schemas=load_schemas(question.kubernetes),
        today=datetime.now(tz=UTC).date(),
        starter=starter_policies() if question.starter else (),
        offers=question.offers,
    )


def _delivered(question: Question, side: _Side) -> Rendered:
    made = deliver(
        side.reading,
        question.environment,
        rules_of(question),
        variables=os.environ,
        namespace=question.namespace,
        foreign=side.foreign,
    )
    return replace(made, texts=side.texts, missing=replace(made.missing, side=side.name))
