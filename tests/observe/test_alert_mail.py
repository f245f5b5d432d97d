"""Alerts by e-mail, to a real mail server."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from bateau.domain.alert import Notice
from bateau.kit.certificates import issue
from bateau.observe.alert_mail import MailReceiver, mail_of
from control.alerts import firing

NOW = 1_800_000_000.0
PASSWORD = "pass-word"  # noqa: S105 - of this test
NOTICE = Notice(
    id="alert_1", group="model/chat", alerts=[firing(at=NOW)], instance="srv/default", url="http://127.0.0.1:8080"
)


@dataclass
class Mailbox:
    """What a mail server has accepted."""

    port: int = 0
    authorities: str = ""
    mails: list[Envelope] = field(default_factory=list[Envelope])
    logins: list[bytes] = field(default_factory=list[bytes])
    encrypted: list[bool] = field(default_factory=list[bool])

    async def handle_RCPT(  # noqa: N802 - as aiosmtpd calls it
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if "nobody" in address:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del session
        self.mails.append(envelope)
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        del server, session, envelope, mechanism
        assert isinstance(data, LoginPassword)
        self.logins.append(data.password)
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@contextlib.asynccontextmanager
async def server(folder: Path, *, tls: str = "") -> AsyncGenerator[Mailbox]:
    """A mail server: without TLS, with `starttls`, or with TLS from the beginning (`implicit`)."""
    made, context = Mailbox(), None
    if tls:
        pair = issue(
            server_names=["localhost", "127.0.0.1"],
            client_name="none",
            now=datetime.now(UTC),
            lifetime=timedelta(days=1),
        )
        (folder / "pair.pem").write_bytes(pair.server.certificate + pair.server.key)
        (folder / "ca.pem").write_bytes(pair.authority)
        made.authorities = str(folder / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "pair.pem")
    more: dict[str, Any] = {"authenticator": made.login, "auth_require_tls": tls == "starttls"}
    if tls == "starttls":
        more["tls_context"] = context
    loop = asyncio.get_running_loop()
    running = await loop.create_server(
        lambda: SMTP(made, loop=loop, **more), "127.0.0.1", 0, ssl=context if tls == "implicit" else None
    )
    made.port = running.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        running.close()


def receiver(box: Mailbox, **more: Any) -> MailReceiver:
    given: dict[str, Any] = {
        "name": "mail",
        "host": "127.0.0.1",
        "port": box.port,
        "tls": False,
        "sender": "bateau@example.org",
        "to": ("ops@example.org", "on.call@example.org"),
        "authorities": box.authorities or None,
    }
    return MailReceiver(**(given | more))


async def test_a_mail_arrives(tmp_path: Path):
    async with server(tmp_path) as box:
        assert await receiver(box).send(NOTICE, NOW) is None
    (envelope,) = box.mails
    assert envelope.rcpt_tos == ["ops@example.org", "on.call@example.org"]
    assert isinstance(envelope.content, bytes)
    mail = message_from_bytes(envelope.content, policy=default)
    assert mail["Subject"].strip() == "Critical: replicas of model/chat restart again and again on srv/default"
    assert (mail["From"], mail["Message-ID"]) == ("bateau@example.org", "<alert_1@example.org>")
    text = mail.get_content()
    assert "Cause: model.chat.0 Restarted: killed by signal 9 (SIGKILL)" in text
    assert "http://127.0.0.1:8080/ui/services/model/chat" in text


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_with_tls_the_password_is_sent(tmp_path: Path, tls: str):
    async with server(tmp_path, tls=tls) as box:
        made = receiver(box, tls=tls == "implicit", user="bateau", password=PASSWORD)
        assert await made.send(NOTICE, NOW) is None
        wrong = receiver(box, tls=tls == "implicit", user="bateau", password="wrong")
        assert await wrong.send(NOTICE, NOW) == "it does not accept the user and password (535)"
    assert {*box.logins} == {PASSWORD.encode(), b"wrong"}
    assert box.encrypted == [True]


async def test_a_password_is_not_sent_without_tls(tmp_path: Path):
    async with server(tmp_path) as box:
        says = await receiver(box, user="bateau", password=PASSWORD).send(NOTICE, NOW)
    assert says == "the server offers no STARTTLS, and the password is not sent without TLS: use smtps://"
    assert (box.logins, box.mails) == ([], [])
    async with server(tmp_path, tls="starttls") as box:
        made = receiver(box, user="bateau", password=PASSWORD, authorities=None)
        says = await made.send(NOTICE, NOW)
    assert says is not None
    assert "its certificate is not accepted" in says
    assert (box.logins, box.mails) == ([], [])


async def test_refusals_are_reported(tmp_path: Path):
    async with server(tmp_path) as box:
        refused = await receiver(box, to=("ops@example.org", "nobody@example.org")).send(NOTICE, NOW)
        assert refused == "it does not accept mail for nobody@example.org"
        none = await receiver(box, to=("nobody@example.org",)).send(NOTICE, NOW)
        assert none is not None
        assert "nobody@example.org" in none
    gone = await receiver(box).send(NOTICE, NOW)
    assert gone == "Connection refused"


def test_a_summary_cannot_add_a_header():
    notice = Notice(
        id="alert_1",
        group="model/chat",
        alerts=[firing(at=NOW, summary="x\r\nBcc: evil@example.org")],
        instance="srv/default",
        url="http://127.0.0.1:8080",
    )
    mail = mail_of(notice, sender="a@b.c", to=("d@e.f",), now=NOW)
    assert mail["Bcc"] is None
    assert "\nBcc" not in mail.as_string().partition("\n\n")[0]
