"""What the webhooks of GitHub and GitLab say about a commit, as events. The bodies are cut to what is read."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.domain.event import Event
from bateau.sources.git.forge_events import told

NOW = 1_800_000_000.0
SHA = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
GITHUB = {"repository": {"full_name": "acme/models"}}
GITLAB = {"project": {"path_with_namespace": "acme/models"}}


def event(headers: Mapping[str, str], tree: Mapping[str, Any]) -> Event | None:
    found = told(headers, json.dumps(tree).encode(), now=NOW)
    return found.event if found else None


def github(kind: str, **tree: Any) -> Event | None:
    return event({"X-GitHub-Event": kind}, {**GITHUB, **tree})


def gitlab(kind: str, **tree: Any) -> Event | None:
    return event({"X-Gitlab-Event": kind}, {**GITLAB, **tree})


def shown(found: Event | None) -> tuple[str, str, bool, Mapping[str, str]]:
    assert found is not None
    assert found.fields["source"] == found.subject == "acme/models"
    fields = {name: value for name, value in found.fields.items() if name != "source"}
    return found.reason, found.says, found.warning, fields


FIELDS = {"commit": SHA, "actor": "ada", "link": "https://git.example.org/7"}


@pytest.mark.parametrize(
    "found",
    [
        github(
            "push",
            ref="refs/heads/main",
            after=SHA,
            pusher={"name": "ada"},
            commits=[{"id": SHA, "message": "More replicas\n\nfor chat", "url": "https://git.example.org/7"}],
        ),
        gitlab(
            "Push Hook",
            ref="refs/heads/main",
            after=SHA,
            user_username="ada",
            commits=[{"id": SHA, "message": "More replicas\n", "url": "https://git.example.org/7"}],
        ),
    ],
)
def test_a_push_has_its_branch_and_the_first_line_of_its_message(found: Event | None) -> None:
    assert shown(found) == ("Pushed", "main: More replicas", False, FIELDS)


def test_a_deleted_branch_has_no_commit_and_no_event() -> None:
    assert github("push", ref="refs/heads/old", after="0" * 40) is None


def test_runs_of_workflows_have_their_name_and_outcome() -> None:
    run = {
        "name": "build",
        "status": "completed",
        "conclusion": "failure",
        "head_sha": SHA,
        "actor": {"login": "ada"},
        "html_url": "https://git.example.org/7",
        "updated_at": "2027-01-15T07:59:00Z",
    }
    found = github("workflow_run", action="completed", workflow_run=run)
    assert shown(found) == ("WorkflowFailure", "build: failure", True, FIELDS)
    assert found
    assert found.when_s == NOW - 60
    begun = github("workflow_run", workflow_run={**run, "status": "in_progress", "conclusion": None})
    assert shown(begun) == ("WorkflowInProgress", "build: in progress", False, FIELDS)


def test_pipelines_of_gitlab_have_their_times() -> None:
    about = {
        "ref": "main",
        "status": "success",
        "sha": SHA,
        "url": "https://git.example.org/7",
        "finished_at": "2027-01-15 07:59:00 UTC",
    }
    found = gitlab("Pipeline Hook", object_attributes=about, user={"username": "ada"})
    assert shown(found) == ("PipelineSuccess", "main: success", False, FIELDS)
    assert found
    assert found.when_s == NOW - 60


def test_deployments_have_their_environment() -> None:
    found = github(
        "deployment_status",
        deployment={"environment": "prod", "sha": SHA},
        deployment_status={
            "state": "success",
            "creator": {"login": "ada"},
            "target_url": "https://git.example.org/7",
        },
    )
    assert shown(found) == ("DeploymentSuccess", "prod: success", False, FIELDS)
    found = gitlab(
        "Deployment Hook",
        status="failed",
        environment="prod",
        commit_url=f"https://git.example.org/acme/models/-/commit/{SHA}",
        user={"username": "ada"},
        deployable_url="https://git.example.org/7",
        status_changed_at="2027-01-15 09:59:00 +0200",
    )
    assert shown(found) == ("DeploymentFailed", "prod: failed", True, FIELDS)
    assert found
    assert found.when_s == NOW - 60


def test_an_approval_and_a_merge_name_who_did_it() -> None:
    change = {
        "title": "More replicas",
        "merged": True,
        "merge_commit_sha": SHA,
        "merged_by": {"login": "ada"},
        "html_url": "https://git.example.org/7",
    }
    review = {"state": "approved", "commit_id": SHA, "user": {"login": "ada"}, "html_url": "https://git.example.org/7"}
    approved = github("pull_request_review", action="submitted", review=review, pull_request=change)
    assert shown(approved) == ("Approved", "More replicas", False, FIELDS)
    assert github("pull_request_review", review={**review, "state": "commented"}, pull_request=change) is None
    assert shown(github("pull_request", action="closed", pull_request=change)) == (
        "Merged",
        "More replicas",
        False,
        FIELDS,
    )
    assert github("pull_request", action="closed", pull_request={**change, "merged": False}) is None
    about = {"title": "More replicas", "last_commit": {"id": SHA}, "url": "https://git.example.org/7"}
    for action, reason in (("approved", "Approved"), ("merge", "Merged")):
        found = gitlab("Merge Request Hook", object_attributes={**about, "action": action}, user={"username": "ada"})
        assert shown(found) == (reason, "More replicas", False, FIELDS)
    assert gitlab("Merge Request Hook", object_attributes={**about, "action": "open"}) is None


def test_a_status_has_its_context() -> None:
    found = github(
        "status",
        sha=SHA,
        state="error",
        context="scan",
        sender={"login": "ada"},
        target_url="https://git.example.org/7",
    )
    assert shown(found) == ("StatusError", "scan: error", True, FIELDS)


def test_a_delivery_that_is_sent_again_is_the_same_event_whatever_its_headers() -> None:
    body = json.dumps({**GITHUB, "ref": "refs/heads/main", "after": SHA}).encode()
    first = told({"X-GitHub-Event": "push", "X-GitHub-Delivery": "1"}, body, now=NOW)
    again = told({"X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": "2"}, body, now=NOW + 9)
    assert first
    assert again
    assert first.uid == again.uid
    other = told({"X-GitHub-Event": "push"}, body + b" ", now=NOW)
    assert other
    assert other.uid != first.uid


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["ref", "after", "commits", "workflow_run", "object_attributes", "status", "state", "name", "id", "sha",
         "deployment", "deployment_status", "review", "pull_request", "user", "project", "repository", "action",
         "conclusion", "updated_at", "url"]
    ), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip
KINDS = ["push", "workflow_run", "status", "pull_request", "pull_request_review", "deployment_status"]
HOOKS = ["Push Hook", "Tag Push Hook", "Pipeline Hook", "Merge Request Hook", "Deployment Hook", "Issue Hook"]


@given(JSON, st.sampled_from(KINDS), st.sampled_from(HOOKS))
def test_any_body_gives_an_event_or_none(tree: Any, kind: str, hook: str) -> None:
    for headers in ({"X-GitHub-Event": kind}, {"X-Gitlab-Event": hook}, {}):
        told(headers, json.dumps(tree).encode(), now=NOW)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"[" * 100_000, b"\xff"])
def test_a_body_without_what_an_event_needs_gives_none(body: bytes) -> None:
    for kind in KINDS:
        assert told({"X-GitHub-Event": kind}, body, now=NOW) is None
