"""Put together what `render` needs: texts, rules, a memo of earlier results, and a digest of this program.

Called by cli.render.
"""

import functools
import os
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Final

import bateau
from bateau.control.bundle import bundle
from bateau.control.destinations import terms_of
from bateau.control.object_checks import Rules
from bateau.control.packing import Occasion, Packed, Sources, pack, read_sources
from bateau.control.served import served
from bateau.kit.garbage import no_collections
from bateau.ports.foreign import Foreign
from bateau.ports.memo import Memo
from bateau.sources.spec_files import SpecFiles
from bateau.store.memo import MemoFile
from bateau.wiring.paths import paths
from bateau.wiring.policies import starter_policies
from bateau.wiring.question import Question
from bateau.wiring.schemas import load_schemas


def cache_directory() -> AbstractContextManager[Path]:
    """Give the directory in which this user's runs leave what they worked out."""
    return nullcontext(paths("default", os.environ).cache)


@contextmanager
def fresh_directory() -> Generator[Path]:
    """Give a directory that is empty, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bateau-") as folder:
        yield Path(folder)


_LONG_S: Final = 0.2  # what takes less is done sooner than another process has begun

# What worker processes pack from: they are forks, and have it without being sent it.
_shared: list["Packer"] = []


class Packer:
    """Packs the environments of one directory. `cache` is where earlier runs have left what they worked out.

    For bundles it has to be one that `explains_foreign`.
    """

    def __init__(self, question: Question, *, cache: Path, explains_foreign: bool = True) -> None:
        self._question = question
        self._cache = cache
        self._occasion = Occasion(
            rules=Rules(
                schemas=load_schemas(question.kubernetes),
                today=datetime.now(tz=UTC).date(),
                starter=starter_policies() if question.starter else (),
            ),
            namespace=question.namespace,
            variables=os.environ,
            program=program_digest(),
            explains_foreign=explains_foreign,
        )
        self.texts = SpecFiles(question.directory, default={}).read()
        self._memos: dict[int, MemoFile] = {}
        with no_collections():
            self._sources: Sources = read_sources(self.texts, self._memo(), self._occasion.program)
        self._foreign = self._foreign_documents()

    def packed(self, environments: Sequence[str | None]) -> Iterator[Packed]:
        """Pack environments; yields in the order given.

        The first tells whether there is much to work out; then the others are, as many at once as there are cores.
        """
        started = time.perf_counter()
        yield from map(self.pack, environments[:1])
        rest = environments[1:]
        workers = min(len(rest), os.cpu_count() or 1)
        if workers < 2 or time.perf_counter() - started < _LONG_S:  # noqa: PLR2004 - one beside another
            yield from map(self.pack, rest)
            return
        # Not needed by most runs, and slow to import.
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        _shared.append(self)
        try:
            with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
                yield from pool.map(_packed, rest)
        finally:
            _shared.clear()

    def pack(self, environment: str | None) -> Packed:
        """Pack one environment."""
        with no_collections():
            return pack(self._sources, environment, self._occasion, self._memo(), foreign=self._foreign)

    def bundle(self, packed: Packed, *, commit: str | None = None, repository: str = "") -> bytes:
        """Return a packed environment as a bundle, with the commit and the name of the repository of its specs."""
        question = self._question
        terms = terms_of(self._sources.reading, packed.environment, namespace=question.namespace)
        return bundle(
            packed,
            terms,
            version=bateau.__version__,
            kubernetes=question.kubernetes,
            commit=commit,
            repository=repository,
            served=served(self._sources.reading.specs, packed.environment, os.environ, namespace=question.namespace),
        )

    @property
    def reads_other_files(self) -> bool:
        """Whether anything but the texts is packed: charts, kustomizations, plain manifests."""
        return self._foreign is not None

    def _foreign_documents(self) -> Foreign | None:
        if not any(spec.brings_documents for spec in self._sources.reading.specs):
            return None
        from bateau.wiring.foreign import foreign_documents  # most repositories have none

        return foreign_documents(self._question.directory, self._question.kubernetes)

    def close(self) -> None:
        """Let go of the cache."""
        if self._memos.get(os.getpid()):
            self._memos.pop(os.getpid()).close()

    def _memo(self) -> Memo:
        """Return what earlier runs have left. A process that was forked opens the file for itself."""
        if os.getpid() not in self._memos:
            self._memos[os.getpid()] = MemoFile(self._cache / "pieces.sqlite")
        return self._memos[os.getpid()]


def _packed(environment: str | None) -> Packed:
    return _shared[0].pack(environment)


@functools.cache
def program_digest() -> bytes:
    """Return a digest of all code and data of this package, so that one version never reads another's cache."""
    made = blake2b(digest_size=16)
    top = Path(str(resources.files("bateau")))
    for path in sorted(top.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            made.update(str(path.relative_to(top)).encode())
            made.update(path.read_bytes())
    return made.digest()
