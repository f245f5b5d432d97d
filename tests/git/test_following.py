"""A repository is followed; if a commit cannot be followed, the last good one stays."""

import asyncio
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bateau.domain.errors import SourceDenied, SourceError, SourceNotFound, SourceUnreachable
from bateau.ports.repository import Change
from bateau.ports.texts import Texts
from bateau.sources.git import Following, GitObjects, GitTexts, WorkTree
from git.workshop import SPEC, Workshop

Follow = Callable[..., GitTexts]


async def test_a_pushed_commit_is_what_is_read(workshop: Workshop, follow: Follow):
    workshop.commit("one", shop=SPEC.format(1))
    texts = follow(f"{workshop.url}@main")
    port: Texts = texts
    await texts.refresh()
    assert port.read() == {"shop.yaml": SPEC.format(1)}
    workshop.commit("two", shop=SPEC.format(2))
    await texts.refresh()
    assert port.read() == {"shop.yaml": SPEC.format(2)}
    assert texts.commit is not None
    assert (texts.commit.subject, texts.commit.author) == ("two", "Ada <ada@example.org>")


async def test_a_tag_an_id_and_the_default_branch_are_followed(workshop: Workshop, follow: Follow):
    first = workshop.commit("one", shop="a: 1\n")
    workshop.git("tag", "-a", "v1", "-m", "v1")
    workshop.commit("two", shop="a: 2\n")
    found: dict[str, Mapping[str, str]] = {}
    for ref in ("@v1", f"@{first}", ""):
        texts = follow(workshop.url + ref)
        await texts.refresh()
        found[ref] = texts.read()
    assert [each["shop.yaml"] for each in found.values()] == ["a: 1\n", "a: 1\n", "a: 2\n"]


async def test_a_subdirectory_is_read_without_what_stands_beside_it(workshop: Workshop, follow: Follow):
    for folder in ("deploy/prod", "other", "deploy/.hidden", "deploy/node_modules"):
        (workshop.directory / folder).mkdir(parents=True)
        (workshop.directory / folder / "a.yaml").write_text(f"in: {folder}\n")
    workshop.commit("one")
    texts = follow(f"{workshop.url}#subdirectory=deploy")
    await texts.refresh()
    assert texts.read() == {"prod/a.yaml": "in: deploy/prod\n"}


async def test_a_poke_is_seen_at_once_and_a_quiet_repository_says_nothing(workshop: Workshop, follow: Follow):
    workshop.commit("one", shop="a: 1\n")
    texts = follow(workshop.url, Following(interval_s=3600))
    await texts.refresh()
    changes = aiter(texts.changes())
    waiting = asyncio.ensure_future(anext(changes))
    texts.poke()
    workshop.commit("two", shop="a: 2\n")
    texts.poke()
    await asyncio.wait_for(waiting, 20)
    assert texts.read() == {"shop.yaml": "a: 2\n"}


async def test_a_forced_push_back_is_a_rollback(workshop: Workshop, follow: Follow):
    workshop.commit("one", shop="a: 1\n")
    workshop.commit("two", shop="a: 2\n")
    texts = follow(f"{workshop.url}@main")
    await texts.refresh()
    workshop.git("reset", "-q", "--hard", "HEAD~1")
    await texts.refresh()
    assert texts.read() == {"shop.yaml": "a: 1\n"}


@pytest.mark.parametrize("length", [1, 60])
async def test_a_rewritten_history_is_said_and_not_followed_unless_allowed(
    workshop: Workshop, follow: Follow, length: int
):
    workshop.commit("one", shop="a: 1\n")
    for number in range(length):
        workshop.commit(f"more {number}")
    texts = follow(f"{workshop.url}@main")
    await texts.refresh()
    workshop.commit("rewritten", "--amend", shop="a: 3\n")
    await texts.refresh()
    assert "a: 1" in texts.read()["shop.yaml"]
    with pytest.raises(SourceError, match="was rewritten by a forced push"):
        texts.read()
    allowed = follow(f"{workshop.url}@main", Following(rewritten_history=True))
    await allowed.refresh()
    assert allowed.read() == {"shop.yaml": "a: 3\n"}


