"""Read commits and the texts in them out of a repository, bare or a clone, without a checkout.

Called by follow, by promote and by `plan A..B`; branch makes commits over it.

Invariant: only what the commit itself holds is read: links are not followed, submodules not entered, no filter is run.
Refused: `git archive`; attributes in the repository (export-subst, export-ignore) would change what is read.
"""

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bateau.domain.errors import SourceError, SourceNotFound
from bateau.domain.problem import Problem
from bateau.domain.revision import Commit, Signature
from bateau.kit.position import Position
from bateau.ports.repository import Change
from bateau.sources.git import branch
from bateau.sources.git.process import Git
from bateau.sources.git.reference import COMMIT_ID, is_revision

ENDINGS: Final = (".yaml", ".yml")
FILE_BYTES_MAX: Final = 8 * 2**20
BYTES_MAX: Final = 256 * 2**20
FILES_MAX: Final = 100_000
_SKIPPED: Final = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})
_LFS: Final = b"version https://git-lfs.github.com/spec/"
_LINK, _SUBMODULE, _EXECUTABLE = "120000", "160000", "100755"
_STATES: Final[Mapping[str, Signature]] = {"G": "good", "U": "unknown signer", "N": "unsigned"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of a commit; `path` from the folder that is read, `size_bytes` None for a submodule."""

    path: str
    mode: str
    id: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class GitFile:
    """What a file of a commit holds: its content, or where it leads if it is a `link`."""

    content: bytes
    executable: bool = False
    link: bool = False


class GitObjects:
    """The commits of one repository. Satisfies `ports.repository.Repository`.

    `subdirectory` is the folder that `texts_at` reads; names are relative to it.
    """

    def __init__(self, git: Git, *, subdirectory: str = "") -> None:
        self._git = git
        self._subdirectory = subdirectory

    @classmethod
    async def of_clone(cls, directory: Path, *, environ: Mapping[str, str]) -> "GitObjects":
        """Return the repository that `directory` lies in; the directory is what is read. Raises SourceError."""
        git = Git(directory=directory, environ=environ)
        out = await git.run("rev-parse", "--show-prefix", doing=f"read {directory} as a Git repository")
        return cls(git, subdirectory=out.decode("utf-8", "surrogateescape").rstrip("\n").rstrip("/"))

    def path_of(self, name: str) -> str:
        """Return the path from the repository's top of a file that `texts_at` calls `name`."""
        return f"{self._subdirectory}/{name}" if self._subdirectory else name

    async def author(self) -> str:
        """Return who makes commits here, as "Name <mail>". Raises SourceError where git does not know."""
        name, mail = [
            (await self._git.asks("config", "--get", f"user.{key}", doing="look for the author") or b"")
            .decode()
            .strip()
            for key in ("name", "email")
        ]
        if not name or not mail:
            hint = "git config user.name NAME; git config user.email MAIL"
            raise SourceError("git does not know who makes the commit", hint=hint)
        return f"{name} <{mail}>"

    async def commit(self, revision: str) -> Commit:
        """Return the commit that `revision` names; its signature is not checked. Raises SourceError."""
        form = "%H%x00%an <%ae>%x00%ct%x00%s"
        commit_id = await self.id_of(revision)
        out = await self._git.run(
            "log",
            "-1",
            "--no-show-signature",
            f"--format={form}",
            commit_id,
            "--",
            doing=f"read commit {commit_id[:12]}",
        )
        found, author, when, subject = out.decode("utf-8", "replace").rstrip("\n").split("\0")
        return Commit(id=found, author=author, when_s=int(when), subject=subject)

    async def id_of(self, revision: str) -> str:
        """Return the id of the commit that `revision` names. Raises SourceNotFound."""
        if not is_revision(revision):
            raise SourceNotFound(f"`{revision}` names no commit", hint="write a branch, a tag, an id or HEAD~1")
        out = await self._git.asks(
            "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", doing=f"look for {revision}"
        )
        found = (out or b"").decode().strip()
        if not COMMIT_ID.fullmatch(found):
            raise SourceNotFound(f"`{revision}` names no commit here", hint="write a branch, a tag, an id or HEAD~1")
        return found

    async def is_clean(self) -> bool:
        """Whether the work tree holds what HEAD does; files that Git ignores do not count. Raises SourceError."""
        return not await self._git.run("status", "--porcelain", "--untracked-files=all", doing="compare the work tree")

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` builds on `older`, as far as the history is here."""
        return await self._git.asks("merge-base", "--is-ancestor", older, newer, doing="compare commits") is not None

    async def signature(self, commit: Commit, allowed_signers: Path) -> tuple[Signature, str | None]:
        """Return the state of the commit's ssh signature, and the principal who signed. Only this commit is judged.

        `allowed_signers` is an absolute path.
        """
        raw = await self._git.run("cat-file", "commit", commit.id, doing=f"read commit {commit.short}")
        header = raw.partition(b"\n\n")[0]
        if b"\ngpgsig" not in header:
            return "unsigned", None
        if b"BEGIN SSH SIGNATURE" not in header:
            return "not ssh", None
        out = await self._git.run(
            "-c",
            f"gpg.ssh.allowedSignersFile={allowed_signers}",
            "log",
            "-1",
            "--format=%G?%x00%GS",
            commit.id,
            "--",
            doing=f"check the signature of {commit.short}",
        )
        state, _, signer = out.decode("utf-8", "replace").strip().partition("\0")
        return _STATES.get(state, "bad"), signer or None

    async def texts_at(self, revision: str) -> Mapping[str, str]:
        """Return the spec files of a commit. Raises SourceError that names every file that cannot be read."""
        commit_id = await self.id_of(revision)
        files, problems = await self.tree_at(commit_id, wanted=lambda path: path.endswith(ENDINGS))
        if problems:
            raise SourceError(
                f"commit {commit_id[:12]} cannot be read: "
                + "; ".join(f"{p.where and p.where.file} {p.says}" for p in problems),
                hint=problems[0].hint,
            )
        # Links are not followed: what they lead to within the tree is read anyway.
        return {n: each.content.decode("utf-8", "surrogateescape") for n, each in files.items() if not each.link}

    async def tree_at(
        self, commit_id: str, *, wanted: Callable[[str], bool]
    ) -> tuple[dict[str, GitFile], tuple[Problem, ...]]:
        """Return files and links as a checkout would have them, by path, and what is wrong with the tree.

        A link that leads out of the tree is wrong, and left out.
        """
        entries = [entry for entry in await self._entries(commit_id) if not _is_hidden(entry.path)]
        problems = [_submodule(entry) for entry in entries if entry.mode == _SUBMODULE]
        links = [entry for entry in entries if entry.mode == _LINK]
        found: dict[str, GitFile] = {}
        for link, target in zip(links, await self._contents(links), strict=True):
            leads_out = self._link(link, target.decode("utf-8", "surrogateescape"))
            problems += leads_out
            if not leads_out and wanted(link.path):
                found[link.path] = GitFile(target, link=True)
        files = [entry for entry in entries if entry.mode not in {_LINK, _SUBMODULE} and wanted(entry.path)]
        large = [entry for entry in files if (entry.size_bytes or 0) > FILE_BYTES_MAX]
        problems += [
            _problem(each, f"has {each.size_bytes or 0:,} bytes; more than {FILE_BYTES_MAX:,} are not read", "split it")
            for each in large
        ]
        total = sum(entry.size_bytes or 0 for entry in files)
        if total > BYTES_MAX or len(files) > FILES_MAX:
            says = f"{len(files):,} files of {total:,} bytes are more than is read"
            return {}, (Problem(where=None, says=says, hint="follow a #subdirectory= of the repository"), *problems)
        files = [entry for entry in files if entry not in large]
        for entry, content in zip(files, await self._contents(files), strict=True):
            if content.startswith(_LFS):
                says = "is a Git LFS pointer, and not the file it points to"
                problems.append(_problem(entry, says, "specs are small: keep them out of LFS (.gitattributes)"))
            else:
                found[entry.path] = GitFile(content, executable=entry.mode == _EXECUTABLE)
        return dict(sorted(found.items())), tuple(problems)

    async def commit_on_branch(self, base: str, change: Change) -> Commit:
        """Make a commit above `base` on a new branch; paths are from the repository's top. Raises SourceError."""
        made = await branch.commit_on_branch(self._git, await self.id_of(base), change)
        return await self.commit(made)

    async def _entries(self, commit_id: str) -> list[Entry]:
        where = f"{commit_id}:{self._subdirectory}"
        if await self._git.asks("cat-file", "-e", where, doing="look for the folder") is None:
            raise SourceNotFound(
                f"commit {commit_id[:12]} has no folder {self._subdirectory}", hint="look at #subdirectory="
            )
        out = await self._git.run(
            "ls-tree", "-r", "-l", "-z", "--full-tree", where, doing=f"list commit {commit_id[:12]}"
        )
        entries: list[Entry] = []
        for line in out.split(b"\0")[:-1]:
            fields, _, path = line.partition(b"\t")
            mode, _, object_id, size = fields.decode().split()
            name = path.decode("utf-8", "surrogateescape")
            entries.append(Entry(path=name, mode=mode, id=object_id, size_bytes=None if size == "-" else int(size)))
        return sorted(entries, key=lambda entry: entry.path)

    async def _contents(self, entries: list[Entry]) -> list[bytes]:
        """Return the blobs in one run of git."""
        if not entries:
            return []
        asked = "".join(f"{entry.id}\n" for entry in entries).encode()
        out = await self._git.run("cat-file", "--batch", stdin=asked, doing="read files")
        contents: list[bytes] = []
        at = 0
        for entry in entries:
            end = out.index(b"\n", at)
            header = out[at:end].split()
            if header[1:2] != [b"blob"]:
                raise SourceError(f"cannot read {entry.path}: its content is missing from the repository")
            size = int(header[2])
            contents.append(out[end + 1 : end + 1 + size])
            at = end + size + 2
        return contents

    def _link(self, link: Entry, target: str) -> list[Problem]:
        """A link within leads to what is read anyway; one that leads out would read the machine's files."""
        top = posixpath.join("/", self._subdirectory, posixpath.dirname(link.path))
        climbs = target.startswith("/") or _climbs_out(top, target)
        if not climbs:
            return []
        says = f"is a link to {target}, which is not in the repository"
        return [_problem(link, says, "put the file itself into the repository")]


def _climbs_out(folder: str, target: str) -> bool:
    depth = len([part for part in folder.split("/") if part])
    for part in target.split("/"):
        depth += -1 if part == ".." else 0 if part in {"", "."} else 1
        if depth < 0:
            return True
    return False


def _is_hidden(path: str) -> bool:
    """The same folders are looked into as in a directory on disk."""
    return any(part.startswith(".") or part in _SKIPPED for part in path.split("/"))


def _submodule(entry: Entry) -> Problem:
    says = (
        "is a submodule: another repository, whose content this commit does not hold and whose signature nobody checked"
    )
    return _problem(entry, says, "put the files into this repository, or follow the other one too")


def _problem(entry: Entry, says: str, hint: str) -> Problem:
    name = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", entry.path)
    return Problem(where=Position(name, 1, 1), says=says, hint=hint)
