"""Turn the webhooks of a forge into events: pushes, runs of workflows and pipelines, reviews, statuses, deployments.

Called by wiring.webhook. Pure. Sources: GitHub "Webhook events and payloads" (push, workflow_run, pull_request,
pull_request_review, status, deployment_status); GitLab "Webhook events" (push, pipeline, merge request, deployment).

Invariant: a body that lacks what an event needs gives no event, and no error. Held by tests/git/test_forge_events.py.
Invariant: a delivery that is sent again is the same event, whatever its headers, which no signature covers. Held by
tests/git/test_forge_events.py.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bateau.domain.event import Event
from bateau.domain.timeline import ACTOR, COMMIT, SOURCE, Told, link_fields
from bateau.kit.json_value import JsonObject, array_at, is_object, object_at, text_at
from bateau.kit.rfc3339 import seconds_of

_BAD: Final = {"failure", "failed", "error", "timed_out", "startup_failure", "canceled", "cancelled"}
_NOTHING: Final = frozenset("0")
_KINDS: Final = ("x-gitea-event", "x-github-event", "x-gitlab-event")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The content of an event. `when` is a time as the forge writes it; "" if it names none."""

    reason: str
    says: str
    when: str
    commit: str
    actor: str
    link: str
    warning: bool = False


def told(headers: Mapping[str, str], body: bytes, *, now: float) -> Told | None:
    """Return the event of a webhook, None if it is about something else. `now` is in seconds since the epoch."""
    lowered = {name.lower(): value for name, value in headers.items()}
    kind = next((lowered[name] for name in _KINDS if name in lowered), "").lower()
    read = _READERS.get(kind)
    try:
        tree = object_at(json.loads(body)) if read else {}
    except (ValueError, RecursionError):
        return None
    found = read(tree) if read else None
    if found is None:
        return None
    source = text_at(tree, "repository", "full_name") or text_at(tree, "project", "path_with_namespace") or "the forge"
    fields = {COMMIT: found.commit, ACTOR: found.actor, SOURCE: source, **link_fields(found.link)}
    event = Event(
        when_s=min(_seconds(found.when) or now, now),
        subject=source,
        reason=found.reason,
        says=found.says,
        warning=found.warning,
        fields={name: value for name, value in fields.items() if value},
    )
    return Told(event=event, uid=f"forge {hashlib.sha256(body).hexdigest()}")


def _push(tree: JsonObject) -> _Found | None:
    ref, commit = text_at(tree, "ref"), text_at(tree, "after")
    if not ref or not commit or set(commit) <= _NOTHING:
        return None
    commits = [each for each in array_at(tree, "commits") if is_object(each)]
    head = next((each for each in commits if text_at(each, "id") == commit), None)
    line = text_at(head, "message").partition("\n")[0]
    name = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    return _Found(
        reason="Pushed",
        says=f"{name}: {line}" if line else name,
        when="",  # the time of the commit is not that of its push
        commit=commit,
        actor=text_at(tree, "pusher", "name") or text_at(tree, "user_username") or text_at(tree, "user_name"),
        link=text_at(head, "url"),
    )


def _workflow_run(tree: JsonObject) -> _Found | None:
    run = object_at(tree.get("workflow_run"))
    return _run(
        "Workflow",
        text_at(run, "name"),
        text_at(run, "conclusion") or text_at(run, "status"),
        when=text_at(run, "updated_at"),
        commit=text_at(run, "head_sha"),
        actor=text_at(run, "actor", "login"),
        link=text_at(run, "html_url"),
    )


def _pipeline(tree: JsonObject) -> _Found | None:
    about = object_at(tree.get("object_attributes"))
    return _run(
        "Pipeline",
        text_at(about, "name") or text_at(about, "ref"),
        text_at(about, "status"),
        when=text_at(about, "finished_at") or text_at(about, "created_at"),
        commit=text_at(about, "sha"),
        actor=text_at(tree, "user", "username"),
        link=text_at(about, "url"),
    )


