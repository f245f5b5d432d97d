"""The ledger: one line for each request, written by Envoy, rotated and read here.

Called by store.ledger_reader and wiring.

Envoy appends to `requests.jsonl`. It is renamed when it is large or a day old; older files are compressed, and removed
after 90 days.

Invariant: a damaged line is left out and counted; all others are read. Held by
tests/store/test_ledger.py::test_a_damaged_line_is_counted_and_all_others_are_read.
Invariant: a rotation loses no line, and one that is interrupted is completed by the next. Held by
tests/store/test_ledger.py::test_an_interrupted_rotation_loses_nothing.
"""

import asyncio
import fcntl
import gzip
import json
import os
import shutil
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bateau.domain.used import Used
from bateau.kit.json_value import JsonObject, is_object, text_at

_BYTES_MAX: Final = 64 * 2**20
_DAY_S: Final = 86_400.0
KEPT_DAYS: Final = 90
_FORMAT: Final = "1"
_PACKED_FORMAT: Final = "2"  # what the answer says is one text, in the field `counts`
_PACKED: Final = "counts"
_IN_ANSWERS: Final = frozenset(
    (
        *("prompt_tokens", "completion_tokens", "cached_tokens"),
        *("input_tokens", "output_tokens", "cache_read_input_tokens"),
        *("prompt_n", "cache_n", "predicted_n", "prompt_ms", "predicted_ms"),
        *("events", "stop_reason"),
    )
)
_BEGUN_FORMAT: Final = "begun-1"  # of a line about a request that was sent to a replica
_FORMAT_FIELD: Final = "v"
_NAME: Final = "requests-%Y%m%dT%H%M%S"
_DIGITS_MAX: Final = 16
_NUMBER_MAX: Final = 10**_DIGITS_MAX
_TIME_MAX: Final = 10.0**10  # seconds until the year 2286, and milliseconds of 115 days: beyond, a line is damaged
# More requests do not end before the line about their beginning, which waits 20 ms, is written.
_ENDED_MAX: Final = 10_000
_CLIENT_GONE: Final = "DC"
# The connection to the replica was closed or reset, or it broke the protocol or a time limit.
_BROKEN: Final = frozenset({"UC", "UR", "LR", "UPE", "UT", "UMSDR", "DT"})


class Ledger:
    """The files of one instance's ledger."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.path = directory / "requests.jsonl"
        self.damaged = 0  # lines that the last `read` has left out
        self._unfinished: dict[str, Used] = {}
        self._ended: dict[str, None] = {}

    def open(self) -> None:
        """Create the file, so that only its user can read it. Raises OSError."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self.path.touch(mode=0o600)

    async def keep(self, reopen: Callable[[], Awaitable[bool]], *, now: float) -> None:
        """Rotate the file if that is due, compress and remove older ones. Raises OSError.

        `reopen` has the writers open their file again. A removed file is created again.
        """
        if not self.path.exists():
            self.open()
            await reopen()
        about = self.path.stat()
        began = self._began()
        if about.st_size > _BYTES_MAX or (about.st_size and began is not None and now - began > _DAY_S):
            self.path.replace(self._next_name(now))
            self.open()
        rotated = self._rotated()
        # A writer that has not answered may still have a renamed file, which is compressed another time.
        if any(path.suffix == ".jsonl" for path in rotated) and await reopen():
            for path in rotated:
                if path.suffix == ".jsonl":
                    await asyncio.to_thread(_compress, path)
        for path in self._rotated():
            if now - path.stat().st_mtime > KEPT_DAYS * _DAY_S:
                path.unlink()

    def read(self, *, since: float, until: float) -> Iterator[Used]:
        """Yield the requests that began from `since` to before `until`, in seconds since the epoch."""
        self.damaged = 0
        self._unfinished.clear()
        self._ended.clear()
        for used in (*self._older(since), *self._read(self.path)):
            if used.cut:
                if used.id not in self._ended and since <= used.at < until:
                    self._unfinished[used.id] = used
                continue
            if self._unfinished.pop(used.id, None) is None and used.replica:
                self._note_end(used.id)
            if since <= used.at < until:
                yield used

    def cut(self, *, before: float) -> Sequence[Used]:
        """Return the requests of the last `read` that began before a time, and have not ended."""
        return [used for used in self._unfinished.values() if used.at < before]

    def stamp(self) -> object:
        """Return something that differs once a line was added, or a file was renamed, compressed or removed."""
        with suppress(OSError), os.scandir(self._directory) as entries:
            found = [(each.name, each.stat()) for each in entries]
            return sorted((name, about.st_ino, about.st_size, about.st_mtime_ns) for name, about in found)
        return None

    def files(self) -> Sequence[Path]:
        """Return the files from the oldest one to the one that is written to."""
        return [*self._rotated(), self.path]

    def _older(self, since: float) -> Iterator[Used]:
        for path in self._rotated():
            if path.stat().st_mtime >= since:
                yield from (used for used in self._read(path) if used.at >= since)

    def _read(self, path: Path) -> Iterator[Used]:
        for line in _lines(path):
            used = used_of(line)
            if used is None:
                self.damaged += 1
            else:
                yield used

    def _next_name(self, now: float) -> Path:
        """Return a name behind those of all older files, also if the clock was set back: readers go by this order."""
        at = datetime.fromtimestamp(now, UTC)
        for newest in self._rotated()[-1:]:
            with suppress(ValueError):  # a person has named it
                stamp = datetime.strptime(newest.name.partition(".")[0], _NAME).replace(tzinfo=UTC)
                at = max(at, stamp + timedelta(seconds=1))
        return self._directory / f"{at.strftime(_NAME)}.jsonl"

    def _note_end(self, request: str) -> None:
        """Remember for a while that a request has ended: its two lines have two writers, so either may come first."""
        self._ended[request] = None
        if len(self._ended) > _ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    def _rotated(self) -> list[Path]:
        """Return the older files, without those that are compressed but not yet removed."""
        found = sorted(self._directory.glob("requests-*.jsonl*"))
        plain = [path for path in found if path.suffix == ".jsonl"]
        packed = [path for path in found if path.suffix == ".gz" and path.with_suffix("") not in plain]
        return sorted((*plain, *packed))

    def _began(self) -> float | None:
        """Return the time of the first line, None if there is none."""
        first = next(_lines(self.path), b"")
        used = used_of(first) if first else None  # of either kind
        return used.at if used else None


