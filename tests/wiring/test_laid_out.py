"""Files of a followed commit are put back where they were edited, and removed with the commit that had them."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bateau.sources.git import parse
from bateau.wiring.repository import FollowedRepository
from git.workshop import SPEC, Workshop


async def until(condition: Callable[[], bool]) -> None:
    """Look until it is so; there is nothing to wait on but the disk."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_only_what_a_commit_brought_is_put_back_and_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workshop = Workshop(tmp_path / "acme")
    program, part = workshop.directory / "serve", workshop.directory / "lib" / "part"
    part.parent.mkdir()
    program.write_text("#!/bin/sh\n")
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
        assert "serve was edited by hand" in caplog.text
        part.unlink()
        workshop.commit("two", other=SPEC.replace("web", "other"))
        await until(lambda: (laid_out / "other.yaml").is_file() and not (laid_out / "lib").exists())
        assert (laid_out / "data.sqlite").read_text() == "what the program wrote"
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
