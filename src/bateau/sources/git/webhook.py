"""Verify that a webhook comes from the forge, and read which ref was pushed.

Called by sources.git.follow, wiring.repository and wiring.webhook. Pure: headers and body in, a value out.

Invariant: the body is not parsed before its signature is verified. Secrets are compared in constant time. Held by
tests/git/test_webhook.py.
Invariant: a webhook only triggers a fetch. The followed commit is always the one that git fetches. Held by
tests/wiring/test_webhook.py.
Sources: GitHub "Validating webhook deliveries", GitLab "Webhooks", Gitea "Webhooks" (hex HMAC-SHA256 of the raw body).
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bateau.kit.json_value import object_at

BODY_BYTES_MAX: Final = 25 * 2**20  # the limit of GitHub
_NOTHING: Final = frozenset("0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A ref was pushed. `ref` is the full name ("refs/heads/main"); `commit` is None if the ref was deleted."""

    ref: str
    commit: str | None

    @property
    def name(self) -> str:
        """The branch or the tag."""
        return self.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unheeded:
    """A genuine webhook about another event, such as a ping or an issue."""

    event: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A webhook that is not genuine, or not understood. `status` is the HTTP status of the answer."""

    says: str
    status: int


def received(headers: Mapping[str, str], body: bytes, *, secret: str) -> Push | Unheeded | Refused:
    """Return the content of a webhook of GitHub, GitLab or Gitea.

    >>> received({"X-Gitlab-Token": "guess", "X-Gitlab-Event": "Push Hook"}, b"{}", secret="s3cret")
    Refused(says='the token is wrong', status=401)
    """
    if not secret:
        return Refused(says="no secret is set, so all webhooks are rejected", status=503)
    if len(body) > BODY_BYTES_MAX:
        return Refused(says=f"the body has more than {BODY_BYTES_MAX:,} bytes", status=413)
    lowered = {name.lower(): value for name, value in headers.items()}
    if says := _forged(lowered, body, secret):
        return Refused(says=says, status=401)
    event = next((lowered[name] for name in _EVENTS if name in lowered), "")
    if event.lower() not in {"push", "push hook", "tag push hook"}:
        return Unheeded(event=event or "unnamed")
    return _push(body)


_EVENTS: Final = ("x-gitea-event", "x-github-event", "x-gitlab-event")


def _forged(headers: Mapping[str, str], body: bytes, secret: str) -> str | None:
    """Return why the webhook is rejected, or None."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if "x-gitlab-token" in headers:
        return None if _same(headers["x-gitlab-token"], secret) else "the token is wrong"
    given = headers.get("x-hub-signature-256", headers.get("x-gitea-signature"))
    if given is None:
        if "x-hub-signature" in headers:
            return "the signature is SHA-1 only, which is not accepted"
        return "the signature is missing"
    return None if _same(given.removeprefix("sha256="), expected) else "the signature is wrong"


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _push(body: bytes) -> Push | Refused:
    try:
        fields = object_at(json.loads(body))
    except (ValueError, RecursionError):
        return Refused(says="the body is not JSON; set the content type application/json", status=400)
    ref, after = fields.get("ref"), fields.get("after")
    if not isinstance(ref, str) or not ref.startswith("refs/"):
        return Refused(says="the body does not name a ref", status=400)
    return Push(ref=ref, commit=after if isinstance(after, str) and not set(after) <= _NOTHING else None)
