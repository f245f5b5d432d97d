"""Receivers of alerts against real web servers: the form that they get, its signature, and failures."""

import json
import socket

import pytest

from bateau.domain.alert import Notice
from bateau.observe.alert_manager import AlertmanagerReceiver
from bateau.observe.alert_slack import SlackReceiver
from bateau.observe.alert_webhook import WebhookReceiver
from bateau.observe.cloud_events import signature
from control.alerts import firing
from local.alert_peers import webhook

NOW = 1_800_000_000.0


def notice(*, ended: bool = False, summary: str = "replicas of model/chat restart again and again") -> Notice:
    alerts = [
        firing(at=NOW, ended=NOW + 60 if ended else None, summary=summary),
        firing("BateauReplicasMissing", at=NOW, ended=NOW + 60 if ended else None, severity="warning", cause=""),
    ]
    return Notice(id="alert_1", group="model/chat", alerts=alerts, instance="srv/default", url="http://127.0.0.1:8080")


async def test_a_webhook_gets_the_form_of_alertmanager_with_a_signature():
    with webhook() as hook:
        made = WebhookReceiver(name="webhook", url=hook.url, secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        assert await made.send(notice(), NOW) is None
        assert await made.send(notice(ended=True), NOW) is None
    (first, second), headers = hook.trees, hook.headers[0]
    assert (first["version"], first["status"], first["receiver"]) == ("4", "firing", "webhook")
    assert first["commonLabels"] == {"instance": "srv/default", "service": "model/chat"}
    alert = first["alerts"][0]
    assert alert["labels"] == {
        "alertname": "BateauRestartLoop",
        "instance": "srv/default",
        "service": "model/chat",
        "severity": "critical",
    }
    assert alert["annotations"]["cause"] == "model.chat.0 Restarted: killed by signal 9 (SIGKILL)"
    assert (alert["startsAt"], alert["endsAt"]) == ("2027-01-15T08:00:00Z", "0001-01-01T00:00:00Z")
    assert alert["generatorURL"] == "http://127.0.0.1:8080/ui/services/model/chat"
    assert "cause" not in first["alerts"][1]["annotations"], "an unknown cause is not an empty one"
    assert (second["status"], second["alerts"][0]["endsAt"]) == ("resolved", "2027-01-15T08:01:00Z")
    assert second["alerts"][0]["fingerprint"] == alert["fingerprint"]
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "alert_1", headers["webhook-timestamp"], hook.bodies[0]
    )
    assert (headers["webhook-id"], headers["webhook-signature"]) == ("alert_1", signed)


async def test_without_a_secret_there_is_no_signature():
    with webhook() as hook:
        assert await WebhookReceiver(name="webhook", url=hook.url).send(notice(), NOW) is None
    assert "webhook-signature" not in hook.headers[0]


async def test_a_chat_gets_text_in_which_nobody_is_mentioned():
    with webhook() as hook:
        made = SlackReceiver(name="slack", url=hook.url)
        assert await made.send(notice(summary="<!channel> & \x1b[2J"), NOW) is None
    (tree,) = hook.trees
    assert tree.keys() == {"text"}
    assert "&lt;!channel&gt; &amp; \\x1b[2J" in tree["text"]
    assert "Cause: model.chat.0 Restarted: killed by signal 9" in tree["text"]
    assert "http://127.0.0.1:8080/ui/services/model/chat" in tree["text"]


async def test_an_alertmanager_gets_an_end_in_the_future_while_an_alert_fires():
    with webhook() as hook:
        made = AlertmanagerReceiver(name="alertmanager", url=hook.url, headers={"Authorization": "Basic dTpw"})
        assert await made.send(notice(), NOW) is None
        assert await made.send(notice(ended=True), NOW + 90) is None
    firing_, over = (json.loads(body)[0] for body in hook.bodies)
    assert (firing_["startsAt"], firing_["endsAt"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:04:00Z")
    assert over["endsAt"] == "2027-01-15T08:01:00Z"
    assert firing_["labels"] == over["labels"]
    assert hook.headers[0]["authorization"] == "Basic dTpw"


@pytest.mark.parametrize("status", [301, 401, 429, 500])
async def test_no_error_contains_a_secret(status: int):
    with webhook() as hook:
        hook.status = status
        url = hook.url.replace("http://", "http://user:s3cret@") + "/s3cret"
        says = await WebhookReceiver(name="webhook", url=url).send(notice(), NOW)
    assert says == f"HTTP {status}"


async def test_a_server_that_is_not_there_is_named_by_its_error():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    says = await WebhookReceiver(name="webhook", url=f"http://127.0.0.1:{port}/s3cret").send(notice(), NOW)
    assert says == "Connection refused"
