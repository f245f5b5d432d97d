"""Define the requests of the control API as one schema, for validation and for the OpenAPI document.

Called by api.

Invariant: a request is parsed before it is processed, so that a later failure is never reported as a malformed request.
Held by tests/api/test_operations.py::test_a_bug_is_called_a_bug_and_never_a_malformed_request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from bateau.kit.json_value import Json, object_at
from bateau.kit.position import Position
from bateau.kit.schema import Checker, build, described

_Request = TypeVar("_Request")


class MalformedRequestError(Exception):
    """A malformed request. The message names the field and the error."""


@dataclass(frozen=True, kw_only=True)
class PreviewRequest:
    """Show the effect of other specs on the running services."""

    texts: Mapping[str, str] = described("Content of every spec file by its name.")


@dataclass(frozen=True, kw_only=True)
class ApplyRequest:
    """Make these specs the desired state."""

    texts: Mapping[str, str] = described("Content of every spec file by its name.")
    commit: str | None = described("Commit with exactly these texts. Absent: no commit has them.", default=None)


@dataclass(frozen=True, kw_only=True)
class RollbackRequest:
    """Roll one service back."""

    service: str = described("Name or key of the service.", examples=("chat", "model/chat"))
    to: int | None = described(
        "Revision to roll back to. Absent: the last healthy one that differs.", default=None, minimum=1
    )


@dataclass(frozen=True, kw_only=True)
class RestartRequest:
    """Restart one service."""

    service: str = described("Name or key of the service.", examples=("chat", "model/chat"))


@dataclass(frozen=True, kw_only=True)
class LinkRequest:
    """Make a link that opens one session of the dashboard."""

    role: Literal["view", "operate", "admin"] = described("What the person may do.", default="admin")


@dataclass(frozen=True, kw_only=True)
class SilenceRequest:
    """Keep the alerts of a service, of a rule, or of both back for a while."""

    service: str | None = described("Name or key of the service. Absent: all.", default=None, examples=("model/chat",))
    alert: str | None = described("Name of the alert. Absent: all.", default=None, examples=("BateauRestartLoop",))
    seconds: float = described("How long.", minimum=1, examples=(7200,))
    why: str = described("Why, for people.", default="")
    by: str = described("Who, for people.", default="")


@dataclass(frozen=True, kw_only=True)
class UnsilenceRequest:
    """End a silence."""

    silence: str = described("Id of the silence.", examples=("3f9a1c07",))


def parsed(cls: type[_Request], body: bytes) -> _Request:
    """Return the request in a body of JSON. Raises MalformedRequestError."""
    try:
        tree: Json = json.loads(body)
    except ValueError as error:
        raise MalformedRequestError(f"the request body is not JSON: {error}") from error
    nowhere = Position("request", 1, 1)
    checker = Checker(value_at=lambda _: nowhere, key_at=lambda _: nowhere, expressions=False)
    checker.check(tree, cls, "body")
    if checker.flaws:
        raise MalformedRequestError("; ".join(flaw.says for flaw in checker.flaws))
    return build(object_at(tree), cls)
