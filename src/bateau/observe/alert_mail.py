"""Deliver alerts by e-mail, with the standard library in a thread.

Called by wiring.alert_receivers. Satisfies `ports.alert_receiver.AlertReceiver`.
Sources: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 8314 (implicit TLS), RFC 5322 (Message-ID, References).

Invariant: a password is never sent without TLS, nor to a server whose certificate is not the right one. Held by
tests/observe/test_alert_mail.py::test_a_password_is_not_sent_without_tls.
"""

import asyncio
import hashlib
import smtplib
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from bateau.domain.alert import Notice
from bateau.observe.alert_post import TIMEOUT_S, identity
from bateau.observe.alert_text import lines, title

_NO_TLS: Final = "the server offers no STARTTLS, and the password is not sent without TLS: use smtps://"
_REFUSED_MAX: Final = 200


@dataclass(frozen=True, kw_only=True)
class MailReceiver:
    """A mail server, and the addresses of a mail. With `tls`, the connection begins with TLS; else STARTTLS is used.

    `authorities` is a file of certificates that are trusted instead of those of the system.
    """

    name: str
    host: str
    port: int
    tls: bool
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    authorities: str | None = None
    resend_s: float | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return identity("mail", f"{self.host}:{self.port} {self.sender} {self.to}")

    async def send(self, notice: Notice, now: float) -> str | None:
        """Deliver a notice once."""
        message = mail_of(notice, sender=self.sender, to=self.to, now=now)
        return await asyncio.to_thread(self._send, message)

    def _send(self, message: EmailMessage) -> str | None:
        try:
            with self._connected() as server:
                if self.password:
                    server.login(self.user, self.password)
                refused = server.send_message(message)
            return f"it does not accept mail for {', '.join(refused)}" if refused else None
        except smtplib.SMTPAuthenticationError as error:
            return f"it does not accept the user and password ({error.smtp_code})"
        except smtplib.SMTPResponseException as error:
            says = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else ""
            return f"SMTP {error.smtp_code} {says[:_REFUSED_MAX]}".strip()
        except smtplib.SMTPException as error:
            return str(error)[:_REFUSED_MAX] or type(error).__name__
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not accepted: {error.verify_message}"
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or type(error).__name__

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context(cafile=self.authorities)
        if self.tls:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=context)
        server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
        try:
            self._encrypt(server, context)
        except BaseException:
            server.close()
            raise
        return server

    def _encrypt(self, server: smtplib.SMTP, context: ssl.SSLContext) -> None:
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        elif self.password:
            raise smtplib.SMTPException(_NO_TLS)


def mail_of(notice: Notice, *, sender: str, to: tuple[str, ...], now: float) -> EmailMessage:
    """Return the mail. A notice that is sent again has the same Message-ID; mails of one group are one thread."""
    message = EmailMessage()
    domain = sender.rpartition("@")[2].rstrip(">") or "localhost"
    message["Subject"] = " ".join(title(notice).split())
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = f"<{notice.id}@{domain}>"
    thread = hashlib.sha256(f"{notice.instance} {notice.group}".encode()).hexdigest()[:24]
    message["References"] = f"<{thread}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    parts: list[str] = []
    for alert in notice.alerts:
        over = "resolved" if alert.state == "resolved" else alert.severity
        parts.append("\n".join([f"{alert.name} ({over}): {alert.summary}", *lines(alert, notice)]))
    message.set_content("\n\n".join(parts) + "\n")
    return message
