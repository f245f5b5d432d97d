"""Read the contents of files of a commit, and fetch those that a partial clone has left out.

Called by sources.git.objects and sources.git.work_tree.

Invariant: contents that a partial clone lacks are fetched together, and not one by one as Git does it by itself. Held
by tests/git/test_commits.py::test_a_clone_without_blobs_fetches_them_in_one_go.
Invariant: a file is as the commit has it. Attributes of the repository (line endings, filters) are not applied. Held by
tests/git/test_commits.py::test_line_endings_are_those_of_the_commit_and_not_of_attributes.
"""

import re
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bateau.domain.errors import SourceDamaged, SourceError
from bateau.kit.suggest import listed
from bateau.sources.git.listing import Entry, shown
from bateau.sources.git.process import DAMAGED_HINT, Git

BATCH_BYTES: Final = 32 * 2**20
_FETCH_TIMEOUT_S: Final = 600.0
_NAMED_MAX: Final = 5
_PROMISOR: Final = re.compile(r"^(remote\..*\.promisor|extensions\.partialclone)$")
_PROMISOR_LINE: Final = re.compile(r"(?:remote\.(?P<name>.*)\.promisor true|extensions\.partialclone (?P<value>.*))$")


@dataclass(slots=True)
class Blobs:
    """The contents of files of one repository. Every method raises the SourceError family, and names the file."""

    git: Git
    _asked: bool = False
    _remote: str | None = None
    _missing: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    async def heads(self, entries: Sequence[Entry], commit_id: str, *, bytes_max: int) -> list[bytes]:
        """Return the first `bytes_max` bytes of files."""
        heads: dict[str, bytes] = {}
        async for batch in self.batches(entries, commit_id):
            if batch.size_bytes > BATCH_BYTES:  # one large file
                heads[batch.entries[0].id] = await self._head(batch.entries[0], bytes_max)
            else:
                contents = await self.contents(batch)
                heads |= {entry.id: content[:bytes_max] for entry, content in zip(batch.entries, contents, strict=True)}
        return [heads[entry.id] for entry in entries]

    async def batches(self, entries: Sequence[Entry], commit_id: str) -> AsyncIterator["Batch"]:
        """Yield the entries in groups that fit in memory together. A larger file has a group of its own."""
        if not entries:
            return
        await self._fetch(entries, commit_id)
        for each in _grouped(entries, await self._sizes(entries, commit_id)):
            yield each

    async def contents(self, batch: "Batch") -> list[bytes]:
        """Return the contents of the entries of a batch, in one run of git."""
        asked = "".join(f"{entry.id}\n" for entry in batch.entries).encode()
        out = await self._run("cat-file", "--batch", stdin=asked, entries=batch.entries)
        contents: list[bytes] = []
        at = 0
        for _ in batch.entries:
            end = out.index(b"\n", at)
            size = int(out[at:end].split()[2])
            contents.append(out[end + 1 : end + 1 + size])
            at = end + size + 2
        return contents

    async def save(self, entry: Entry, path: Path) -> None:
        """Write the content of a file of any size to `path`. Raises OSError as well."""
        with path.open("wb") as file:
            await self.git.run("cat-file", "blob", entry.id, doing=f"read {shown(entry.path)}", into=file)

    async def _head(self, entry: Entry, bytes_max: int) -> bytes:
        with tempfile.TemporaryFile() as file:
            await self.git.run("cat-file", "blob", entry.id, doing=f"read {shown(entry.path)}", into=file)
            file.seek(0)
            return file.read(bytes_max)

    async def _sizes(self, entries: Sequence[Entry], commit_id: str) -> list[int]:
        asked = "".join(f"{entry.id}\n" for entry in entries).encode()
        out = await self._run("cat-file", "--batch-check", stdin=asked, entries=entries)
        lines = [line.split() for line in out.splitlines()]
        if missing := [entry for entry, line in zip(entries, lines, strict=True) if line[1:2] != [b"blob"]]:
            names = listed([shown(entry.path) for entry in missing], limit=_NAMED_MAX)
            says = f"commit {commit_id[:12]} cannot be read: this repository does not have the content of {names}"
            raise SourceDamaged(says, hint=DAMAGED_HINT)
        return [int(line[2]) for line in lines]

    async def _run(self, *arguments: str, stdin: bytes, entries: Collection[Entry]) -> bytes:
        """Run git. Its errors identify a damaged object by its id, so add the name of the file."""
        try:
            return await self.git.run(*arguments, stdin=stdin, doing="read files")
        except SourceError as error:
            ids = set(re.findall(r"[0-9a-f]{40,64}", error.message))
            names = [shown(entry.path) for entry in entries if entry.id in ids]
            if not names:
                raise
            raise type(error)(f"cannot read {names[0]}: {error.message}", hint=error.hint) from error

    async def _fetch(self, entries: Sequence[Entry], commit_id: str) -> None:
        """Fetch the contents of `entries` that a partial clone has left out, all at once."""
        remote = await self._promisor()
        if remote is None:
            return
        if commit_id not in self._missing:
            out = await self.git.run(
                "rev-list", "--objects", "--missing=print", "--no-walk", commit_id, doing="look for missing files"
            )
            self._missing = {commit_id: {line[1:].decode() for line in out.splitlines() if line.startswith(b"?")}}
        wanted = {entry.id for entry in entries} & self._missing[commit_id]
        if not wanted:
            return
        count = f"{len(wanted):,} file{'' if len(wanted) == 1 else 's'}"
        await self.git.run(
            "-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
            "--recurse-submodules=no", "--filter=blob:none", "--stdin", remote,
            stdin="".join(f"{each}\n" for each in sorted(wanted)).encode(),
            doing=f"fetch {count} that this partial clone does not have", timeout_s=_FETCH_TIMEOUT_S,
        )  # fmt: skip
        self._missing[commit_id] -= wanted

    async def _promisor(self) -> str | None:
        """Return the remote of a partial clone; None for a complete clone."""
        if not self._asked:
            out = await self.git.asks("config", "--get-regexp", _PROMISOR.pattern, doing="look for a remote")
            lines = (out or b"").decode("utf-8", "surrogateescape").splitlines()
            names = [found["name"] or found["value"] for line in lines if (found := _PROMISOR_LINE.match(line))]
            self._asked, self._remote = True, names[0] if names else None
        return self._remote


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that are read together."""

    entries: Sequence[Entry]
    size_bytes: int


def _grouped(entries: Sequence[Entry], sizes: Sequence[int]) -> Iterator[Batch]:
    group: list[Entry] = []
    total = 0
    for entry, size in zip(entries, sizes, strict=True):
        if group and total + size > BATCH_BYTES:
            yield Batch(group, total)
            group, total = [], 0
        group.append(entry)
        total += size
    if group:
        yield Batch(group, total)
