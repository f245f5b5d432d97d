"""Write files to a tar archive (POSIX.1-2001) that is compressed with Zstandard (RFC 8878), part by part.

Called by control. Each part is a separate Zstandard frame with whole files in
it, so existing parts are combined without decompressing them. `tar --zstd` reads the result.

Invariant: the same files give the same bytes: no times, no owners. Held by tests/kit/test_archive.py.
Refused: one frame for all files; it is three times smaller, but one changed file changes every byte after it.
"""

import tarfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Final

from backports import zstd

_LEVEL: Final = 3
_BLOCK: Final = 512
_NAME_MAX: Final = 100
_SIZE_MAX: Final = 8**11 - 1
# After the checksum: type "file", no link, the format, and no names and numbers of owners and devices.
_BEHIND: Final = b"0" + bytes(100) + b"ustar\x0000" + bytes(64 + 16 + 155 + 12)
_UNPACKED_BYTES_MAX: Final = 2**30
_COMPRESSOR: Final = zstd.ZstdCompressor(level=_LEVEL)


class ArchiveError(ValueError):
    """The data is damaged, or not an archive of this format; the text says how."""


def members(files: Mapping[str, bytes]) -> bytes:
    """Return the archive entries of files, in their order, before compression."""
    return b"".join(_member(name, content) for name, content in files.items())


def compressed(data: bytes) -> bytes:
    """Return bytes as a frame. Concatenated frames are one archive."""
    return _COMPRESSOR.compress(data, zstd.ZstdCompressor.FLUSH_FRAME)


def decompressed(data: bytes) -> bytes:
    """Return the content of all frames. Raises ArchiveError if one is damaged, or suspiciously large."""
    if not data:
        return b""  # an archive without frames is empty, not truncated
    try:
        with zstd.ZstdFile(BytesIO(data)) as file:
            whole = file.read(_UNPACKED_BYTES_MAX + 1)
    except (zstd.ZstdError, EOFError) as error:
        raise ArchiveError(str(error) or "it ends in the middle") from error
    if len(whole) > _UNPACKED_BYTES_MAX:
        raise ArchiveError("it is too large")
    return whole


def archive(frames: Iterable[bytes]) -> bytes:
    """Return the archive that consists of frames."""
    return b"".join((*frames, compressed(bytes(2 * _BLOCK))))


def files_in(data: bytes) -> dict[str, bytes]:
    """Return the files of an archive, or of frames of one. Raises ArchiveError.

    Links, devices and sparse files are skipped.
    """
    whole = BytesIO(decompressed(data) + bytes(2 * _BLOCK))
    found: dict[str, bytes] = {}
    try:
        # No other compression inside: its unpacked size would not be limited.
        with tarfile.open(fileobj=whole, mode="r:") as archived:
            for member in archived:
                # A sparse file may claim any size.
                plain = member.isreg() and not member.issparse()
                content = archived.extractfile(member) if plain else None
                if content:
                    found[member.name] = content.read()
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise ArchiveError(str(error) or type(error).__name__) from error
    return found


def _member(name: str, content: bytes) -> bytes:
    """Return a file of a tar archive: its header, its content, and zeros up to the next block."""
    return b"".join((_header(name, len(content)), content, bytes(-len(content) % _BLOCK)))


def _header(name: str, size: int) -> bytes:
    """Return the header of a file. A short name is formatted here: the result of tarfile, in a tenth of its time."""
    if not name.isascii() or len(name) > _NAME_MAX or size > _SIZE_MAX:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o644
        return info.tobuf(tarfile.PAX_FORMAT)
    before = b"%s0000644\x000000000\x000000000\x00%011o\x0000000000000\x00" % (name.encode().ljust(100, b"\0"), size)
    checksum = sum(before) + 8 * ord(" ") + sum(_BEHIND)
    return b"%s%06o\x00 %s" % (before, checksum, _BEHIND)
