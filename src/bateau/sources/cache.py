"""Keep models on disk by what they contain, and remember which reference led to which content.

Called by models and download. The layout below the cache directory:

    blobs/sha256/DIGEST   whole files, checked, never changed
    refs/KEY.json         reference -> digest; KEY is a hash of it, and the file holds it without its secrets
    partial/KEY.part      what has arrived of a file, KEY.json where it came from, KEY.lock while someone fetches it

Invariant: a file appears below blobs/ only whole, by a rename on one file system; nothing outside the cache is removed.
Refused: the huggingface_hub cache; its layout knows repositories and revisions, not the other five schemes.
"""

import hashlib
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bateau.domain.errors import SourceError, SourceNotFound
from bateau.sources.http import shown
from bateau.sources.lock import tried

_DIGEST_CHARS_MIN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedModel:
    """One file in the cache, and the references that lead to it."""

    references: tuple[str, ...]
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was removed. `freed_bytes` is 0 where another reference still needs the content."""

    references: tuple[str, ...]
    freed_bytes: int


class Cache:
    """The models' directory. It is made when something is first written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs" / "sha256"
        self._refs = directory / "refs"
        self.partial = directory / "partial"

    def make(self) -> None:
        """Make the directories. Raises SourceError where that cannot be."""
        with self.writing():
            for path in (self._blobs, self._refs, self.partial):
                path.mkdir(parents=True, exist_ok=True)
                if not os.access(path, os.W_OK):
                    raise PermissionError(13, "Permission denied")

    @contextmanager
    def writing(self) -> Generator[None]:
        """Turn what the file system refuses into a SourceError."""
        try:
            yield
        except OSError as error:
            raise SourceError(
                f"cannot write to the model cache {self.directory}: {error.strerror}",
                hint="set XDG_CACHE_HOME to a directory that can be written",
            ) from error

    def blob(self, sha256: str) -> Path:
        """Return where the content with this digest lies, or would lie."""
        return self._blobs / sha256

    def digest(self, reference: str) -> str | None:
        """Return the digest that `reference` led to, if its content is here."""
        digest = read_json(self._ref(reference)).get("sha256")
        return digest if isinstance(digest, str) and _is_digest(digest) and self.blob(digest).is_file() else None

    def was_checked(self, reference: str) -> bool:
        """Whether the source of `reference` promised a checksum, which the content then had."""
        return read_json(self._ref(reference)).get("checked") is True

    def add(self, path: Path, *, sha256: str) -> None:
        """Move the whole, checked file at `path` (below `partial`) to its place."""
        with self.writing():
            path.chmod(0o444)
            path.replace(self.blob(sha256))

    def remember(self, reference: str, sha256: str, *, checked: bool) -> None:
        """Note which content `reference` leads to, and whether its source promised that checksum."""
        with self.writing():
            write_json(self._ref(reference), {"reference": shown(reference), "sha256": sha256, "checked": checked})

    def models(self) -> list[CachedModel]:
        """Return what is here, by reference."""
        references: dict[str, set[str]] = {}
        for reference, digest in self._references():
            references.setdefault(digest, set()).add(reference)
        found = [
            CachedModel(
                references=tuple(sorted(references.get(path.name, ()))),
                size_bytes=path.stat().st_size,
                sha256=path.name,
            )
            for path in _entries(self._blobs)
            if _is_digest(path.name)
        ]
        return sorted(found, key=lambda model: (model.references, model.sha256))

    def remove(self, reference: str) -> Removed:
        """Remove a reference, its content where nothing else leads there, and parts of it that have arrived.

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
        """Remove a reference whose content has turned out to be of no use, and that content."""
        self._remove_ref(self._ref(reference), sha256)

    def remove_content(self, prefix: str) -> Removed:
        """Remove the content whose digest begins with `prefix`, and every reference to it. Raises SourceNotFound."""
        found = [model for model in self.models() if model.sha256.startswith(prefix)]
        if not found:
            raise SourceNotFound(f"no model in the cache has a sha256 that begins with {prefix}")
        if len(found) > 1:
            raise SourceNotFound(f"{len(found)} models have a sha256 that begins with {prefix}", hint="give more of it")
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
        """Find a reference also by what `models` calls it, without its secrets."""
        said = (path for path in _entries(self._refs) if read_json(path).get("reference") == reference)
        exact = self._ref(reference)
        return exact if exact.exists() else next(said, exact)

    def _references(self) -> list[tuple[str, str]]:
        trees = [read_json(path) for path in _entries(self._refs) if path.suffix == ".json"]
        return [(str(tree["reference"]), str(tree["sha256"])) for tree in trees if {"reference", "sha256"} <= set(tree)]

    def _remove_ref(self, ref: Path, digest: str) -> int:
        with self.writing():
            ref.unlink(missing_ok=True)
            needed = any(other == digest for _, other in self._references())
            return 0 if needed else _unlink(self.blob(digest))

    def _remove_partial(self, reference: str) -> int | None:
        freed_bytes: int | None = None
        for state in _entries(self.partial):
            if state.suffix == ".json" and read_json(state).get("reference") == shown(reference):
                with self.writing(), tried(state.with_suffix(".lock")) as is_ours:
                    if not is_ours:
                        raise SourceError(
                            f"{shown(reference)} is being fetched just now", hint="stop that first, or let it end"
                        )
                    parts = (state.with_suffix(".part"), state.with_suffix(".gguf"))
                    freed_bytes = (freed_bytes or 0) + sum(_unlink(part) for part in parts)
                    state.unlink(missing_ok=True)
        return freed_bytes


def digest_prefix(text: str) -> str | None:
    """Return the digest, or the beginning of one, that `text` is.

    >>> digest_prefix("sha256:AB12CD"), digest_prefix("smollm2")
    ('ab12cd', None)
    """
    prefix = text.removeprefix("sha256:").lower()
    is_hex = all(char in "0123456789abcdef" for char in prefix)
    return prefix if is_hex and _DIGEST_CHARS_MIN <= len(prefix) <= hashlib.sha256().digest_size * 2 else None


def write_json(path: Path, tree: Mapping[str, Any]) -> None:
    """Put `tree` at `path`, all of it or nothing, whoever else writes there. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(tree), encoding="utf-8")
    fresh.replace(path)


def read_json(path: Path) -> Mapping[str, Any]:
    """Return the object at `path`; empty where there is none, or none that can be read."""
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return cast("Mapping[str, Any]", tree) if isinstance(tree, dict) else {}


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_digest(text: str) -> bool:
    return len(text) == hashlib.sha256().digest_size * 2 and digest_prefix(text) == text


def _unlink(path: Path) -> int:
    try:
        size_bytes = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size_bytes
