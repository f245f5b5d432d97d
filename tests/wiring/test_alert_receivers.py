"""The receivers of alerts, by environment variables: what is accepted, and that no error says a secret."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bateau.domain.errors import ControlError
from bateau.observe.alert_mail import MailReceiver
from bateau.observe.alert_manager import AlertmanagerReceiver
from bateau.observe.alert_slack import SlackReceiver
from bateau.observe.alert_webhook import WebhookReceiver
from bateau.ports.alert_receiver import AlertReceiver
from bateau.wiring.alert_receivers import VARIABLES, receivers_of

MAIL = "smtp://bateau@mail.example.org:2525?from=bateau@example.org&to=ops@example.org,on+call@example.org"


def receivers(environ: Mapping[str, str]) -> list[AlertReceiver]:
    return list(receivers_of(environ.get))


def test_without_variables_there_are_none():
    assert receivers({}) == []
    asked: list[str] = []
    receivers_of(asked.append)
    assert sorted(asked) == sorted(VARIABLES), "each is looked up, so that no replica inherits it"


def test_each_variable_makes_its_receivers():
    made = receivers(
        {
            "BATEAU_ALERTS_WEBHOOK_URL": "https://a.example.org/x https://b.example.org/x",
            "BATEAU_ALERTS_WEBHOOK_SECRET": "s3cret",
            "BATEAU_ALERTS_SLACK_URL": "https://hooks.example.org/T0/B0/X",
            "BATEAU_ALERTS_SMTP_URL": MAIL,
            "BATEAU_ALERTS_SMTP_PASSWORD": "pw",
            "BATEAU_ALERTS_ALERTMANAGER_URL": "http://u:p@127.0.0.1:9093",
        }
    )
    assert [each.name for each in made] == ["webhook", "webhook-2", "slack", "mail", "alertmanager"]
    assert len({each.id for each in made}) == 5
    hook, _, slack, mail, manager = made
    assert isinstance(hook, WebhookReceiver)
    assert (hook.url, hook.secret) == ("https://a.example.org/x", "s3cret")
    assert isinstance(slack, SlackReceiver)
    assert isinstance(mail, MailReceiver)
    assert (mail.host, mail.port, mail.tls, mail.user, mail.password) == (
        *("mail.example.org", 2525, False, "bateau", "pw"),
    )
    assert (mail.sender, mail.to) == ("bateau@example.org", ("ops@example.org", "on+call@example.org"))
    assert isinstance(manager, AlertmanagerReceiver)
    assert (manager.url, manager.headers) == ("http://127.0.0.1:9093", {"Authorization": "Basic dTpw"})


def test_a_value_may_be_in_a_file(tmp_path: Path):
    (tmp_path / "url").write_text("https://hooks.example.org/T0/B0/X\n")
    (slack,) = receivers({"BATEAU_ALERTS_SLACK_URL_FILE": str(tmp_path / "url")})
    assert isinstance(slack, SlackReceiver)
    assert slack.url == "https://hooks.example.org/T0/B0/X"


def test_the_port_of_a_mail_server_depends_on_its_scheme():
    for scheme, port in (("smtp", 587), ("smtps", 465)):
        (mail,) = receivers({"BATEAU_ALERTS_SMTP_URL": f"{scheme}://m?from=a@b.c&to=d@e.f"})
        assert isinstance(mail, MailReceiver)
        assert (mail.port, mail.tls) == (port, scheme == "smtps")


WRONG = [
    ({"BATEAU_ALERTS_WEBHOOK_URL": "hooks.example.org/s3cret"}, "is not an address of a web server"),
    ({"BATEAU_ALERTS_WEBHOOK_URL": "https://[s3cret"}, "is not an address of a web server"),
    ({"BATEAU_ALERTS_SLACK_URL": "ftp://s3cret"}, "is not an address of a web server"),
    ({"BATEAU_ALERTS_SMTP_URL": "smtp://u:s3cret@m?from=a@b.c&to=d@e.f"}, "the password is set with"),
    ({"BATEAU_ALERTS_SMTP_URL": "smtp://m/s3cret"}, "needs the addresses `from` and `to`"),
    ({"BATEAU_ALERTS_SMTP_URL": "smtp://m?from=s3cret&to=d@e.f"}, "needs the addresses"),
    ({"BATEAU_ALERTS_SMTP_URL": "smtp://m?from=a@b.c&to=d@e.f%0d%0aBcc:s3cret@x.y"}, "needs the addresses"),
    ({"BATEAU_ALERTS_SMTP_URL": "smtp://m:99999999?from=a@b.c&to=s3cret@e.f"}, "is not the address of a mail server"),
    ({"BATEAU_ALERTS_SMTP_URL": "mail.s3cret"}, "is not the address of a mail server"),
    (
        {"BATEAU_ALERTS_SMTP_URL": "smtp://m?from=a@b.c&to=d@e.f", "BATEAU_ALERTS_SMTP_PASSWORD": "s3cret"},
        "needs a user",
    ),
    ({"BATEAU_ALERTS_SMTP_PASSWORD": "s3cret"}, "BATEAU_ALERTS_SMTP_URL is not"),
    ({"BATEAU_ALERTS_WEBHOOK_SECRET": "s3cret"}, "BATEAU_ALERTS_WEBHOOK_URL is not"),
    ({"BATEAU_ALERTS_SLACK_URL": "https://s3cret", "BATEAU_ALERTS_SLACK_URL_FILE": "/x"}, "exclude each other"),
    ({"BATEAU_ALERTS_SLACK_URL_FILE": "/nowhere/at/all"}, "cannot be read: No such file or directory"),
]


@pytest.mark.parametrize(("environ", "says"), WRONG)
def test_no_error_contains_an_address_or_a_secret(environ: dict[str, str], says: str):
    with pytest.raises(ControlError) as caught:
        receivers(environ)
    assert says in caught.value.message
    assert caught.value.hint
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


def test_no_representation_contains_an_address_or_a_secret():
    made = receivers({"BATEAU_ALERTS_WEBHOOK_URL": "https://a/s3cret", "BATEAU_ALERTS_SLACK_URL": "https://b/s3cret"})
    assert "s3cret" not in repr(made) + "".join(each.id for each in made)
