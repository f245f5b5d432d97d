"""Name the repository that specs come from, so that two repositories are not taken for one.

Called by wiring.applying, wiring.clusters and wiring.following.

Invariant: one repository has one name, however it was cloned, and no name contains a credential. Held by
tests/sources/test_git_identity.py.
Refused: the first commit. Forks share it, and shallow clones do not have it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bateau.domain.errors import SourceError
from bateau.sources.git.process import Git

_SCP: Final = re.compile(r"^(?:[^/@:]+@)?(?P<host>[^/:]+):(?P<path>(?!//).+)$")


def identity(url: str, folder: str = "") -> str:
    """Return host, path and folder of a repository; "" for a path of this machine, which says nothing elsewhere.

    >>> identity("git@github.com:acme/shop.git"), identity("https://token@GitHub.com:443/acme/shop/", "prod")
    ('github.com/acme/shop', 'github.com/acme/shop/prod')
    >>> identity("/srv/git/shop.git")
    ''
    """
    if "://" in url:
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path
    else:
        found = _SCP.match(url)
        host, path = (found["host"].lower(), found["path"]) if found else ("", "")
    name = path.strip("/").removesuffix(".git")
    return "/".join(each for each in (host, name, folder.strip("/")) if each) if host and name else ""


async def identity_of(directory: Path, environ: Mapping[str, str]) -> str:
    """Return the name of the repository of a directory; "" if it has none, or no remote `origin`."""
    git = Git(directory=directory, environ=environ)
    try:
        url = await git.asks("config", "--get", "remote.origin.url", doing="read the URL of origin")
        folder = await git.asks("rev-parse", "--show-prefix", doing="find the root of the repository") if url else None
    except SourceError:
        return ""
    return identity(url.decode().strip(), (folder or b"").decode().strip()) if url else ""
