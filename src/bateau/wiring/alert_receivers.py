"""Where alerts are delivered to, by environment variables of the control plane.

Called by wiring.cluster_alerts and wiring.local.

Each variable may have several addresses, separated by spaces, and may be given as `NAME_FILE`: the path of a file that
contains its value.

Invariant: no replica, no log and no error contains an address or a secret. Held by
tests/wiring/test_alert_receivers.py::test_no_error_contains_an_address_or_a_secret.
Refused: options of `bateau up`. The URL of a chat is a secret, which must not be in the arguments of a process.
Refused: a kind of document. Alerts about specs that cannot be read would depend on these specs.
"""

from collections.abc import Callable, Mapping, Sequence
from email.utils import parseaddr
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from bateau.domain.errors import ControlError, SourceError
from bateau.observe.alert_mail import MailReceiver
from bateau.observe.alert_manager import AlertmanagerReceiver
from bateau.observe.alert_slack import SlackReceiver
from bateau.observe.alert_webhook import WebhookReceiver
from bateau.ports.alert_receiver import AlertReceiver
from bateau.sources.http import without_credentials

_BEGINNING: Final = "BATEAU_ALERTS_"
WEBHOOK: Final = "BATEAU_ALERTS_WEBHOOK_URL"
WEBHOOK_SECRET: Final = "BATEAU_ALERTS_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable that holds it
SLACK: Final = "BATEAU_ALERTS_SLACK_URL"
MAIL: Final = "BATEAU_ALERTS_SMTP_URL"
MAIL_PASSWORD: Final = "BATEAU_ALERTS_SMTP_PASSWORD"  # noqa: S105 - the name of the variable that holds it
ALERTMANAGER: Final = "BATEAU_ALERTS_ALERTMANAGER_URL"
_NAMES: Final = (WEBHOOK, WEBHOOK_SECRET, SLACK, MAIL, MAIL_PASSWORD, ALERTMANAGER)
VARIABLES: Final = (*_NAMES, *(f"{name}_FILE" for name in _NAMES))
_PORTS: Final = {"smtp": 587, "smtps": 465}
_MAIL_HINT: Final = "write it as smtp://USER@HOST:587?from=bateau@example.org&to=ops@example.org"
_FILE_BYTES_MAX: Final = 65_536


def receivers_of(secret: Callable[[str], str | None]) -> Sequence[AlertReceiver]:
    """Return the receivers; none if no variable is set. Raises ControlError if one cannot be used.

    All variables are looked up with `secret`, so that no replica inherits them.
    """
    found = {name: _value(name, secret) for name in _NAMES}
    made: list[AlertReceiver] = []
    for name, url in _each("webhook", found[WEBHOOK]):
        made.append(WebhookReceiver(name=name, url=_web(WEBHOOK, url), secret=found[WEBHOOK_SECRET]))
    for name, url in _each("slack", found[SLACK]):
        made.append(SlackReceiver(name=name, url=_web(SLACK, url)))
    for name, url in _each("mail", found[MAIL]):
        made.append(_mail(name, url, found[MAIL_PASSWORD]))
    for name, url in _each("alertmanager", found[ALERTMANAGER]):
        address, headers = _without_credentials(_web(ALERTMANAGER, url))
        made.append(AlertmanagerReceiver(name=name, url=address, headers=headers))
    for needed, by in ((WEBHOOK_SECRET, WEBHOOK), (MAIL_PASSWORD, MAIL)):
        if found[needed] and not found[by]:
            raise ControlError(f"{needed} is set, and {by} is not", hint=f"set {by} too, or leave {needed} out")
    return made


def _value(name: str, secret: Callable[[str], str | None]) -> str:
    value, path = secret(name) or "", secret(f"{name}_FILE") or ""
    if value and path:
        raise ControlError(f"{name} and {name}_FILE exclude each other", hint="set one of them")
    if not path:
        return value.strip()
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(_FILE_BYTES_MAX).strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8"
        raise ControlError(f"the file of {name}_FILE cannot be read: {why}", hint="check its path and mode") from error


def _each(kind: str, value: str) -> list[tuple[str, str]]:
    """Return the addresses in a value, each with the name of its receiver."""
    words = dict.fromkeys(value.split())
    return [(kind if number == 1 else f"{kind}-{number}", word) for number, word in enumerate(words, start=1)]


def _web(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ControlError(f"{name} is not an address of a web server", hint="write it as https://HOST/PATH")
    return url


def _without_credentials(url: str) -> tuple[str, Mapping[str, str]]:
    try:
        return without_credentials(url)
    except SourceError:
        raise ControlError(
            f"the credentials in {ALERTMANAGER} cannot be used", hint="write USER:PASSWORD@HOST"
        ) from None


def _mail(name: str, url: str, password: str) -> MailReceiver:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
        given = parse_qs(parts.query.replace("+", "%2B"), strict_parsing=bool(parts.query))
    except ValueError:
        parts, port, given = urlsplit(""), None, {}
    if parts.scheme not in _PORTS or not parts.hostname or port is None or parts.password:
        why = f"; the password is set with {MAIL_PASSWORD}" if parts.password else ""
        raise ControlError(f"{MAIL} is not the address of a mail server{why}", hint=_MAIL_HINT)
    to = tuple(word.strip() for each in given.get("to", []) for word in each.split(",") if word.strip())
    sender = next(iter(given.get("from", [])), "")
    if given.keys() - {"from", "to"} or not to or not all(map(_is_address, (sender, *to))):
        raise ControlError(f"{MAIL} needs the addresses `from` and `to`", hint=_MAIL_HINT)
    user = unquote(parts.username or "")
    if password and not user:
        raise ControlError(f"{MAIL_PASSWORD} needs a user in {MAIL}", hint=_MAIL_HINT)
    return MailReceiver(
        name=name,
        host=parts.hostname,
        port=port,
        tls=parts.scheme == "smtps",
        sender=sender,
        to=to,
        user=user,
        password=password,
    )


def _is_address(text: str) -> bool:
    _, address = parseaddr(text)
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain) and text.isprintable()