def _compress(path: Path) -> None:
    target = path.with_name(f"{path.name}.gz")
    _settle(path)
    partial = path.with_name(f"{path.name}.partial")
    about = path.stat()
    with path.open("rb") as plain, partial.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb") as packed:
        partial.chmod(0o600)
        shutil.copyfileobj(plain, packed)
    partial.replace(target)
    os.utime(target, (about.st_atime, about.st_mtime))
    path.unlink()


def _settle(path: Path) -> None:
    """Wait until no line is on its way to a renamed file: a writer of the gateway holds the other lock meanwhile."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file; of a damaged archive those before the damage, and an empty one."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield b""


def used_of(line: bytes) -> Used | None:
    """Return the request of a line, None if the line is damaged or of another format.

    The gateway also writes a line when it has sent a request to a replica: that one is `cut`, unless another line says
    how it ended.
    """
    try:
        tree: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not is_object(tree) or tree.get(_FORMAT_FIELD) not in {_FORMAT, _PACKED_FORMAT, _BEGUN_FORMAT}:
        return None
    if tree[_FORMAT_FIELD] == _PACKED_FORMAT:
        packed = (each.partition("=") for each in text_at(tree, _PACKED).split())
        tree = {**tree, **{name: value for name, _, value in packed if name in _IN_ANSWERS}}
    try:
        at = float(text_at(tree, "time"))
    except ValueError:
        return None
    duration_ms = _whole(tree, "duration_ms")
    if not 0 <= at <= _TIME_MAX or (duration_ms or 0) > _TIME_MAX:
        return None
    path, route = text_at(tree, "path"), text_at(tree, "model")
    flags = text_at(tree, "flags").split(",")
    tokens_in, cached, out = _tokens(tree)
    return Used(
        at=at,
        id=text_at(tree, "id"),
        path=path,
        status=_whole(tree, "status") or 0,
        key=text_at(tree, "key") or None,
        owner=text_at(tree, "owner") or None,
        # The gateway's own answers have routes in dashes.
        model=None if not route or route.startswith("-") else route,
        replica=text_at(tree, "replica") or None,
        tokens_in=tokens_in,
        tokens_cached=cached,
        tokens_out=out,
        duration_ms=duration_ms,
        first_byte_ms=_whole(tree, "first_byte_ms"),
        bytes_in=_whole(tree, "bytes_in") or 0,
        bytes_out=_whole(tree, "bytes_out") or 0,
        client_gone=_CLIENT_GONE in flags,
        events=_whole(tree, "events"),
        stop_reason=text_at(tree, "stop_reason") or None,
        queue_ms=_queue_ms(tree),
        cut=tree[_FORMAT_FIELD] == _BEGUN_FORMAT,
        balanced_by=text_at(tree, "balanced_by") or None,
        method=text_at(tree, "method"),
        traceparent=text_at(tree, "traceparent") or None,
        broken=not _BROKEN.isdisjoint(flags),
    )


def _tokens(tree: JsonObject) -> tuple[int | None, int | None, int | None]:
    """Return tokens in (with the cached ones), the cached ones, and out, in whichever API's words they are written."""
    out = _first(tree, "completion_tokens", "output_tokens", "predicted_n")
    cached = _first(tree, "cached_tokens", "cache_read_input_tokens", "cache_n")
    tokens_in = _first(tree, "prompt_tokens")
    if tokens_in is None and (fresh := _whole(tree, "input_tokens")) is not None:
        # Anthropic counts what it read from a cache apart from the input, OpenAI's responses do not.
        tokens_in = fresh + (_whole(tree, "cache_read_input_tokens") or 0)
    if tokens_in is None and (fresh := _whole(tree, "prompt_n")) is not None:
        tokens_in = fresh + (_whole(tree, "cache_n") or 0)
    return tokens_in, cached, out


def _queue_ms(tree: JsonObject) -> int | None:
    """Return the time of a request that the engine did not work on it, None if it does not say."""
    whole, prompt, answer = (_whole(tree, name) for name in ("duration_ms", "prompt_ms", "predicted_ms"))
    return None if whole is None or prompt is None or answer is None else max(0, whole - prompt - answer)


def _first(tree: JsonObject, *names: str) -> int | None:
    return next((value for name in names if (value := _whole(tree, name)) is not None), None)


def _whole(tree: JsonObject, name: str) -> int | None:
    value = tree.get(name)
    if isinstance(value, str):  # Envoy writes what a client has sent, and what an answer says, as text
        whole, _, fraction = value.partition(".")
        is_number = whole.isdecimal() and len(whole) < _DIGITS_MAX and (not fraction or fraction.isdecimal())
        return int(whole) if is_number else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return int(value) if 0 <= value < _NUMBER_MAX else None  # a provider may say anything
