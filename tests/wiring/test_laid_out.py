"""Files of a followed commit are put back where they were edited, and removed with the commit that had them."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bateau.domain.errors import ControlError
from bateau.sources.git import WorkTree, parse
from bateau.wiring.repository import FollowedRepository
from git.workshop import SPEC, Workshop


async def until(condition: Callable[[], bool]) -> None:
    """Look until it is so; there is nothing to wait on but the disk."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def names(repository: FollowedRepository) -> set[str]:
    """Return the names of the specs that are followed; none while they are not."""
    try:
        return set(repository.read())
    except ControlError:
        return set()


async def followed(repository: FollowedRepository) -> asyncio.Task[None]:
    """Follow a repository, and wait for the first sign of a change."""
    heard = asyncio.Event()

    async def follow() -> None:
        async for _ in repository.changes():
            heard.set()

    following = asyncio.create_task(follow())
    async with asyncio.timeout(20):
        await heard.wait()
    return following


async def test_only_what_a_commit_brought_is_put_back_and_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workshop = Workshop(tmp_path / "acme")
    program, part = workshop.directory / "serve", workshop.directory / "lib" / "part"
    part.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    part.write_text("1")
    workshop.commit("one", web=SPEC)
    laid_out = tmp_path / "source"
    repository = FollowedRepository(
        parse(f"{workshop.url}@main"), cache=tmp_path / "cache", directory=laid_out, environ=os.environ, repair_s=0.05
    )
    await repository.open()
    assert (laid_out / "serve").stat().st_mode & 0o111

    async def follow() -> None:
        async for _ in repository.changes():
            pass

    following = asyncio.create_task(follow())
    try:
        (laid_out / "data.sqlite").write_text("what the program wrote")
        (laid_out / "serve").write_text("edited by hand")
        (laid_out / "web.yaml").unlink()
        await until(lambda: (laid_out / "web.yaml").is_file() and (laid_out / "serve").read_text() == "#!/bin/sh\n")
        await until(lambda: "serve was edited by hand" in caplog.text)
        part.unlink()
        workshop.commit("two", other=SPEC.replace("web", "other"))
        await until(lambda: (laid_out / "other.yaml").is_file() and not (laid_out / "lib").exists())
        assert (laid_out / "data.sqlite").read_text() == "what the program wrote"
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_file_may_become_a_directory_and_a_directory_a_file(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "acme")
    (workshop.directory / "lib").write_text("a file")
    (workshop.directory / "etc").mkdir()
    (workshop.directory / "etc" / "part").write_text("1")
    workshop.commit("one", web=SPEC)
    laid_out = tmp_path / "source"
    repository = FollowedRepository(
        parse(f"{workshop.url}@main"), cache=tmp_path / "cache", directory=laid_out, environ=os.environ
    )
    await repository.open()
    (workshop.directory / "lib").unlink()
    (workshop.directory / "lib").mkdir()
    (workshop.directory / "lib" / "part").write_text("2")
    (workshop.directory / "etc" / "part").unlink()
    (workshop.directory / "etc").rmdir()
    (workshop.directory / "etc").write_text("a file")
    workshop.commit("two")
    await anext(repository.changes())
    assert (laid_out / "lib" / "part").read_text() == "2"
    assert (laid_out / "etc").read_text() == "a file"


