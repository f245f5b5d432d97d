"""The downloader: complete files, interruptions, wrong answers, and concurrent fetches of the same file."""

import asyncio
import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from bateau.domain.errors import (
    ChecksumMismatch,
    DiskFull,
    NotAModel,
    SourceDenied,
    SourceError,
    SourceNotFound,
    SourceUnreachable,
)
from bateau.domain.model_file import Progress
from bateau.sources.download import Patience, free_bytes
from bateau.sources.models import Models
from sources.gguf_bytes import gguf
from sources.origin import MIB, Origin
from sources.reading import content, free, ignore, until

Make = Callable[..., Models]
BIG = gguf(floats=MIB)  # 4 MiB
DIGEST = hashlib.sha256(BIG).hexdigest()


def litter(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache/partial").iterdir())


def half_written(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


async def test_a_file_is_fetched_once_and_found_afterwards(origin: Origin, models: Make, tmp_path: Path) -> None:
    origin.paths["/m.gguf"] = BIG
    seen: list[Progress] = []
    reference = origin.url("/m.gguf")
    assert models().find(reference) is None
    file = await models().fetch(reference, seen.append)
    assert content(file) == BIG
    assert (file.size_bytes, file.header.name) == (len(BIG), "Tiny")
    assert file.sha256 is None, "nobody promised a checksum, so nothing was checked"
    assert [p.bytes_done for p in seen] == sorted(p.bytes_done for p in seen)
    assert seen[-1] == Progress(reference=reference, bytes_done=len(BIG), bytes_total=len(BIG))
    assert models().find(reference) == await models().fetch(reference, ignore) == file
    assert len(origin.gets("/m.gguf")) == 1
    assert litter(tmp_path) == []


async def test_an_interrupted_download_resumes_where_it_stopped(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.cuts = [MIB + 7, MIB]
    file = await models().fetch(origin.url("/m.gguf"), ignore)
    assert content(file) == BIG
    first, second, third = origin.gets("/m.gguf")
    assert "Range" not in first.headers
    assert second.headers["Range"].startswith("bytes=")
    assert second.headers["If-Range"].startswith('"')
    assert int(third.headers["Range"][6:-1]) > int(second.headers["Range"][6:-1]) > 0


async def test_cuts_that_bring_nothing_new_end_after_some_tries(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.cuts = [0] * 10
    with pytest.raises(SourceUnreachable):
        await models().fetch(origin.url("/m.gguf"), ignore)
    assert len(origin.gets("/m.gguf")) == 3


async def test_a_server_that_knows_no_ranges_starts_again_cleanly(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.cuts, origin.ranges = [2 * MIB], False
    assert content(await models().fetch(origin.url("/m.gguf"), ignore)) == BIG


async def test_a_file_that_changed_meanwhile_starts_again(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.cuts = [2 * MIB]
    with pytest.raises(SourceUnreachable):
        await models(patience=Patience(tries=1)).fetch(origin.url("/m.gguf"), ignore)
    other = gguf(floats=MIB // 2)
    origin.paths["/m.gguf"] = other
    assert content(await models().fetch(origin.url("/m.gguf"), ignore)) == other


async def test_a_range_that_begins_elsewhere_is_refused(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.cuts, origin.shift = [2 * MIB], 1
    with pytest.raises(SourceError, match="the request was for the bytes from"):
        await models().fetch(origin.url("/m.gguf"), ignore)


async def test_without_etag_or_checksum_nothing_is_gone_on_with(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.cuts, origin.etags = [2 * MIB], False
    with pytest.raises(SourceUnreachable):
        await models(patience=Patience(tries=1)).fetch(origin.url("/m.gguf"), ignore)
    assert content(await models().fetch(origin.url("/m.gguf"), ignore)) == BIG
    assert "Range" not in origin.gets("/m.gguf")[-1].headers


async def test_a_checksum_that_was_promised_and_kept_is_told(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    reference = origin.url(f"/m.gguf#sha256={DIGEST.upper()}")
    assert (await models().fetch(reference, ignore)).sha256 == DIGEST
    found = models().find(reference)
    assert found is not None
    assert found.sha256 == DIGEST


async def test_a_wrong_checksum_leaves_nothing_behind(origin: Origin, models: Make, tmp_path: Path) -> None:
    origin.paths["/m.gguf"] = BIG
    with pytest.raises(ChecksumMismatch, match=DIGEST):
        await models().fetch(origin.url(f"/m.gguf#sha256={'0' * 64}"), ignore)
    assert litter(tmp_path) == []
    assert models().list() == []


async def test_a_part_that_does_not_fit_is_thrown_away_and_all_is_fetched(
    origin: Origin, models: Make, tmp_path: Path
) -> None:
    origin.paths["/m.gguf"], origin.etags = BIG, False
    origin.cuts = [2 * MIB]
    reference = origin.url(f"/m.gguf#sha256={DIGEST}")
    with pytest.raises(SourceUnreachable):
        await models(patience=Patience(tries=1)).fetch(reference, ignore)
    [part] = (tmp_path / "cache/partial").glob("*.part")
    with part.open("r+b") as file:
        file.write(b"rot")
    assert content(await models().fetch(reference, ignore)) == BIG


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, SourceDenied), (403, SourceDenied), (404, SourceNotFound), (410, SourceNotFound), (418, SourceError)],
)
async def test_a_refusal_is_final_and_says_why(
    origin: Origin, models: Make, status: int, error: type[SourceError]
) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.statuses = [status]
    with pytest.raises(error, match=f"HTTP {status}"):
        await models().fetch(origin.url("/m.gguf?token=hush"), ignore)
    assert len(origin.gets("/m.gguf")) == 1


async def test_a_server_in_trouble_is_asked_again(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.statuses = [503, 429]
    assert content(await models().fetch(origin.url("/m.gguf"), ignore)) == BIG


async def test_silence_ends_a_try(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.pause_after = MIB
    with pytest.raises(SourceUnreachable, match="no answer in time"):
        await models(patience=Patience(tries=1, silence_s=0.2)).fetch(origin.url("/m.gguf"), ignore)


async def test_nobody_at_the_other_side_is_said_with_what_is_here(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    await models().fetch(origin.url("/m.gguf"), ignore)
    with pytest.raises(SourceUnreachable) as caught:
        await models(patience=Patience(tries=1)).fetch("http://127.0.0.1:1/other.gguf", ignore)
    assert "/m.gguf" in str(caught.value.hint)


async def test_no_room_is_told_before_the_first_byte(origin: Origin, models: Make, tmp_path: Path) -> None:
    origin.paths["/m.gguf"] = BIG
    with pytest.raises(DiskFull, match=r"m\.gguf needs 4\.2 MB, but .* has 0.0 MB free"):
        await models(free=free(1000)).fetch(origin.url("/m.gguf"), ignore)
    assert litter(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_disk_that_becomes_full_during_a_download_keeps_the_part(origin: Origin, small_disk: Path) -> None:
    origin.paths["/m.gguf"] = BIG
    source = Models(cache=small_disk / "cache", base=small_disk, environ={}, free=free(10 * MIB))
    for _ in range(2):
        with pytest.raises(DiskFull, match=r"m\.gguf needs"):
            await source.fetch(origin.url("/m.gguf"), ignore)
    assert int(origin.gets("/m.gguf")[-1].headers["Range"][6:-1]) >= MIB
    assert source.remove(origin.url("/m.gguf")).freed_bytes >= MIB


@pytest.mark.parametrize("left_bytes", [0, 4096, 3 * 4096, MIB])
async def test_a_full_disk_is_one_error_until_there_is_room(origin: Origin, small_disk: Path, left_bytes: int) -> None:
    """Whichever write comes first: a note of the cache, the lock, or the file itself."""
    origin.paths["/m.gguf"] = gguf(floats=MIB // 2)
    origin.lengths = left_bytes != MIB  # without a length, nothing is known before the disk is full
    source = Models(cache=small_disk / "cache", base=small_disk, environ={})
    filler = small_disk / "filler"
    filler.write_bytes(bytes(free_bytes(small_disk) - left_bytes))
    for _ in range(2):
        with pytest.raises(DiskFull) as caught:
            await source.fetch(origin.url("/m.gguf"), ignore)
        assert "free some space" in str(caught.value.hint)
    assert half_written(small_disk) == []
    filler.unlink()
    assert content(await source.fetch(origin.url("/m.gguf"), ignore)) == origin.paths["/m.gguf"]


async def test_access_that_expires_in_the_middle_can_be_tried_again(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.cuts = [2 * MIB]
    origin.statuses = []

    async def expire() -> None:
        await until(lambda: not origin.cuts)
        origin.statuses = [401] * 3

    expiry = asyncio.create_task(expire())
    with pytest.raises(SourceUnreachable, match="access expired after"):
        await models(patience=Patience(tries=3, delay_s_first=0.2)).fetch(origin.url("/m.gguf"), ignore)
    await expiry


async def test_a_cache_that_cannot_be_made_is_said_plainly(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    models = Models(cache=tmp_path / "file/cache", base=tmp_path, environ={})
    with pytest.raises(SourceError, match="cannot write to the model cache"):
        await models.fetch(origin.url("/m.gguf"), ignore)


async def test_credentials_do_not_follow_a_redirect_to_another_host(origin: Origin, models: Make) -> None:
    storage = Origin()
    await storage.start()
    storage.paths["/blob"] = BIG

    async def away(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": storage.url("/blob?signed=hush")})

    origin.paths["/m.gguf"] = away
    reference = f"http://user:secret@{origin.host}/m.gguf"
    assert content(await models().fetch(reference, ignore)) == BIG
    assert "Authorization" in origin.gets("/m.gguf")[0].headers
    assert "Authorization" not in storage.gets("/blob")[0].headers
    await storage.stop()


async def test_what_is_no_model_is_not_kept(origin: Origin, models: Make, tmp_path: Path) -> None:
    for path, data, says in (
        ("/page", b"<!doctype html><p>log in", "looks like an HTML page"),
        ("/short", BIG[:-1], "truncated"),
    ):
        origin.paths[path] = data
        with pytest.raises(NotAModel, match=says):
            await models().fetch(origin.url(path), ignore)
    assert models().list() == []
    assert litter(tmp_path) == []


async def test_plain_http_from_another_machine_is_refused(models: Make) -> None:
    with pytest.raises(SourceError, match="plain http"):
        await models().fetch("http://example.org/m.gguf", ignore)


async def test_many_waiters_share_one_download(origin: Origin, models: Make) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.pause_after = MIB
    source = models()
    seen: list[list[Progress]] = [[] for _ in range(5)]
    tasks = [asyncio.create_task(source.fetch(origin.url("/m.gguf"), each.append)) for each in seen]
    await until(lambda: all(seen))
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    origin.go.set()
    files = await asyncio.gather(*tasks[1:])
    assert tasks[0].cancelled()
    assert {content(file) for file in files} == {BIG}
    assert len(origin.gets("/m.gguf")) == 1


async def test_the_last_waiter_that_leaves_ends_the_download_and_keeps_what_came(
    origin: Origin, models: Make, tmp_path: Path
) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.pause_after = 2 * MIB
    source = models()
    seen: list[Progress] = []
    tasks = [asyncio.create_task(source.fetch(origin.url("/m.gguf"), seen.append)) for _ in range(2)]
    await until(lambda: any(p.bytes_done >= MIB for p in seen))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    origin.go.set()
    origin.pause_after = None
    assert [name.rpartition(".")[2] for name in litter(tmp_path)] == ["json", "part"]
    assert content(await source.fetch(origin.url("/m.gguf"), ignore)) == BIG
    assert int(origin.gets("/m.gguf")[-1].headers["Range"][6:-1]) >= MIB
    assert litter(tmp_path) == []


async def start_process(tmp_path: Path, reference: str) -> asyncio.subprocess.Process:
    script = Path(__file__).with_name("fetch_process.py")
    return await asyncio.create_subprocess_exec(
        sys.executable, script, tmp_path / "cache", reference, stdout=asyncio.subprocess.PIPE
    )


async def test_two_processes_share_one_download(origin: Origin, tmp_path: Path) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.pause_after = MIB
    one = await start_process(tmp_path, origin.url("/m.gguf"))
    two = await start_process(tmp_path, origin.url("/m.gguf"))
    await until(lambda: len(origin.gets("/m.gguf")) > 0)
    origin.go.set()
    (first, _), (second, _) = await asyncio.gather(one.communicate(), two.communicate())
    assert (one.returncode, two.returncode) == (0, 0)
    assert first == second != b""
    assert len(origin.gets("/m.gguf")) == 1


async def test_what_arrived_before_kill_9_is_gone_on_with(origin: Origin, models: Make, tmp_path: Path) -> None:
    origin.paths["/m.gguf"] = BIG
    origin.pause_after = 3 * MIB
    process = await start_process(tmp_path, origin.url("/m.gguf"))
    await until(lambda: any(p.stat().st_size >= MIB for p in tmp_path.glob("cache/partial/*.part")))
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    origin.go.set()
    origin.pause_after = None
    assert content(await models().fetch(origin.url("/m.gguf"), ignore)) == BIG
    assert int(origin.gets("/m.gguf")[-1].headers["Range"][6:-1]) >= MIB
    assert litter(tmp_path) == []
