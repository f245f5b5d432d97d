"""Write statuses and notes on GitLab.

Called by wiring.forge. `plan` uses it through ports.repository.Forge.

Sources: GitLab REST "Commits API: set commit pipeline status" and "Notes API: merge requests" (version 4).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bateau.domain.errors import SourceError
from bateau.kit.json_value import JsonObject
from bateau.ports.repository import State
from bateau.sources.forge.conversation import Comments, Conversation, shortened

if TYPE_CHECKING:
    from aiohttp import ClientSession

BODY_CHARACTERS_MAX: Final = 1_000_000
_DESCRIPTION_CHARACTERS_MAX: Final = 255
_STATES: Final[Mapping[State, str]] = {
    "pending": "running",
    "success": "success",
    "failure": "failed",
    "error": "failed",
}


class GitLab:
    """One project ("group/sub/acme"). `name` distinguishes Bateau's status from others."""

    def __init__(
        self,
        session: "ClientSession",
        project: str,
        *,
        token: str,
        url: str = "https://gitlab.com",
        name: str = "bateau",
    ) -> None:
        api = f"{url.rstrip('/')}/api/v4"
        self._talk = Conversation(session=session, url=api, headers={"PRIVATE-TOKEN": token})
        self._base = f"/projects/{quote(project, safe='')}"
        self._name = name

    async def set_status(self, commit: str, state: State, *, description: str, url: str | None = None) -> None:
        """Set the status of a commit. Raises the SourceError family."""
        body: JsonObject = {
            "state": _STATES[state],
            "name": self._name,
            "description": shortened(description, _DESCRIPTION_CHARACTERS_MAX),
        }
        if url:
            body["target_url"] = url
        try:
            await self._talk.send(
                "POST",
                f"{self._base}/statuses/{quote(commit, safe='')}",
                json=body,
            )
        except SourceError as error:
            if "Cannot transition status" not in error.message:  # GitLab's answer if the status is already set
                raise

    async def upsert_comment(self, pull_request: int, marker: str, *pages: str) -> None:
        """Write the notes that begin with the hidden `marker`, one per page, and replace the existing ones."""
        notes = f"{self._base}/merge_requests/{pull_request}/notes"
        where = Comments(
            all=notes,
            one=f"{notes}/",
            query="per_page=100&sort=asc",
            update="PUT",
            characters_max=BODY_CHARACTERS_MAX,
        )
        await self._talk.write_pages(where, marker, pages)