async def test_a_long_history_that_only_grew_is_followed(workshop: Workshop, follow: Follow):
    workshop.commit("one", shop="a: 1\n")
    texts = follow(f"{workshop.url}@main")
    await texts.refresh()
    for number in range(60):
        workshop.commit(f"more {number}", shop=f"a: {number}\n")
    await texts.refresh()
    assert texts.trouble is None
    assert texts.read() == {"shop.yaml": "a: 59\n"}


async def test_an_unreachable_repository_keeps_the_last_commit_over_a_restart(workshop: Workshop, follow: Follow):
    workshop.commit("one", shop="a: 1\n")
    workshop.git("branch", "release")
    texts = follow(f"{workshop.url}@release")
    await texts.refresh()
    assert texts.read() == {"shop.yaml": "a: 1\n"}
    workshop.git("branch", "-D", "release")
    await texts.refresh()
    with pytest.raises(SourceNotFound, match="release no longer exists"):
        texts.read()
    workshop.directory.rename(workshop.directory.with_name("moved"))
    again = follow(f"{workshop.url}@release")
    await again.refresh()
    assert again.read() == {"shop.yaml": "a: 1\n"}
    with pytest.raises(SourceNotFound, match="cannot fetch"):
        again.read()
    assert again.pause_s() >= 60


async def test_nothing_fetched_yet_is_said(follow: Follow):
    with pytest.raises(SourceUnreachable, match="has not been fetched yet"):
        follow("git+https://127.0.0.1:1/acme.git").read()


async def test_an_unreachable_host_is_said_without_credentials(follow: Follow):
    texts = follow("git+http://ada:hunter2@127.0.0.1:1/acme.git")
    await texts.refresh()
    with pytest.raises(SourceUnreachable) as caught:
        texts.read()
    assert "hunter2" not in caught.value.message + repr(texts.__dict__)
    assert texts.place == "git+http://127.0.0.1:1/acme.git"


async def test_files_that_are_no_specs_never_stop_a_commit(workshop: Workshop, follow: Follow):
    """F7: only specs are read here, so nothing else has to be readable."""
    (workshop.directory / "out.yaml").symlink_to("../../etc/passwd")
    (workshop.directory / "in.yaml").symlink_to("shop.yaml")
    (workshop.directory / "dump.sql").write_bytes(b"#" * (8 * 2**20 + 1))
    (workshop.directory / "lfs.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    workshop.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor")
    workshop.git("add", "out.yaml", "in.yaml", "dump.sql", "lfs.png")
    (workshop.directory / "shop.yaml").write_text("a: 1\n")
    workshop.git("add", "shop.yaml")
    workshop.git("commit", "-q", "-m", "one")
    texts = follow(workshop.url)
    await texts.refresh()
    assert texts.read() == {"shop.yaml": "a: 1\n"}


async def test_an_ignore_file_holds_for_a_followed_repository(workshop: Workshop, follow: Follow):
    """F18."""
    (workshop.directory / "deploy/testdata").mkdir(parents=True)
    (workshop.directory / "deploy/testdata/a.yaml").write_text("a: 1\n")
    (workshop.directory / "deploy/shop.yaml").write_text("a: 1\n")
    (workshop.directory / "deploy/.bateauignore").write_text("testdata\n")
    workshop.commit("one")
    for folder, expected in (
        ("#subdirectory=deploy", {"shop.yaml"}),
        ("", {"deploy/shop.yaml", "deploy/testdata/a.yaml"}),
    ):
        texts = follow(workshop.url + folder)
        await texts.refresh()
        assert texts.read().keys() == expected


async def test_only_commits_of_allowed_signers_are_followed(workshop: Workshop, follow: Follow, tmp_path: Path):
    for name in ("ada", "eve"):
        _make_key(tmp_path / name)
    signers = tmp_path / "signers"
    signers.write_text(f"ada@example.org {(tmp_path / 'ada.pub').read_text()}")
    workshop.git("config", "gpg.format", "ssh")

    def signed(name: str, text: str) -> None:
        workshop.git("config", "user.signingKey", str(tmp_path / f"{name}.pub"))
        workshop.commit(f"by {name}", "-S", shop=text)

    signed("ada", "a: 1\n")
    texts = follow(workshop.url, Following(allowed_signers=signers))
    await texts.refresh()
    assert texts.read() == {"shop.yaml": "a: 1\n"}
    assert texts.commit is not None
    assert (texts.commit.signature, texts.commit.signer) == ("good", "ada@example.org")
    signed("eve", "a: 2\n")
    await texts.refresh()
    with pytest.raises(SourceDenied, match="is signed with a key that is not in signers"):
        texts.read()
    workshop.commit("plain", shop="a: 3\n")
    await texts.refresh()
    with pytest.raises(SourceDenied, match="is not signed"):
        texts.read()
    signed("ada", "a: 4\n")
    await texts.refresh()
    assert texts.read() == {"shop.yaml": "a: 4\n"}


