"""Turn texts into a commit on a new branch, ready for a pull request of `bateau promote`.

Called by sources.git.objects.

Invariant: no work tree, no index and no existing branch is touched. Nothing refers to the new objects until the last
step. Held by tests/git/test_following.py::test_a_commit_on_a_branch_touches_no_work_tree.
Refused: a temporary clone with a checkout. It is ten times slower and would run the user's hooks and filters.
"""

import re
import tempfile
from pathlib import Path
from typing import Final

from bateau.domain.errors import SourceError, SourceNotFound
from bateau.ports.repository import Change
from bateau.sources.git.process import Git
from bateau.sources.git.reference import is_ref

_AUTHOR: Final = re.compile(r"([^<>\0\n]+?) <([^<>\0\s]*)>")
_NO_OBJECT: Final = "0" * 40


async def commit_on_branch(git: Git, base: str, change: Change) -> str:
    """Create a branch with one new commit on top of `base`. Return its id. Raises SourceError if the branch exists."""
    names = {"AUTHOR": _name_and_mail(change.author), "COMMITTER": _name_and_mail(change.committer or change.author)}
    if not is_ref(change.branch):
        raise SourceError(f"`{change.branch}` is not a branch name", hint="use letters, digits and . _ / + -")
    target = f"refs/heads/{change.branch}"
    doing = f"create branch {change.branch}"
    if await git.asks("rev-parse", "--verify", "--quiet", target, doing=doing) is not None:
        raise SourceError(
            f"branch {change.branch} exists already", hint="delete it, or choose another name with --branch"
        )
    with tempfile.TemporaryDirectory(prefix="bateau-index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        await git.run("read-tree", base, doing=doing, variables=index)
        modes = await _modes(git, base, doing)
        lines: list[bytes] = []
        for path, text in sorted(change.texts.items()):
            lines.append(await _index_line(git, path, text, modes, doing))
        await git.run("update-index", "-z", "--index-info", stdin=b"".join(lines), doing=doing, variables=index)
        tree = (await git.run("write-tree", doing=doing, variables=index)).decode().strip()
    if tree == (await git.run("rev-parse", f"{base}^{{tree}}", doing=doing)).decode().strip():
        raise SourceError(f"branch {change.branch} would not change anything")
    who = {
        f"GIT_{role}_{what}": value
        for role, (name, mail) in names.items()
        for what, value in (("NAME", name), ("EMAIL", mail), ("DATE", f"{change.when_s} +0000"))
    }
    made = await git.run(
        "commit-tree", "-p", base, "-F", "-", tree, stdin=change.message.encode(), doing=doing, variables=who
    )
    commit_id = made.decode().strip()
    # The zeros demand that the branch does not exist yet, so two simultaneous promotions cannot overwrite each other.
    await git.run("update-ref", "--no-deref", target, commit_id, "0" * len(commit_id), doing=doing, variables=who)
    return commit_id


def _name_and_mail(text: str) -> tuple[str, str]:
    found = _AUTHOR.fullmatch(text)
    if found is None:
        raise SourceError(f"`{text}` is not an author", hint="write Name <mail@example.org>")
    return found[1], found[2]


async def _modes(git: Git, base: str, doing: str) -> dict[str, str]:
    out = await git.run("ls-tree", "-r", "-z", "--full-tree", base, doing=doing)
    lines = (line.decode("utf-8", "surrogateescape").partition("\t") for line in out.split(b"\0")[:-1])
    return {path: fields.split()[0] for fields, _, path in lines}


async def _index_line(git: Git, path: str, text: str | None, modes: dict[str, str], doing: str) -> bytes:
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in path.split("/")) or "\0" in path:
        raise SourceError(f"`{path}` is not a path in a repository")
    encoded = path.encode("utf-8", "surrogateescape")
    if text is None:
        if path not in modes:
            raise SourceNotFound(f"{path} is not in the commit, so it cannot be removed")
        return b"0 " + _NO_OBJECT.encode() + b"\t" + encoded + b"\0"
    mode = modes.get(path, "100644")
    if not mode.startswith("100"):
        raise SourceError(f"{path} is a link or a submodule, so it cannot be changed")
    blob = (await git.run("hash-object", "-w", "--stdin", stdin=text.encode(), doing=doing)).decode().strip()
    return f"{mode} {blob}\t".encode() + encoded + b"\0"
