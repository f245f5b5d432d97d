"""Read commits, and the specs in them, from a repository without a checkout. It may be bare.

Called by sources.git.commit_files, sources.git.follow and wiring.

Invariant: a commit has the same files as its checkout. Attributes that only concern archives (export-ignore,
export-subst) do not apply. No filter of the repository runs, so line endings are those of the commit. Held by
tests/git/test_commits.py.
Refused: `git archive`, to which those attributes apply.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bateau.domain.errors import SourceDamaged, SourceError, SourceNotFound, SourceUnreachable
from bateau.domain.revision import Commit, Signature
from bateau.ports.repository import Change
from bateau.sources.git import branch
from bateau.sources.git.blobs import Blobs
from bateau.sources.git.listing import Entry, Listing, shown
from bateau.sources.git.process import DAMAGED_HINT, Git
from bateau.sources.git.reference import COMMIT_ID, is_revision
from bateau.sources.spec_names import IGNORE_FILE, READ_BYTES_MAX, SpecNames

_LINK_BYTES_MAX: Final = 4096  # as Linux has it
_STATES: Final[Mapping[str, Signature]] = {"G": "good", "U": "unknown signer", "N": "unsigned"}
_REVISION_HINT: Final = "write a branch, a tag, a commit id, or HEAD~1"
_SHALLOW_HINT: Final = (
    "deepen it: `git fetch --unshallow`; in CI, set `fetch-depth: 0` of actions/checkout, or `GIT_DEPTH: 0` for GitLab"
)


class GitObjects:
    """The commits of one repository. Satisfies `ports.repository.Repository`.

    `subdirectory` is the folder that `texts_at` and `listing` read. Names are relative to it.
    """

    def __init__(self, git: Git, *, subdirectory: str = "") -> None:
        self._git = git
        self._subdirectory = subdirectory
        self._listed: tuple[str, Listing] | None = None  # of the commit that was asked for last
        self.blobs = Blobs(git)

    @classmethod
    async def of_clone(cls, directory: Path, *, environ: Mapping[str, str]) -> "GitObjects":
        """Return the repository of a work tree, to read `directory` of it. Raises SourceError."""
        git = Git(directory=directory, environ=environ)
        out = await git.run("rev-parse", "--show-prefix", doing=f"read {directory} as a Git repository")
        return cls(git, subdirectory=out.decode("utf-8", "surrogateescape").rstrip("\n").rstrip("/"))

    @classmethod
    def of_bare(cls, directory: Path, subdirectory: str, *, environ: Mapping[str, str]) -> "GitObjects":
        """Return a repository without a work tree, to read a folder of it."""
        return cls(Git(directory=directory, environ=environ), subdirectory=subdirectory)

    def path_of(self, name: str) -> str:
        """Return the path, from the top of the repository, of a file that `texts_at` calls `name`."""
        return f"{self._subdirectory}/{name}" if self._subdirectory else name

    async def author(self) -> str:
        """Return the author of new commits, as "Name <mail>". Raises SourceError if git has none configured."""
        name, mail = [
            (await self._git.asks("config", "--get", f"user.{key}", doing="look for the author") or b"")
            .decode()
            .strip()
            for key in ("name", "email")
        ]
        if not name or not mail:
            hint = "git config user.name NAME; git config user.email MAIL"
            raise SourceError("git has no author for the commit", hint=hint)
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
            raise SourceNotFound(f"`{revision}` is not the name of a commit", hint=_REVISION_HINT)
        doing = f"look for {revision}"
        out = await self._git.asks("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", doing=doing)
        found = (out or b"").decode().strip()
        if COMMIT_ID.fullmatch(found):
            return found
        if await self._git.asks("rev-parse", "--is-shallow-repository", doing=doing) == b"true\n":
            raise SourceNotFound(f"`{revision}` is not in this clone, which is shallow", hint=_SHALLOW_HINT)
        named = await self._git.asks("rev-parse", "--verify", "--quiet", revision, doing=doing)
        if named is not None and not COMMIT_ID.fullmatch(revision):
            says = f"`{revision}` is {named.decode().strip()[:12]}, a commit that this repository does not have"
            raise SourceDamaged(says, hint=DAMAGED_HINT)
        raise SourceNotFound(f"`{revision}` is not a commit of this repository", hint=_REVISION_HINT)

    async def is_clean(self) -> bool:
        """Whether the work tree has no changes since HEAD, except in files that Git ignores. Raises SourceError."""
        return not await self._git.run("status", "--porcelain", "--untracked-files=all", doing="compare the work tree")

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` builds on `older`, as far as this repository has the history."""
        return await self._git.asks("merge-base", "--is-ancestor", older, newer, doing="compare commits") is not None

    async def signature(self, commit: Commit, allowed_signers: Path) -> tuple[Signature, str | None]:
        """Return the state of the commit's ssh signature, and the principal who signed. No other commit is checked.

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
        """Return the spec files of a commit, as SpecFiles reads them from a checkout. Raises the SourceError family."""
        commit_id = await self.id_of(revision)
        listing = await self.listing(commit_id)
        names = SpecNames(await self._ignore_patterns(listing, commit_id))
        read: dict[str, Entry] = {}
        links: dict[str, Entry] = {}
        for path, entry in listing.entries.items():
            if not entry.is_submodule and names.is_read(path):
                (links if entry.is_link else read)[path] = entry
        for path in links:
            found = listing.find(path)
            if found.entry is not None and found.entry.is_file and found.path not in read:
                links[path] = found.entry
        read |= {path: entry for path, entry in links.items() if entry.is_file}
        entries = [read[path] for path in sorted(read)]
        contents = await self.blobs.heads(entries, commit_id, bytes_max=READ_BYTES_MAX)
        texts = (content.decode("utf-8", "surrogateescape") for content in contents)
        return dict(zip(sorted(read), texts, strict=True))

    async def listing(self, commit_id: str) -> Listing:
        """Return all names in the folder of a commit. Raises the SourceError family."""
        if self._listed is None or self._listed[0] != commit_id:
            entries = await self._entries(commit_id)
            links = [entry for entry in entries if entry.is_link]
            self._listed = commit_id, Listing(entries, await self._targets(links, commit_id))
        return self._listed[1]

    async def large_files(self) -> Path | None:
        """Return the directory in which Git LFS keeps files that it has fetched; None if there is none."""
        out = await self._git.asks("rev-parse", "--git-common-dir", doing="look for Git LFS")
        if out is None:
            return None
        path = self._git.directory / out.decode("utf-8", "surrogateescape").rstrip("\n") / "lfs" / "objects"
        return path if path.is_dir() else None

    async def commit_on_branch(self, base: str, change: Change) -> Commit:
        """Make a commit above `base` on a new branch. Paths are from the top of the repository. Raises SourceError."""
        made = await branch.commit_on_branch(self._git, await self.id_of(base), change)
        return await self.commit(made)

    async def _targets(self, links: Sequence[Entry], commit_id: str) -> dict[str, str]:
        """Return the targets of links by path. A damaged target is left out: it matters only if the link is used."""
        try:
            contents = await self.blobs.heads(links, commit_id, bytes_max=_LINK_BYTES_MAX)
        except SourceUnreachable:
            raise
        except SourceError:
            if len(links) == 1:
                return {}
            each = [await self._targets([link], commit_id) for link in links]
            return {path: target for targets in each for path, target in targets.items()}
        targets = (content.decode("utf-8", "surrogateescape") for content in contents)
        return dict(zip((link.path for link in links), targets, strict=True))

    async def _ignore_patterns(self, listing: Listing, commit_id: str) -> str:
        found = listing.find(IGNORE_FILE)
        if found.entry is None or not found.entry.is_file:
            return ""
        (content,) = await self.blobs.heads([found.entry], commit_id, bytes_max=READ_BYTES_MAX)
        return content.decode("utf-8", "surrogateescape")

    async def _entries(self, commit_id: str) -> list[Entry]:
        doing = f"list the files of commit {commit_id[:12]}"
        if self._subdirectory:
            # Without a "/" at the end, it lists the directory itself.
            out = await self._git.run(
                "ls-tree", "-d", "-z", "--full-tree", commit_id, "--", self._subdirectory, doing=doing
            )
            if not out:
                says = f"commit {commit_id[:12]} has no directory {shown(self._subdirectory)}"
                raise SourceNotFound(says, hint="check #subdirectory= of the URL, or the directory of the command")
        where = f"{commit_id}:{self._subdirectory}" if self._subdirectory else commit_id
        out = await self._git.run("ls-tree", "-r", "-z", "--full-tree", where, doing=doing)
        entries: list[Entry] = []
        for line in out.split(b"\0")[:-1]:
            fields, _, path = line.partition(b"\t")
            mode, _, object_id = fields.decode().split()
            entries.append(Entry(path=path.decode("utf-8", "surrogateescape"), mode=mode, id=object_id))
        return sorted(entries, key=lambda entry: entry.path)
