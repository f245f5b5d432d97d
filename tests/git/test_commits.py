"""A commit is read like its checkout, and a file that no App names never prevents that."""

import asyncio
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bateau.domain.errors import ControlError, SourceError, SourceNotFound
from bateau.sources.foreign.tree import Tree
from bateau.sources.git import CommitFiles, GitObjects, WorkTree
from bateau.sources.spec_files import SpecFiles
from git.workshop import Workshop

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 3\n"
FOLDERS = st.sampled_from(["", "k", "k/base", ".hidden", "k/.helm", "node_modules", "a b", "é", "testdata"])
NAMES = st.sampled_from(
    ["a.yaml", "b.yml", ".env", ".helmignore", "c.json", "run.sh", "x\ny.yaml", 'q"\t.yaml', "a.yaml.partial", "Z"]
)


def joined(folder: str, name: str) -> str:
    return f"{folder}/{name}".lstrip("/")


PATHS = st.builds(joined, FOLDERS, NAMES)
CONTENTS = st.sampled_from(
    [b"", b"a: 1\n", b"a: 1\r\n", b"\xff\xfeb\0", b"text\0", b"$Id$\n", POINTER % (b"0" * 64), b"x" * 70_000]
)
TARGETS = st.sampled_from(
    [
        "a.yaml",
        "k/a.yaml",
        "../a.yaml",
        "base",
        "k",
        "..",
        ".",
        "../../x",
        "/etc/hostname",
        "nowhere",
        "self",
        "é/a.yaml",
    ]
)
Drawn = tuple[dict[str, tuple[bytes, bool]], dict[str, str]]
ATTRIBUTES = "*.sh export-ignore\nk/ export-ignore\na.yaml export-subst\n"
TREES = st.tuples(
    st.dictionaries(PATHS, st.tuples(CONTENTS, st.booleans()), min_size=1, max_size=12),
    st.dictionaries(PATHS, TARGETS, max_size=4),
)


def write(top: Path, files: Mapping[str, tuple[bytes, bool]], links: Mapping[str, str]) -> None:
    """Write what fits: a name that is taken already, as a file or a directory, is left out."""
    for name, (content, executable) in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)
    for name, target in links.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(path):
            path.symlink_to(target)


def everything(top: Path) -> dict[str, tuple[str, bytes | str]]:
    """Return kind and content of everything below a directory but `.git`."""
    found: dict[str, tuple[str, bytes | str]] = {}
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name != ".git"]
        for path in (Path(folder, name) for name in (*folders, *files)):
            status = path.lstat()
            name = str(path.relative_to(top))
            if stat.S_ISLNK(status.st_mode):
                found[name] = "link", str(path.readlink())
            elif stat.S_ISREG(status.st_mode):
                found[name] = f"file {status.st_mode & 0o100:o}", path.read_bytes()
    return found


async def laid_out(objects: GitObjects, commit: str, directory: Path) -> None:
    await WorkTree(directory).lay_out(await objects.listing(commit), objects.blobs, commit)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES, st.sampled_from(["", "/testdata/\n", "*.yml\nk/**\n!k/a.yaml\n"]))
