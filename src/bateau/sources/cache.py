"""Keep models on disk by their content, and record which reference led to which content.

Called by sources. The layout below the cache directory:

    blobs/sha256/DIGEST   complete files, verified, never changed
    refs/KEY.json         reference -> digest and size; KEY is a hash of the reference, and the file contains the
                          reference without its secrets
    partial/KEY.part      the bytes of a file that have arrived; KEY.json: their source; KEY.lock: a process is fetching
                          the file now

Invariant: a file below blobs/ is always complete, because it is renamed on one file system. Nothing outside the cache
is removed. Held by tests/sources/test_download.py and tests/sources/test_models.py.
Invariant: a name below blobs/ is not trusted: content whose size differs from the recorded one counts as damaged. Held
by tests/sources/test_damage.py.
Refused: the huggingface_hub cache; its layout has repositories and revisions, and no place for the other five schemes.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bateau.domain.errors import DiskFull, SourceError, SourceNotFound
from bateau.kit.json_value import JsonObject, ReadObject, object_at, text_at
from bateau.sources.http import shown
from bateau.sources.lock import tried

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
ROOM_HINT = (
    "free some space (`bateau models list`, `bateau models rm`), or set XDG_CACHE_HOME to a larger disk; "
    "a download continues from the bytes that have arrived"
)
_FORMAT = 2
_CHUNK_BYTES = 1 << 20
_DIGEST_CHARS_MIN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedModel:
    """One file in the cache, and the references that lead to it. If it is `damaged`, it must be fetched again."""

    references: tuple[str, ...]
    size_bytes: int
    sha256: str
    damaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The content that a reference led to. `checked`: its source promised the digest."""

    sha256: str
    checked: bool
    size_bytes: int | None  # None in notes of version 0.1, which had no size


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The result of a removal. `freed_bytes` is 0 if another reference still needs the content."""

    references: tuple[str, ...]
    freed_bytes: int


class Cache:
    """The directory of the models. It is created at the first write."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs" / "sha256"
        self._refs = directory / "refs"
        self.partial = directory / "partial"

    def make(self) -> None:
        """Create the directories. Raises SourceError if that fails, DiskFull if there is no space."""
        with self.writing():
            for path in (self._blobs, self._refs, self.partial):
                path.mkdir(parents=True, exist_ok=True)
                if not os.access(path, os.W_OK):
                    raise PermissionError(13, "Permission denied")

    @contextmanager
    def writing(self) -> Generator[None]:
        """Turn an error of the file system into a SourceError, and a full disk into DiskFull."""
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise DiskFull(f"the disk of {self.directory} is full: {error.strerror}", hint=ROOM_HINT) from error
            raise SourceError(
                f"cannot write to the model cache {self.directory}: {error.strerror}",
                hint="set XDG_CACHE_HOME to a writable directory",
            ) from error

    def blob(self, sha256: str) -> Path:
        """Return the path for the content with this digest, whether it exists or not."""
        return self._blobs / sha256

    def note(self, reference: str) -> Note | None:
        """Return the note about `reference` if content with its digest exists, complete or not."""
        tree = read_json(self._ref(reference))
        digest, size = tree.get("sha256"), tree.get("size_bytes")
        if not isinstance(digest, str) or not _is_digest(digest) or not self.blob(digest).is_file():
            return None
        return Note(
            sha256=digest, checked=tree.get("checked") is True, size_bytes=size if isinstance(size, int) else None
        )

    def is_cut(self, note: Note) -> bool:
        """Whether the size of the content differs from the recorded one."""
        return note.size_bytes is not None and _size_of(self.blob(note.sha256)) != note.size_bytes

    def is_sound(self, sha256: str, *, stopped: Callable[[], bool]) -> bool:
        """Read the whole content and compare it with its digest.

        Raises SourceError if it cannot be read, and soon after `stopped` returns true.
        """
        found = hashlib.sha256()
        try:
            with self.blob(sha256).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    if stopped():
                        raise InterruptedError(errno.EINTR, "stopped")
                    found.update(chunk)
        except OSError as error:
            raise SourceError(f"{self.blob(sha256)} cannot be read: {error.strerror}") from error
        return found.hexdigest() == sha256

    def drop(self, sha256: str) -> None:
        """Remove damaged content. The notes stay, so its references are still known."""
        with self.writing():
            _unlink(self.blob(sha256))

    def add(self, path: Path, *, sha256: str) -> None:
        """Move the complete, verified file at `path` (below `partial`) into the cache."""
        with self.writing():
            path.chmod(0o444)
            path.replace(self.blob(sha256))

    def remember(self, reference: str, sha256: str, *, checked: bool) -> None:
        """Record the content that `reference` leads to, and whether its source promised the checksum."""
        with self.writing():
            size_bytes = self.blob(sha256).stat().st_size
            tree = {"format": _FORMAT, "reference": shown(reference), "sha256": sha256, "checked": checked}
            write_json(self._ref(reference), {**tree, "size_bytes": size_bytes})

    def models(self) -> list[CachedModel]:
        """Return the files in the cache, sorted by reference. Only damage that changed the size is detected here."""
        references: dict[str, set[str]] = {}
        sizes: dict[str, set[int]] = {}
        for digest, tree in self._notes():
            references.setdefault(digest, set()).add(str(tree["reference"]))
            if isinstance(size_bytes := tree.get("size_bytes"), int):
                sizes.setdefault(digest, set()).add(size_bytes)
        found: list[CachedModel] = []
        for path in _entries(self._blobs):
            size_bytes = _size_of(path)
            if _is_digest(path.name) and size_bytes is not None:
                names = tuple(sorted(references.get(path.name, ())))
                damaged = bool(sizes.get(path.name, {size_bytes}) - {size_bytes})
                found.append(CachedModel(references=names, size_bytes=size_bytes, sha256=path.name, damaged=damaged))
        return sorted(found, key=lambda model: (model.references, model.sha256))

    def remove(self, reference: str) -> Removed:
        """Remove a reference, its partial downloads, and its content unless another reference leads there.

        Raises SourceNotFound, and SourceError while it is being fetched.
        """
        freed_bytes = self._remove_partial(reference)
        ref = self._ref_said(reference)
        digest = read_json(ref).get("sha256")
        if not isinstance(digest, str) or not _is_digest(digest):
            if freed_bytes is None:
                raise SourceNotFound(f"{shown(reference)} is not in the cache", hint="see `bateau models list`")
            return Removed(references=(shown(reference),), freed_bytes=freed_bytes)
        freed_bytes = (freed_bytes or 0) + self._remove_ref(ref, digest)
        return Removed(references=(shown(reference),), freed_bytes=freed_bytes)

    def discard(self, reference: str, sha256: str) -> None:
        """Remove a reference and its content, which turned out to be unusable."""
        self._remove_ref(self._ref(reference), sha256)

    def remove_content(self, prefix: str) -> Removed:
        """Remove the content whose digest begins with `prefix`, and every reference to it. Raises SourceNotFound."""
        found = [model for model in self.models() if model.sha256.startswith(prefix)]
        if not found:
            raise SourceNotFound(f"no model in the cache has a sha256 that begins with {prefix}")
        if len(found) > 1:
            raise SourceNotFound(
                f"{len(found)} models have a sha256 that begins with {prefix}", hint="write more digits of it"
            )
        model = found[0]
        with self.writing():
            for path in _entries(self._refs):
                if read_json(path).get("sha256") == model.sha256:
                    path.unlink(missing_ok=True)
            freed_bytes = _unlink(self.blob(model.sha256))
        return Removed(references=model.references, freed_bytes=freed_bytes)

    def _ref(self, reference: str) -> Path:
        return self._refs / f"{hashlib.sha256(reference.encode()).hexdigest()[:32]}.json"

    def _ref_said(self, reference: str) -> Path:
        """Return the file of a reference, which may also have the form that `models` shows, without secrets."""
        said = (path for path in _entries(self._refs) if read_json(path).get("reference") == reference)
        exact = self._ref(reference)
        return exact if exact.exists() else next(said, exact)

    def _notes(self) -> list[tuple[str, JsonObject]]:
        """Return the digest and the content of every note."""
        trees = [read_json(path) for path in _entries(self._refs) if path.suffix == ".json"]
        return [(text_at(tree, "sha256"), tree) for tree in trees if "reference" in tree and text_at(tree, "sha256")]

    def _remove_ref(self, ref: Path, digest: str) -> int:
        with self.writing():
            ref.unlink(missing_ok=True)
            needed = any(digest == noted for noted, _ in self._notes())
            return 0 if needed else _unlink(self.blob(digest))

    def _remove_partial(self, reference: str) -> int | None:
        freed_bytes: int | None = None
        for state in _entries(self.partial):
            if state.suffix == ".json" and read_json(state).get("reference") == shown(reference):
                with self.writing(), tried(state.with_suffix(".lock")) as is_ours:
                    if not is_ours:
                        raise SourceError(
                            f"{shown(reference)} is being fetched now", hint="stop the fetch first, or wait for its end"
                        )
                    parts = (state.with_suffix(".part"), state.with_suffix(".gguf"))
                    freed_bytes = (freed_bytes or 0) + sum(_unlink(part) for part in parts)
                    state.unlink(missing_ok=True)
        return freed_bytes


def digest_prefix(text: str) -> str | None:
    """Return `text` as a digest or the beginning of one, or None if it is neither.

    >>> digest_prefix("sha256:AB12CD"), digest_prefix("smollm2")
    ('ab12cd', None)
    """
    prefix = text.removeprefix("sha256:").lower()
    is_hex = all(char in "0123456789abcdef" for char in prefix)
    return prefix if is_hex and _DIGEST_CHARS_MIN <= len(prefix) <= hashlib.sha256().digest_size * 2 else None


def write_json(path: Path, tree: ReadObject) -> None:
    """Write `tree` to `path` atomically, even if another process writes there. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps(tree), encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def read_json(path: Path) -> JsonObject:
    """Return the object at `path`; empty if it does not exist or cannot be read."""
    try:
        return object_at(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return {}


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_digest(text: str) -> bool:
    return len(text) == hashlib.sha256().digest_size * 2 and digest_prefix(text) == text


def _unlink(path: Path) -> int:
    size_bytes = _size_of(path)
    path.unlink(missing_ok=True)
    return size_bytes or 0


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
