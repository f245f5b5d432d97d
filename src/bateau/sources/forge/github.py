"""Statuses and comments on GitHub, and on Gitea and Forgejo, whose API is made after it.

Called by plan's faces through ports.repository.Forge.

Sources: GitHub REST "Commit statuses" and "Issue comments" (version 2022-11-28); Gitea's Swagger description.
"""

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from bateau.domain.errors import SourceError
from bateau.ports.repository import State
from bateau.sources.forge.conversation import Conversation, hidden, shortened

if TYPE_CHECKING:
    from aiohttp import ClientSession

API_URL: Final = "https://api.github.com"
BODY_CHARACTERS_MAX: Final = 65_536
_DESCRIPTION_CHARACTERS_MAX: Final = 140


class GitHub:
    """One repository ("org/acme"). `context` names our status beside those of others."""

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
        """Show a state beside a commit. Raises the SourceError family."""
        body: dict[str, Any] = {
            "state": state,
            "context": self._context,
            "description": shortened(description, _DESCRIPTION_CHARACTERS_MAX),
        }
        await self._talk.send(
            "POST", f"{self._base}/statuses/{quote(commit, safe='')}", json=body | ({"target_url": url} if url else {})
        )

    async def upsert_comment(self, pull_request: int, marker: str, body: str) -> None:
        """Write the comment that begins with the hidden `marker`, over the one that is there."""
        mark = hidden(marker)
        json = {"body": shortened(f"{mark}\n{body}", BODY_CHARACTERS_MAX)}
        comments = f"{self._base}/issues/{pull_request}/comments"
        async for each in self._talk.items(f"{comments}?per_page=100"):
            if str(each.get("body", "")).startswith(mark):
                if each["body"] != json["body"]:
                    await self._talk.send("PATCH", f"{self._base}/issues/comments/{int(each['id'])}", json=json)
                return
        await self._talk.send("POST", comments, json=json)


class Gitea(GitHub):
    """One repository of a Gitea or Forgejo; `url` is the server's own: https://git.example.org."""

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
        raise SourceError(f"`{repository}` is no repository", hint="write OWNER/NAME")
    return "/".join(quote(part, safe="") for part in parts)
