"""Open the environment that a controller follows instead of documents: of a Git repository, or a bundle in a registry.

Called by wiring.controller.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bateau.control.declared import Declared
from bateau.control.deliveries import Deliveries
from bateau.control.destinations import Terms
from bateau.domain.errors import SourceError
from bateau.ports.texts import Texts
from bateau.sources.git import GitReference
from bateau.sources.git.identity import identity
from bateau.wiring.declaring import Declaring
from bateau.wiring.followed_bundle import FollowedBundle
from bateau.wiring.followed_history import Source
from bateau.wiring.repository import FollowedRepository, following_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A followed environment. `repository` names the repository of the specs, "" if it is not known.

    `environment` and `terms` are those of the first commit or bundle: others are another owner, which needs a new
    controller.
    """

    name: str
    texts: Texts
    source: Source
    environment: str | None
    terms: Terms
    repository: str


@dataclass(frozen=True, kw_only=True)
class RepositorySource:
    """An environment of a repository: `directory` has the files of the commit, `namespace` overrides its own.

    Satisfies `wiring.followed_history.Source`.
    """

    repository: FollowedRepository
    declaring: Declaring
    environment: str | None
    namespace: str | None
    directory: Path

    async def declare(self, texts: Mapping[str, str], deliveries: Deliveries, /) -> Declared:
        """Declare the followed commit, with the services that a rollback holds. Raises BateauError."""
        commit = self.repository.commit_id
        used = {hold.revision for hold in deliveries.holds.values()}
        kept = tuple(each for each in deliveries.revisions if each.id in used)
        for each in kept:
            if each.commit:
                await self._fetch(each.commit)
        declared = await self.declaring.repository(
            texts,
            replace(deliveries, revisions=kept),
            environment=self.environment,
            namespace=self.namespace,
            directory=self.directory,
            cache=self.repository.cache,
        )
        return replace(declared, commit=commit)

    async def _fetch(self, commit: str) -> None:
        try:
            await self.repository.fetch_older(commit)
        except SourceError as error:  # it is reported as a hold that cannot be read
            logger.warning("%s", error.message)


async def opened_repository(
    reference: GitReference,
    declaring: Declaring,
    *,
    environment: str | None,
    namespace: str | None,
    directory: Path,
    environ: Mapping[str, str],
    allowed_signers: Path | None,
) -> Followed:
    """Fetch a repository for the first time. Raises BateauError."""
    repository = FollowedRepository(
        reference,
        cache=directory / "cache",
        directory=directory / "source",
        environ=environ,
        following=following_of(reference, allowed_signers),
    )
    await repository.open()
    return Followed(
        name=reference.shown,
        texts=repository,
        source=RepositorySource(
            repository=repository,
            declaring=declaring,
            environment=environment,
            namespace=namespace,
            directory=directory / "source",
        ),
        environment=environment,
        terms=await declaring.terms(repository.read(), environment=environment, namespace=namespace),
        repository=identity(reference.url, reference.subdirectory),
    )


async def opened_bundle(bundle: FollowedBundle) -> Followed:
    """Fetch a bundle for the first time, and try until that succeeds."""
    origin = await bundle.open()
    return Followed(
        name=str(bundle.reference),
        texts=bundle,
        source=bundle,
        environment=origin.environment,
        terms=origin.terms,
        repository=origin.repository,
    )
