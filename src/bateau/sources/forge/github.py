"""Write statuses and comments on GitHub, and on Gitea and Forgejo, whose API follows GitHub's.

Called by wiring.forge. `plan` uses it through ports.repository.Forge.

Sources: GitHub REST "Commit statuses" and "Issue comments" (version 2022-11-28); Gitea's Swagger description.
"""

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bateau.domain.errors import SourceError
from bateau.kit.json_value import JsonObject
from bateau.ports.repository import State
from bateau.sources.forge.conversation import Comments, Conversation, shortened

if TYPE_CHECKING:
    from aiohttp import ClientSession

API_URL: Final = "https://api.github.com"
BODY_CHARACTERS_MAX: Final = 65_536
_DESCRIPTION_CHARACTERS_MAX: Final = 140


class GitHub:
    """One repository ("org/acme"). `context` distinguishes Bateau's status from others."""

    def __init__(
        self, session: "ClientSession", repository: str, *, token: str, url: str = API_URL, context: str = "bateau"
    ) -> None:
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        self._talk = Conversation(session=session, url=url.rstrip("/"), headers=headers)
        self._base = f"/repos/{repository_path(repository)}"
        self._context = context

    async def set_status(self, commit: str, state: State, *, description: str, url: str | None = None) -> None:
        """Set the status of a commit. Raises the SourceError family."""
        body: JsonObject = {
            "state": state,
            "context": self._context,
            "description": shortened(description, _DESCRIPTION_CHARACTERS_MAX),
        }
        if url:
            body["target_url"] = url
        await self._talk.send("POST", f"{self._base}/statuses/{quote(commit, safe='')}", json=body)

    async def upsert_comment(self, pull_request: int, marker: str, *pages: str) -> None:
        """Write the comments that begin with the hidden `marker`, one per page, and replace the existing ones."""
        where = Comments(
            all=f"{self._base}/issues/{pull_request}/comments",
            one=f"{self._base}/issues/comments/",
            query="per_page=100",
            update="PATCH",
            characters_max=BODY_CHARACTERS_MAX,
        )
        await self._talk.write_pages(where, marker, pages)


class Gitea(GitHub):
    """One repository on Gitea or Forgejo. `url` is that of the server, such as https://git.example.org."""

    def __init__(
        self, session: "ClientSession", repository: str, *, token: str, url: str, context: str = "bateau"
    ) -> None:
        super().__init__(session, repository, token=token, url=f"{url.rstrip('/')}/api/v1", context=context)


def repository_path(repository: str) -> str:
    """Return "owner/name" for a URL. Raises SourceError.

    >>> repository_path("org/acme")
    'org/acme'
    """
    parts = repository.split("/")
    if len(parts) != 2 or any(part in {"", ".", ".."} for part in parts):  # noqa: PLR2004 - owner and name
        raise SourceError(f"`{repository}` is not the name of a repository", hint="write OWNER/NAME")
    return "/".join(quote(part, safe="") for part in parts)