@example(({"k/.env": (b"A=1\n", False), ".h/b.yaml": (b"a: 1\n", False)}, {"l.yaml": ".h/b.yaml"}), "")
def test_a_commit_has_what_its_checkout_has(environ: Mapping[str, str], tree: Drawn, ignore: str):
    """F3: hidden files, modes, links and odd names; attributes that concern archives do not apply."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(os.path.realpath(folder))
        workshop = Workshop(top / "acme")
        write(workshop.directory, *tree)
        (workshop.directory / ".gitattributes").write_text(ATTRIBUTES)
        (workshop.directory / ".bateauignore").write_text(ignore)
        commit = workshop.commit("one")
        subprocess.run(["git", "clone", "-q", workshop.directory, top / "clone"], check=True)
        objects = asyncio.run(GitObjects.of_clone(workshop.directory, environ=environ))
        assert asyncio.run(objects.texts_at(commit)) == SpecFiles(top / "clone", default={}).read()
        asyncio.run(laid_out(objects, commit, top / "laid" / "out"))
        assert everything(top / "laid" / "out") == everything(top / "clone")
        (top / "named").mkdir()
        files = CommitFiles(objects, asyncio.run(objects.listing(commit)), commit, top / "named")
        named, cloned = Tree(top / "named", files), Tree(top / "clone")
        for pattern in ("**/*.yaml", "k/*", "**/.*", "*/*.json"):
            names = [name for name in cloned.matches(pattern) if not name.startswith(".git/")]
            assert [name for name in named.matches(pattern) if cloned.is_file(name)] == names
            assert [named.text(name, where=None) for name in names] == [cloned.text(name, where=None) for name in names]
        for name in ("k/a.yml", "a b/x", "k/base/kustomization.yaml"):
            assert named.instead(name) == cloned.instead(name)
        named.need_all("k")
        if (top / "clone/k").is_dir() and not (top / "clone/k").is_symlink():
            assert everything(top / "named" / "k") == everything(top / "clone" / "k")


def test_line_endings_are_those_of_the_commit_and_not_of_attributes(tmp_path: Path, environ: Mapping[str, str]):
    """A checkout on a machine that converts line endings differs here, as docs/how-to/git.md says."""
    workshop = Workshop(tmp_path / "acme")
    (workshop.directory / ".gitattributes").write_text("*.yaml text eol=crlf\n")
    commit = workshop.commit("one", a="a: 1\n")
    objects = asyncio.run(GitObjects.of_clone(workshop.directory, environ=environ))
    assert asyncio.run(objects.texts_at(commit)) == {"a.yaml": "a: 1\n"}


def test_a_second_look_repairs_modes_contents_and_links_and_reads_nothing_else(
    tmp_path: Path, environ: Mapping[str, str]
):
    workshop = Workshop(tmp_path / "acme")
    write(workshop.directory, {"run": (b"one", True), "a": (b"a", False), "d/b": (b"b", False)}, {"l": "a"})
    commit = workshop.commit("one")
    objects = asyncio.run(GitObjects.of_clone(workshop.directory, environ=environ))
    listing = asyncio.run(objects.listing(commit))
    tree = WorkTree(tmp_path / "out")

    def lay_out() -> set[str]:
        return {*asyncio.run(tree.lay_out(listing, objects.blobs, commit)).written}

    assert lay_out() == {"run", "a", "d/b", "l"}
    before = everything(tmp_path / "out")
    shutil.move(workshop.directory / ".git", tmp_path / "away")  # nothing is read from it now
    (workshop.directory / ".git").mkdir()
    assert lay_out() == set()
    assert asyncio.run(WorkTree(tmp_path / "out").lay_out(listing, objects.blobs, commit)).written == ()
    (workshop.directory / ".git").rmdir()
    shutil.move(tmp_path / "away", workshop.directory / ".git")
    (tmp_path / "out/run").chmod(0o644)
    (tmp_path / "out/a").write_bytes(b"b")
    (tmp_path / "out/l").unlink()
    assert lay_out() == {"run", "a", "l"}
    assert everything(tmp_path / "out") == before


def test_nothing_is_written_through_a_link_that_a_program_made(tmp_path: Path, environ: Mapping[str, str]):
    workshop = Workshop(tmp_path / "acme")
    write(workshop.directory, {"d/b": (b"b", False)}, {})
    commit = workshop.commit("one")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b").write_text("of somebody")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/d").symlink_to(tmp_path / "elsewhere")
    objects = asyncio.run(GitObjects.of_clone(workshop.directory, environ=environ))
    with pytest.raises(ControlError, match=r"cannot lay out the commit .*d: Not a directory"):
        asyncio.run(laid_out(objects, commit, tmp_path / "out"))
    assert (tmp_path / "elsewhere/b").read_text() == "of somebody"


@pytest.mark.parametrize("name", [".git/config", ".GIT/config", "a/../../x"])
def test_a_tree_that_git_does_not_check_out_is_refused(workshop: Workshop, environ: Mapping[str, str], name: str):
    blob = workshop.git("hash-object", "-w", "--stdin")
    tree = f"100644 blob {blob}\t{name.rpartition('/')[2]}\n"
    for folder in reversed(name.split("/")[:-1]):
        done = subprocess.run(
            ["git", "mktree"], cwd=workshop.directory, input=tree, capture_output=True, text=True, check=True
        )
        tree = f"040000 tree {done.stdout.strip()}\t{folder}\n"
    done = subprocess.run(
        ["git", "mktree"], cwd=workshop.directory, input=tree, capture_output=True, text=True, check=True
    )
    commit = workshop.git("commit-tree", "-m", "bad", done.stdout.strip())
    objects = asyncio.run(GitObjects.of_clone(workshop.directory, environ=environ))
    with pytest.raises(SourceError, match="which `git checkout` also rejects"):
        asyncio.run(objects.texts_at(commit))


def damaged(workshop: Workshop, path: str, content: bytes | None) -> None:
    """Damage the object of a file of HEAD, or remove it."""
    object_id = workshop.git("rev-parse", f"HEAD:{path}")
    stored = workshop.directory / ".git/objects" / object_id[:2] / object_id[2:]
    stored.chmod(0o644)
    if content is None:
        stored.unlink()
    else:
        stored.write_bytes(content)


@pytest.mark.parametrize("content", [None, b"", b"no zlib"])
def test_a_missing_or_damaged_object_is_one_message_with_the_file(
    workshop: Workshop, environ: Mapping[str, str], content: bytes | None
):
    """F19."""
    (workshop.directory / "d").mkdir()
    (workshop.directory / "d/shop.yaml").write_text("a: 1\n")
    (workshop.directory / "other.png").write_text("not a spec")
    workshop.commit("one", cart="b: 1\n")
    damaged(workshop, "other.png", content)
    objects = asyncio.run(GitObjects.of_clone(workshop.directory, environ=environ))
    assert asyncio.run(objects.texts_at("HEAD")) == {"cart.yaml": "b: 1\n", "d/shop.yaml": "a: 1\n"}
    damaged(workshop, "d/shop.yaml", content)
    with pytest.raises(SourceError, match=r"d/shop\.yaml") as caught:
        asyncio.run(objects.texts_at("HEAD"))
    assert "git fsck" in str(caught.value.hint)


def test_a_missing_tree_or_commit_is_one_message(workshop: Workshop, environ: Mapping[str, str]):
    """F19."""
    (workshop.directory / "d").mkdir()
    (workshop.directory / "d/shop.yaml").write_text("a: 1\n")
    workshop.commit("one")
    workshop.commit("two")
    damaged(workshop, "d", None)
    for directory in (workshop.directory, workshop.directory / "d"):
        objects = asyncio.run(GitObjects.of_clone(directory, environ=environ))
        with pytest.raises(SourceError, match="cannot list the files of commit") as caught:
            asyncio.run(objects.texts_at("HEAD"))
        assert "git fsck" in str(caught.value.hint)
    parent = workshop.git("rev-parse", "HEAD~1")
    (workshop.directory / ".git/objects" / parent[:2] / parent[2:]).unlink()
    objects = asyncio.run(GitObjects.of_clone(workshop.directory, environ=environ))
    with pytest.raises(SourceError, match=f"`HEAD~1` is {parent[:12]}, a commit that this repository does not have"):
        asyncio.run(objects.id_of("HEAD~1"))


def test_a_clone_without_blobs_fetches_them_in_one_go(workshop: Workshop, environ: Mapping[str, str], tmp_path: Path):
    """F19: 200 files made 203 packs."""
    for number in range(200):
        write(workshop.directory, {f"d{number % 7}/f{number}.yaml": (b"a: %d\n" % number, False)}, {})
    write(workshop.directory, {"big.bin": (os.urandom(10_000), False)}, {"l.yaml": "d1/f1.yaml"})
    workshop.commit("one")
    for name in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        workshop.git("config", name, "true")
    command = [
        "git",
        "clone",
        "-q",
        "--bare",
        "--filter=blob:none",
        f"file://{workshop.directory}",
        tmp_path / "partial",
    ]
    subprocess.run(command, check=True)
    before = len([*(tmp_path / "partial/objects/pack").glob("*.pack")])
    objects = asyncio.run(GitObjects.of_clone(tmp_path / "partial", environ=environ))
    assert len(asyncio.run(objects.texts_at("HEAD"))) == 200
    assert len([*(tmp_path / "partial/objects/pack").glob("*.pack")]) - before <= 2
    missing = subprocess.run(
        ["git", "rev-list", "--objects", "--missing=print", "HEAD"],
        cwd=tmp_path / "partial", check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert missing.stdout.count("?") == 1  # big.bin, which nobody named
    workshop.directory.rename(tmp_path / "moved")
    objects = asyncio.run(GitObjects.of_clone(tmp_path / "partial", environ=environ))
    assert len(asyncio.run(objects.texts_at("HEAD"))) == 200
    listing = asyncio.run(objects.listing(asyncio.run(objects.id_of("HEAD"))))
    with pytest.raises(SourceNotFound, match="cannot fetch 1 file that this partial clone does not have"):
        CommitFiles(objects, listing, asyncio.run(objects.id_of("HEAD")), tmp_path / "out").need(["big.bin"])


def test_a_shallow_clone_says_so_and_how_to_deepen_it(workshop: Workshop, environ: Mapping[str, str], tmp_path: Path):
    """F20."""
    workshop.commit("one", a="a: 1\n")
    workshop.commit("two", a="a: 2\n")
    subprocess.run(["git", "clone", "-q", "--depth=1", workshop.url[4:], tmp_path / "clone"], check=True)
    objects = asyncio.run(GitObjects.of_clone(tmp_path / "clone", environ=environ))
    with pytest.raises(SourceNotFound, match="`HEAD~1` is not in this clone, which is shallow") as caught:
        asyncio.run(objects.texts_at("HEAD~1"))
    assert "git fetch --unshallow" in str(caught.value.hint)
    assert asyncio.run(objects.texts_at("HEAD")) == {"a.yaml": "a: 2\n"}


def test_files_in_git_lfs_have_their_content_where_it_was_fetched(tmp_path: Path, environ: Mapping[str, str]):
    """F7: a checkout has the content then; without it, a manifest is named as a pointer."""
    workshop = Workshop(tmp_path / "acme")
    oids = [digit * 64 for digit in "ab"]
    write(workshop.directory, {f"{oid[0]}.bin": (POINTER % oid.encode(), False) for oid in oids}, {})
    commit = workshop.commit("one")
    stored = workshop.directory / ".git/lfs/objects/aa/aa" / oids[0]
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"abc")
    objects = asyncio.run(GitObjects.of_clone(workshop.directory, environ=environ))
    files = CommitFiles(objects, asyncio.run(objects.listing(commit)), commit, tmp_path / "out")
    files.need(["a.bin", "b.bin"])
    assert (tmp_path / "out/a.bin").read_bytes() == b"abc"
    problem = Tree(tmp_path / "out", files).text("b.bin", where=None)
    assert not isinstance(problem, str)
    assert "b.bin is a pointer of Git LFS" in problem.says


def test_a_variable_of_a_hook_has_no_effect(workshop: Workshop, environ: Mapping[str, str], tmp_path: Path):
    commit = workshop.commit("one", shop="a: 1\n")
    other = Workshop(tmp_path / "other")
    other.commit("two", shop="a: 2\n")
    variables = {
        **environ,
        "GIT_DIR": str(other.directory / ".git"),
        "GIT_WORK_TREE": str(other.directory),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
    }
    objects = asyncio.run(GitObjects.of_clone(workshop.directory, environ=variables))
    assert asyncio.run(objects.texts_at(commit)) == {"shop.yaml": "a: 1\n"}