def _status(tree: JsonObject) -> _Found | None:
    return _run(
        "Status",
        text_at(tree, "context"),
        text_at(tree, "state"),
        when=text_at(tree, "updated_at"),
        commit=text_at(tree, "sha"),
        actor=text_at(tree, "sender", "login"),
        link=text_at(tree, "target_url"),
    )


def _review(tree: JsonObject) -> _Found | None:
    review, change = object_at(tree.get("review")), object_at(tree.get("pull_request"))
    if text_at(review, "state") != "approved":
        return None
    return _Found(
        reason="Approved",
        says=text_at(change, "title"),
        when=text_at(review, "submitted_at"),
        commit=text_at(review, "commit_id"),
        actor=text_at(review, "user", "login"),
        link=text_at(review, "html_url"),
    )


def _pull_request(tree: JsonObject) -> _Found | None:
    change = object_at(tree.get("pull_request"))
    if text_at(tree, "action") != "closed" or change.get("merged") is not True:
        return None
    return _Found(
        reason="Merged",
        says=text_at(change, "title"),
        when=text_at(change, "merged_at"),
        commit=text_at(change, "merge_commit_sha"),
        actor=text_at(change, "merged_by", "login"),
        link=text_at(change, "html_url"),
    )


def _merge_request(tree: JsonObject) -> _Found | None:
    about = object_at(tree.get("object_attributes"))
    reason = {"approved": "Approved", "merge": "Merged"}.get(text_at(about, "action"))
    if reason is None:
        return None
    merged = text_at(about, "merge_commit_sha") if reason == "Merged" else ""
    return _Found(
        reason=reason,
        says=text_at(about, "title"),
        when=text_at(about, "updated_at"),
        commit=merged or text_at(about, "last_commit", "id"),
        actor=text_at(tree, "user", "username"),
        link=text_at(about, "url"),
    )


def _deployment_status(tree: JsonObject) -> _Found | None:
    state, deployment = object_at(tree.get("deployment_status")), object_at(tree.get("deployment"))
    return _run(
        "Deployment",
        text_at(deployment, "environment"),
        text_at(state, "state"),
        when=text_at(state, "updated_at"),
        commit=text_at(deployment, "sha"),
        actor=text_at(state, "creator", "login"),
        link=text_at(state, "target_url"),
    )


def _deployment(tree: JsonObject) -> _Found | None:
    return _run(
        "Deployment",
        text_at(tree, "environment"),
        text_at(tree, "status"),
        when=text_at(tree, "status_changed_at"),
        commit=text_at(tree, "commit_url").rpartition("/")[2] or text_at(tree, "short_sha"),
        actor=text_at(tree, "user", "username"),
        link=text_at(tree, "deployable_url"),
    )


def _run(what: str, name: str, state: str, *, when: str, commit: str, actor: str, link: str) -> _Found | None:
    if not state:
        return None
    words = state.replace("_", " ")
    return _Found(
        reason=what + words.title().replace(" ", ""),
        says=f"{name}: {words}" if name else words,
        when=when,
        commit=commit,
        actor=actor,
        link=link,
        warning=state in _BAD,
    )


def _seconds(text: str) -> float | None:
    """Return a time in seconds since the epoch. GitLab also writes `2026-01-31 12:00:00 UTC` and `... +0200`."""
    day, _, time = text.replace(" UTC", "Z").partition(" ")
    return seconds_of(f"{day} {time.replace(' ', '')}" if time else day)


_READERS: Final[Mapping[str, Callable[[JsonObject], _Found | None]]] = {
    "push": _push,
    "push hook": _push,
    "tag push hook": _push,
    "workflow_run": _workflow_run,
    "pipeline hook": _pipeline,
    "status": _status,
    "pull_request": _pull_request,
    "pull_request_review": _review,
    "merge request hook": _merge_request,
    "deployment_status": _deployment_status,
    "deployment hook": _deployment,
}
