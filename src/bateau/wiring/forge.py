"""Write the plan as a comment on a pull request, and as a status of its commit.

Called by cli.plan.

Invariant: tokens come from the environment and are sent in headers only. Held by tests/wiring/test_plan_status.py and
tests/git/test_forges.py.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bateau.domain.errors import ControlError
from bateau.ports.repository import Forge, State
from bateau.sources.forge import Gitea, GitHub, GitLab

if TYPE_CHECKING:
    import aiohttp

_PULL: Final = re.compile(r"/(?P<repository>.+?)/(?P<way>pull|pulls|-/merge_requests)/(?P<number>\d+)/?")


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """A pull request by its URL: the kind of forge, its address, and the number."""

    forge: str
    address: str
    repository: str
    number: int


def pull_request(url: str) -> PullRequest:
    """Parse the URL of a pull request. Raises ControlError.

    >>> pull_request("https://git.example.org/group/acme/-/merge_requests/7")
    PullRequest(forge='gitlab', address='https://git.example.org', repository='group/acme', number=7)
    """
    parts = urlsplit(url)
    match = _PULL.fullmatch(parts.path)
    if parts.scheme not in ("https", "http") or not parts.netloc or match is None:
        raise ControlError(
            f"{url} is not a pull request",
            hint="use its URL: .../org/repo/pull/12 (GitHub), .../pulls/12 (Gitea), .../-/merge_requests/12 (GitLab)",
        )
    forge = {"pull": "github", "pulls": "gitea", "-/merge_requests": "gitlab"}[match["way"]]
    address = f"{parts.scheme}://{parts.netloc}"
    return PullRequest(forge=forge, address=address, repository=match["repository"], number=int(match["number"]))


async def comment(url: str, marker: str, pages: Sequence[str]) -> None:
    """Write the comments that bear `marker`, one per page, over the existing ones.

    Raises ControlError and SourceError.
    """
    import aiohttp

    where = pull_request(url)
    async with aiohttp.ClientSession() as session:
        await _forge(session, where).upsert_comment(where.number, marker, *pages)


async def set_status(url: str, commit: str, state: State, *, name: str, description: str) -> None:
    """Set the status of a commit of the pull request's repository, and replace an earlier one of that name.

    Raises ControlError and SourceError.
    """
    import aiohttp

    where = pull_request(url)
    async with aiohttp.ClientSession() as session:
        await _forge(session, where, name=name).set_status(commit, state, description=description)


def _forge(session: "aiohttp.ClientSession", where: PullRequest, *, name: str = "bateau") -> Forge:
    """Return the forge; `name` distinguishes Bateau's status from others."""
    token = _token(f"{where.forge.upper()}_TOKEN")
    if where.forge == "gitlab":
        return GitLab(session, where.repository, token=token, url=where.address, name=name)
    if where.forge == "gitea":
        return Gitea(session, where.repository, token=token, url=where.address, context=name)
    enterprise = f"{where.address}/api/v3"
    default = enterprise if where.address != "https://github.com" else "https://api.github.com"
    url = os.environ.get("GITHUB_API_URL", default)
    return GitHub(session, where.repository, token=token, url=url, context=name)


def _token(variable: str) -> str:
    token = os.environ.get(variable)
    if not token:
        raise ControlError(
            f"{variable} is not set", hint=f"set {variable} to a token that may write comments and statuses"
        )
    return token