async def test_a_commit_that_cannot_be_laid_out_is_not_followed_until_it_can(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "acme")
    workshop.commit("one", web=SPEC)
    laid_out = tmp_path / "source"
    repository = FollowedRepository(
        parse(f"{workshop.url}@main"), cache=tmp_path / "cache", directory=laid_out, environ=os.environ, repair_s=0.05
    )
    await repository.open()
    assert set(repository.read()) == {"web.yaml"}
    (laid_out / "lib").mkdir()
    (laid_out / "lib" / "data.sqlite").write_text("what the program wrote")
    (workshop.directory / "lib").write_text("a file")
    workshop.commit("two", other=SPEC.replace("web", "other"))
    following = await followed(repository)
    with pytest.raises(ControlError, match=f"cannot lay out the commit in {laid_out}: .*lib: Is a directory") as raised:
        repository.read()
    assert raised.value.hint == "a program has created something else under a name that the commit uses; move it away"
    assert (laid_out / "lib" / "data.sqlite").read_text() == "what the program wrote"
    (laid_out / "lib").rename(tmp_path / "aside")
    await until(lambda: names(repository) == {"other.yaml", "web.yaml"})
    assert (laid_out / "lib").is_file()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_commit_with_mistakes_changes_no_program(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "acme")
    program = workshop.directory / "serve"
    program.write_text("one")
    workshop.commit("one", web=SPEC)
    laid_out = tmp_path / "source"
    repository = FollowedRepository(
        parse(f"{workshop.url}@main"),
        cache=tmp_path / "cache",
        directory=laid_out,
        environ=os.environ,
        sound=lambda texts: "mistake" not in texts["web.yaml"],
        repair_s=0.05,
    )
    await repository.open()
    good = workshop.git("rev-parse", "--short=12", "HEAD")
    program.write_text("two")
    workshop.commit("two", web="a mistake")
    bad = workshop.git("rev-parse", "--short=12", "HEAD")
    following = await followed(repository)
    assert repository.read() == {"web.yaml": "a mistake"}  # so that the mistake is told
    assert (laid_out / "serve").read_text() == "one"
    assert repository.place.endswith(f"at {good}; commit {bad} of Ada <ada@example.org> is not followed")
    (laid_out / "serve").write_text("edited by hand")
    await until(lambda: (laid_out / "serve").read_text() == "one")
    workshop.commit("three", web=SPEC)
    await until(lambda: (laid_out / "serve").read_text() == "two")
    await until(lambda: "is not followed" not in repository.place)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_modes_and_links_are_those_of_a_checkout_and_are_put_back(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "acme")
    (workshop.directory / "bin").mkdir()
    binary = workshop.directory / "bin" / "serve"
    binary.write_bytes(b"\x7fELF")
    binary.chmod(0o755)
    (workshop.directory / "plain").write_text("#!/bin/sh\n")
    (workshop.directory / "serve").symlink_to("bin/serve")
    (workshop.directory / "out").symlink_to("/etc/passwd")
    workshop.commit("one", web=SPEC)
    laid_out = tmp_path / "source"
    repository = FollowedRepository(
        parse(f"{workshop.url}@main"), cache=tmp_path / "cache", directory=laid_out, environ=os.environ, repair_s=0.05
    )
    await repository.open()
    assert (laid_out / "out").readlink() == Path("/etc/passwd")
    assert (laid_out / "bin/serve").stat().st_mode & 0o111
    assert not (laid_out / "plain").stat().st_mode & 0o111
    assert (laid_out / "serve").readlink() == Path("bin/serve")
    (laid_out / "bin/serve").chmod(0o644)
    (laid_out / "serve").unlink()

    async def follow() -> None:
        async for _ in repository.changes():
            pass

    following = asyncio.create_task(follow())
    await until(lambda: (laid_out / "serve").is_symlink() and (laid_out / "bin/serve").stat().st_mode & 0o111 != 0)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_files_without_their_content_are_laid_out_as_in_a_clone_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """F3 and F7: hidden files are there, and submodules, Git LFS and large files stop nothing."""
    workshop = Workshop(tmp_path / "acme")
    (workshop.directory / ".env").write_text("A=1\n")
    (workshop.directory / "weights.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    (workshop.directory / "dump.sql").write_bytes(b"#" * (33 * 2**20))
    workshop.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/other")
    workshop.git("add", ".env", "weights.bin", "dump.sql")
    (workshop.directory / "web.yaml").write_text(SPEC)
    workshop.git("add", "web.yaml")
    workshop.git("commit", "-q", "-m", "one")
    laid_out = tmp_path / "source"
    repository = FollowedRepository(
        parse(f"{workshop.url}@main"), cache=tmp_path / "cache", directory=laid_out, environ=os.environ
    )
    await repository.open()
    assert (laid_out / ".env").read_text() == "A=1\n"
    assert (laid_out / "dump.sql").stat().st_size == 33 * 2**20
    assert [*(laid_out / "vendor/other").iterdir()] == []
    assert "submodules are left empty: vendor/other" in caplog.text
    assert "files in Git LFS are pointers, without their content: weights.bin" in caplog.text
    workshop.git("rm", "-q", "--cached", "vendor/other")
    workshop.git("commit", "-q", "-m", "two")
    await anext(repository.changes())
    assert not (laid_out / "vendor").exists()


async def test_once_following_has_ended_nothing_of_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = Workshop(tmp_path / "acme")
    workshop.commit("one", web=SPEC)
    repository = FollowedRepository(
        parse(f"{workshop.url}@main"),
        cache=tmp_path / "cache",
        directory=tmp_path / "source",
        environ=os.environ,
        repair_s=0.01,
    )
    await repository.open()
    repairing = asyncio.Event()

    async def slow(*_: object) -> None:
        repairing.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)  # as git that is killed

    monkeypatch.setattr(WorkTree, "lay_out", slow)
    following = asyncio.ensure_future(anext(aiter(repository.changes())))
    await repairing.wait()
    following.cancel()
    await asyncio.wait([following])
    assert asyncio.all_tasks() == {asyncio.current_task()}