async def test_a_commit_on_a_branch_touches_no_work_tree(workshop: Workshop, environ: Mapping[str, str]):
    base = workshop.commit("one", shop="a: 1\n", cart="b: 1\n")
    (workshop.directory / "shop.yaml").write_text("a: being edited\n")
    before = workshop.git("status", "--porcelain")
    repository = await GitObjects.of_clone(workshop.directory, environ=environ)
    change = Change(
        branch="promote/shop",
        texts={"shop.yaml": "a: 2\n", "new/x.yaml": "c: 1\n", "cart.yaml": None},
        message="Promote shop\n",
        author="Bo <bo@example.org>",
        when_s=1_700_000_000,
    )
    commit = await repository.commit_on_branch("HEAD", change)
    assert (commit.author, commit.when_s, commit.subject) == ("Bo <bo@example.org>", 1_700_000_000, "Promote shop")
    assert await repository.texts_at("promote/shop") == {"shop.yaml": "a: 2\n", "new/x.yaml": "c: 1\n"}
    assert workshop.git("rev-parse", "promote/shop~1", "HEAD").split() == [base, base]
    assert workshop.git("status", "--porcelain") == before
    with pytest.raises(SourceError, match="exists already"):
        await repository.commit_on_branch("HEAD", change)


@pytest.mark.parametrize("revision", ["--output=x", "HEAD:shop.yaml", "main..x", "nowhere", ""])
async def test_what_names_no_commit_is_refused(workshop: Workshop, environ: Mapping[str, str], revision: str):
    workshop.commit("one")
    repository = await GitObjects.of_clone(workshop.directory, environ=environ)
    with pytest.raises(SourceNotFound, match="is not"):
        await repository.texts_at(revision)


async def test_a_damaged_cache_is_fetched_again(workshop: Workshop, follow: Follow, tmp_path: Path):
    """F19: the cache is Bateau's own, so nobody else would repair it."""
    (workshop.directory / "serve").write_text("#!/bin/sh\n")
    (workshop.directory / "link").symlink_to("serve")
    workshop.commit("one", shop="a: 1\n")
    texts = follow(workshop.url)
    await texts.refresh()
    assert texts.commit is not None
    (cache,) = (tmp_path / "cache/git").glob("*.git")

    def damage(name: str) -> None:
        object_id = workshop.git("rev-parse", f"HEAD:{name}")
        (cache / "objects" / object_id[:2] / object_id[2:]).unlink()

    for name in ("serve", "link"):
        damage(name)
        await texts.lay_out(texts.commit, WorkTree(tmp_path / f"laid-out-{name}"))
        assert (tmp_path / f"laid-out-{name}" / "link").read_text() == "#!/bin/sh\n"
    damage("shop.yaml")
    again = follow(workshop.url)
    await again.refresh()
    assert again.trouble is None
    assert again.read() == {"shop.yaml": "a: 1\n"}
    damage("shop.yaml")
    workshop.directory.rename(tmp_path / "moved")
    away = follow(workshop.url)
    await away.refresh()
    with pytest.raises(SourceNotFound, match="cannot fetch"):
        away.read()
    (tmp_path / "moved").rename(workshop.directory)
    await away.refresh()
    assert away.read() == {"shop.yaml": "a: 1\n"}


async def test_locks_that_a_killed_fetch_left_do_not_stop_the_next(workshop: Workshop, follow: Follow, tmp_path: Path):
    workshop.commit("one", shop="a: 1\n")
    texts = follow(workshop.url)
    await texts.refresh()
    (repository,) = (tmp_path / "cache/git").glob("*.git")
    (repository / "shallow.lock").touch()
    (repository / "refs/bateau/fetched.lock").touch()
    workshop.commit("two", shop="a: 2\n")
    await texts.refresh()
    assert texts.trouble is None
    assert texts.read() == {"shop.yaml": "a: 2\n"}


def _make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
