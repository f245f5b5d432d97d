"""Turn a reference to a model into a file on this machine.

Called by wiring.local. control uses it through ports.source. Hands over to one resolver per scheme, then to download.

Invariant: `find` never uses the network. A user's own file is used in place, never copied or removed. Held by
tests/sources/test_models.py.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from bateau.domain.errors import NotAModel, SourceError, SourceNotFound, SourceUnreachable
from bateau.domain.model_file import ModelFile, Progress
from bateau.kit.hub_page import hub_reference
from bateau.kit.suggest import did_you_mean, listed
from bateau.sources import catalogue, hugging_face, oci, ollama, pypi, web
from bateau.sources.artifact import Artifact
from bateau.sources.cache import Cache, CachedModel, Note, Removed, digest_prefix
from bateau.sources.catalogue import CatalogueEntry
from bateau.sources.download import AccessExpired, Downloader, free_bytes
from bateau.sources.header import model_header
from bateau.sources.http import in_thread, shown
from bateau.sources.patience import Patience, Tries
from bateau.sources.settings import Settings

logger = logging.getLogger(__name__)

Resolve = Callable[[str, Settings], Awaitable[Artifact]]
OnProgress = Callable[[Progress], None]

RESOLVERS: Mapping[str, Resolve] = {
    "pypi:": pypi.resolve,
    "hf://": hugging_face.resolve,
    "ollama://": ollama.resolve,
    "oci://": oci.resolve,
    "https://": web.resolve,
    "http://": web.resolve,
}


@dataclass(eq=False)
class _Flight:
    """One download, and the reports of everyone who waits for it."""

    task: asyncio.Task[None]
    reports: list[Callable[[int, int | None], None]] = field(default_factory=list[Callable[[int, int | None], None]])


class Models:
    """The models of one user: a cache, a catalogue, and the resolvers that fill the cache.

    `cache` is created when it is first needed. Relative paths in references start at `base`. `environ` has HF_ENDPOINT,
    HF_TOKEN, HF_HUB_OFFLINE, PIP_INDEX_URL, UV_DEFAULT_INDEX, BATEAU_OFFLINE and so on; `index_url` has priority.
    """

    def __init__(
        self,
        *,
        cache: Path,
        base: Path,
        environ: Mapping[str, str],
        index_url: str | None = None,
        patience: Patience | None = None,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._settings = Settings(base=base, environ=environ, index_url=index_url)
        self._cache = Cache(cache)
        self._patience = patience or Patience()
        self._downloader = Downloader(
            self._cache, self._settings, patience=self._patience, is_whole=_is_whole, free=free
        )
        self._flights: dict[str, _Flight] = {}

    def find(self, reference: str) -> ModelFile | None:
        """Return the model if it is on this machine and complete. A damaged copy in the cache counts as missing.

        Raises SourceNotFound for an unknown reference, and NotAModel for a user's own file that is not a model.
        """
        source = self._source(reference)
        if isinstance(source, Path):
            return _own_file(reference, source)
        note = self._cache.note(source)
        return self._cached(reference, note) if note and not self._is_damaged(note) else None

    async def fetch(self, reference: str, on_progress: OnProgress) -> ModelFile:
        """Return the model, and fetch it first if it is missing or damaged. Raises the SourceError family.

        Concurrent calls for one reference share one download, which ends when the last of them is cancelled.
        """
        found = await asyncio.to_thread(self.find, reference)
        if found:
            return found
        source = str(self._source(reference))

        def report(done: int, total: int | None) -> None:
            on_progress(Progress(reference=reference, bytes_done=done, bytes_total=total))

        await self._join(source, report)
        found = await asyncio.to_thread(self.find, reference)
        if found is None:
            raise SourceUnreachable(f"{shown(reference)} was removed from the cache while it was fetched")
        return found

    async def verify(self, reference: str) -> bool:
        """Compare a model in the cache with its digest. If it differs, remove the model and return False.

        A user's own file has no digest, so it always passes. Raises the SourceError family.
        """
        source = self._source(reference)
        note = None if isinstance(source, Path) else self._cache.note(source)
        if note is None:
            return True
        stop = threading.Event()
        if await in_thread(lambda: self._cache.is_sound(note.sha256, stopped=stop.is_set), stop=stop.set):
            return True
        logger.warning("the cached copy of %s is damaged: its content has another sha256", shown(reference))
        self._cache.drop(note.sha256)
        return False

    def list(self) -> list[CachedModel]:
        """Return the models in the cache, including damaged ones."""
        return [
            model if _is_whole(self._cache.blob(model.sha256)) else replace(model, damaged=True)
            for model in self._cache.models()
        ]

    def remove(self, reference: str) -> Removed:
        """Remove a reference, or the content whose sha256 begins with it, from the cache only.

        Raises SourceNotFound, and SourceError for a file outside the cache.
        """
        prefix = digest_prefix(reference)
        if prefix is not None:
            return self._cache.remove_content(prefix)
        source = self._source(reference)
        if isinstance(source, Path):
            raise SourceError(f"{source} is your own file, outside the cache", hint=f"remove it yourself: rm {source}")
        return self._cache.remove(source)

    def catalogue(self) -> Sequence[CatalogueEntry]:
        """Return the known short names."""
        return catalogue.catalogue()

    def _is_damaged(self, note: Note) -> bool:
        return self._cache.is_cut(note) or not _is_whole(self._cache.blob(note.sha256))

    def _cached(self, reference: str, note: Note) -> ModelFile:
        path, says = self._cache.blob(note.sha256), shown(reference)
        return ModelFile(
            reference=says,
            path=path,
            size_bytes=path.stat().st_size,
            # A checksum that the source did not promise verifies nothing.
            sha256=note.sha256 if note.checked else None,
            header=model_header(path, says=says),
        )

    async def _join(self, source: str, report: Callable[[int, int | None], None]) -> None:
        flight = self._flights.get(source)
        if flight is None:
            flight = _Flight(asyncio.create_task(self._download(source)))
            self._flights[source] = flight
        flight.reports.append(report)
        try:
            await asyncio.shield(flight.task)
        finally:
            flight.reports.remove(report)
            if not flight.reports:
                if self._flights.get(source) is flight:
                    del self._flights[source]
                if not flight.task.done():
                    flight.task.cancel()
                    # No one is left who waits for its result or its error.
                    await asyncio.gather(flight.task, return_exceptions=True)

    async def _download(self, source: str) -> None:
        def report(done: int, total: int | None) -> None:
            flight = self._flights.get(source)
            for each in list(flight.reports) if flight else ():
                each(done, total)

        scheme = _scheme(source)
        self._refuse_offline(source, scheme)
        try:
            digest = await self._bring(source, scheme, report)
        except SourceUnreachable as error:
            error.hint = error.hint or self._here()
            raise
        try:
            await asyncio.to_thread(model_header, self._cache.blob(digest), says=shown(source))
        except SourceError:
            # A file that is not a model is useless, and must be fetched again once its source is fixed.
            self._cache.discard(source, digest)
            raise

    async def _bring(self, source: str, scheme: str, report: Callable[[int, int | None], None]) -> str:
        position = -1
        while True:
            artifact = await self._resolve(source, scheme)
            logger.info("fetching %s from %s", artifact.file_name, shown(artifact.url))
            try:
                return await self._downloader.fetch(artifact, reference=source, report=report)
            except AccessExpired as error:
                # Resolving again gets a new token. If that brings no new bytes, give up.
                if error.position <= position:
                    raise
                position = error.position

    async def _resolve(self, source: str, scheme: str) -> Artifact:
        tries = Tries(self._patience)
        while True:
            try:
                return await RESOLVERS[scheme](source, self._settings)
            except SourceUnreachable as error:
                await tries.wait(error)

    def _refuse_offline(self, source: str, scheme: str) -> None:
        variables = ("BATEAU_OFFLINE", "HF_HUB_OFFLINE") if scheme == "hf://" else ("BATEAU_OFFLINE",)
        for variable in variables:
            if self._settings.flag(variable):
                state = "is damaged in the cache" if self._cache.note(source) else "is not on this machine"
                raise SourceError(f"{shown(source)} {state}, and {variable} is set", hint=self._here())

    def _here(self) -> str:
        whole = (model for model in self.list() if not model.damaged)
        here = listed(shown(reference) for model in whole for reference in model.references)
        return f"on this machine: {here}" if here else "no model is on this machine yet"

    def _source(self, reference: str) -> Path | str:
        """Return the path or the full reference that `reference` stands for."""
        if pasted := hub_reference(reference):
            raise SourceNotFound(f"{shown(reference)} is the URL of a Hugging Face page", hint=f"write {pasted}")
        if _scheme(reference):
            try:
                urlsplit(reference)
            except ValueError as error:
                raise SourceNotFound(f"the {_scheme(reference)} reference is not a valid URL: {error}") from error
            return reference
        if reference.startswith(("/", "./", "../", "~")):
            return self._path(reference)
        for entry in catalogue.catalogue():
            if entry.name == reference:
                return entry.source
        if reference.lower().endswith(".gguf") and "://" not in reference:
            return self._path(reference)
        raise _unknown(reference)

    def _path(self, reference: str) -> Path:
        if reference == "~" or reference.startswith("~/"):
            return self._settings.home / reference[2:]
        return self._settings.base / reference


def _scheme(reference: str) -> str:
    return next((scheme for scheme in RESOLVERS if reference.startswith(scheme)), "")


def _own_file(reference: str, path: Path) -> ModelFile:
    try:
        header = model_header(path, says=reference)
    except NotAModel as error:
        error.hint = error.hint or f"replace {path} with a complete GGUF file"
        raise
    return ModelFile(reference=reference, path=path, size_bytes=path.stat().st_size, sha256=None, header=header)


def _is_whole(path: Path) -> bool:
    """Whether the header of a file is valid and all its tensors are in the file. Raises SourceError if unreadable."""
    try:
        model_header(path, says=path.name)
    except NotAModel:
        return False
    return True


def _unknown(reference: str) -> SourceNotFound:
    scheme, colon, _ = reference.partition("://")
    if colon:
        near = did_you_mean(f"{scheme}://", RESOLVERS)
        return SourceNotFound(f"{scheme}:// is not a known source of models", hint=near or f"known: {_known()}")
    names = [entry.name for entry in catalogue.catalogue()]
    if "/" in reference:
        return SourceNotFound(
            f"no model is called {reference}",
            hint=f"for a model on Hugging Face, write hf://{reference}; for a file, write ./{reference}",
        )
    near = did_you_mean(reference, names)
    return SourceNotFound(
        f"no model is called {reference}",
        hint=f"{near + ' ' if near else ''}known: {listed(names)}, or one of {_known()}",
    )


def _known() -> str:
    return f"{listed(RESOLVERS)}, a path"
