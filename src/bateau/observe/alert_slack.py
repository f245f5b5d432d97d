"""Deliver alerts to an incoming webhook of Slack, or of a chat that accepts the same form, such as Mattermost.

Called by wiring.alert_receivers. Satisfies `ports.alert_receiver.AlertReceiver`.
Source: Slack, "Sending messages using incoming webhooks" and "Formatting text for app surfaces": `&`, `<` and `>` of
others are escaped, so that no text mentions anybody.
"""

from dataclasses import dataclass, field

from bateau.domain.alert import Notice
from bateau.observe.alert_post import encoded, identity, post
from bateau.observe.alert_text import lines, title


@dataclass(frozen=True, kw_only=True)
class SlackReceiver:
    """An incoming webhook. Its URL is a secret."""

    name: str
    url: str = field(repr=False)
    resend_s: float | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return identity("slack", self.url)

    async def send(self, notice: Notice, now: float) -> str | None:
        """Deliver a notice once."""
        del now
        return await post(self.url, encoded({"text": slack_text(notice)}))


def slack_text(notice: Notice) -> str:
    """Return the text of a message."""
    found = [f"*{_escaped(title(notice))}*"]
    for alert in notice.alerts:
        over = "resolved" if alert.state == "resolved" else alert.severity
        found.append(f"*{_escaped(alert.name)}* ({over}): {_escaped(alert.summary)}")
        found += [_escaped(line) for line in lines(alert, notice)]
    return "\n".join(found)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
