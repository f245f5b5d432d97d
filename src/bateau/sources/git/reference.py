"""Turn `git+https://host/acme.git@main#subdirectory=deploy` into a URL for git and a text for users.

Called by sources.git.branch, sources.git.follow, sources.git.objects and wiring. Pure.

Invariant: `url` and `shown` never hold a password; `secret` is never printed. Held by tests/git/test_reference.py and
tests/git/test_http.py.
Refused: bare `git@host:path`. There is one spelling for each thing, and this one looks like a file name.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from bateau.domain.errors import SourceError
from bateau.sources.http import is_loopback
from bateau.sources.http import shown as without_secrets

_FORM: Final = "git+https://HOST/PATH.git@REF#subdirectory=FOLDER"
_REF: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*")
_REVISION: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*(?:[~^][0-9]*)*")
_HOST: Final = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]*")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
# The prefixes that git tries for a name on the host.
_REF_PREFIXES: Final = ("", "refs/", "refs/heads/", "refs/tags/")
COMMIT_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitReference:
    """A repository, the ref to follow (None: its default branch), and the folder with the specs."""

    url: str
    ref: str | None = None
    subdirectory: str = ""
    secret: str | None = field(default=None, repr=False)  # "user:password" of the URL

    @property
    def shown(self) -> str:
        """The reference for messages, without secrets."""
        folder = f"#subdirectory={self.subdirectory}" if self.subdirectory else ""
        return f"git+{self.url}{f'@{self.ref}' if self.ref else ''}{folder}"

    @property
    def is_pinned(self) -> bool:
        """Whether the ref is a commit, which never moves."""
        return self.ref is not None and COMMIT_ID.fullmatch(self.ref) is not None

    def may_be_moved_by(self, pushed: str) -> bool:
        """Whether the push of a full ref ("refs/heads/main") may have moved the followed ref.

        Only the host knows which branch is the default, so a push to any branch may concern it.

        >>> v1 = GitReference(url="https://example.org/acme.git", ref="v1")
        >>> v1.may_be_moved_by("refs/tags/v1"), v1.may_be_moved_by("refs/heads/v2")
        (True, False)
        """
        if self.ref in {None, "HEAD"}:
            return pushed.startswith("refs/heads/")
        return not self.is_pinned and pushed in {f"{before}{self.ref}" for before in _REF_PREFIXES}


def is_git(text: str) -> bool:
    """Whether `text` means a Git repository.

    >>> is_git("git+https://example.org/acme.git"), is_git("specs/")
    (True, False)
    """
    return text.startswith("git+")


def parse(text: str) -> GitReference:
    """Parse a reference. Raises SourceError.

    >>> parse("git+https://example.org/acme.git@release/1.0#subdirectory=deploy/prod")
    GitReference(url='https://example.org/acme.git', ref='release/1.0', subdirectory='deploy/prod')
    >>> parse("git+https://me:secret@example.org/acme.git").url
    'https://example.org/acme.git'
    """
    named = without_secrets(text)
    try:
        parts = urlsplit(text.removeprefix("git+"))
        port = parts.port
    except ValueError as error:
        raise SourceError(f"{named} is not a URL", hint=f"write {_FORM}") from error
    if parts.query:
        raise SourceError(f"{named} has a query, which repositories do not use", hint=f"write {_FORM}")
    address, secret = _address(parts.scheme, parts.netloc, port, named)
    path, separator, ref = parts.path.rpartition("@")
    path, ref = (path, unquote(ref)) if separator else (parts.path, "")
    if separator and not is_ref(ref):
        raise SourceError(
            f"{named}: `{ref}` is not the name of a branch, a tag or a commit",
            hint="use letters, digits and . _ / + -; write %40 for an @ in the path",
        )
    if not path.strip("/") or any(ord(character) < ord("!") for character in unquote(path)):
        raise SourceError(f"{named} does not name a repository", hint=f"write {_FORM}")
    return GitReference(
        url=f"{parts.scheme}://{address}{path}",
        ref=ref or None,
        subdirectory=_subdirectory(parts.fragment, named),
        secret=secret,
    )


def is_ref(text: str) -> bool:
    """Whether `text` can name a branch, a tag or a commit: git-check-ref-format, a little stricter.

    >>> [is_ref(each) for each in ("main", "release/1.0", "--upload-pack=x", "a..b", "a.lock")]
    [True, True, False, False, False]
    """
    return _sound(text) and _REF.fullmatch(text) is not None


def is_revision(text: str) -> bool:
    """Whether `text` is a ref, or an ancestor of one.

    >>> is_revision("HEAD~2^"), is_revision("HEAD:secret"), is_revision("-p")
    (True, False, False)
    """
    return _sound(text) and _REVISION.fullmatch(text) is not None


def _sound(text: str) -> bool:
    parts = text.split("/")
    return ".." not in text and all(
        part and not part.startswith(".") and not part.endswith((".", ".lock")) for part in parts
    )


def _address(scheme: str, netloc: str, port: int | None, named: str) -> tuple[str, str | None]:
    """Return user, host and port for the URL, and the secret, which git gets in another way."""
    userinfo, _, host = netloc.rpartition("@")
    if scheme == "file":
        if netloc:
            raise SourceError(
                f"{named} has a host, which a file URL cannot have", hint="write git+file:///ABSOLUTE/PATH"
            )
        return "", None
    bare = host if port is None else host.rpartition(":")[0]
    if scheme not in {"https", "ssh", "http"}:
        raise SourceError(f"{named}: `{scheme}` is not supported", hint="use git+https, git+ssh or git+file")
    if not _HOST.fullmatch(host):
        raise SourceError(f"{named} does not have a host", hint=f"write {_FORM}")
    if scheme == "http" and not is_loopback(bare.strip("[]")):
        raise SourceError(f"{named} is plain http, so anyone on the network can change it", hint="use git+https")
    if scheme != "ssh":
        return host, unquote(userinfo) if userinfo else None
    user, _, password = userinfo.partition(":")
    if password:
        raise SourceError(f"{named} has a password, which ssh does not accept", hint="use a key, or git+https")
    if user and not _USER.fullmatch(user):
        raise SourceError(f"{named}: the name of the user is not valid", hint="write git+ssh://git@HOST/PATH.git")
    return f"{user}@{host}" if user else host, None


def _subdirectory(fragment: str, named: str) -> str:
    pairs = parse_qsl(fragment, keep_blank_values=True)
    if fragment and [name for name, _ in pairs] != ["subdirectory"]:
        raise SourceError(f"{named}: the part after # is not valid", hint="write #subdirectory=FOLDER")
    folder = pairs[0][1].strip("/") if pairs else ""
    if any(part in {"", ".", ".."} for part in folder.split("/")) and folder:
        raise SourceError(f"{named}: the subdirectory is outside the repository", hint="write a path without `..`")
    return folder
