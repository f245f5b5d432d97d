"""Escape control characters, so that text from other people cannot control the terminal.

Called by cli, observe.alert_text, ui, wiring.issuers, wiring.sign_in and wiring.spans.
"""

import re
from typing import Final

# The control characters of ASCII and Latin-1, except line feed and tab, those that change the direction of text, and
# halves of characters, which no terminal takes.
_STEERING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS: Final = re.compile("[\t\n\u2028\u2029]")


def visible(text: str) -> str:
    r"""Return the text with control characters escaped.

    >>> visible("shop\x1b[2J"), visible("a\tb\u202e")
    ('shop\\x1b[2J', 'a\tb\\u202e')
    """
    return _STEERING.sub(lambda found: _escaped(found[0]), text)


def visible_line(text: str) -> str:
    r"""Return the text in one line: line breaks are escaped too, so that no text can pretend to be a line of its own.

    >>> visible_line("shop\nchat is ready")
    'shop\\nchat is ready'
    """
    return _BREAKS.sub(lambda found: {"\n": "\\n", "\t": " "}.get(found[0]) or _escaped(found[0]), visible(text))


def visible_json(text: str) -> str:
    r"""Return JSON with the same meaning, and with control characters escaped as JSON has it.

    >>> visible_json('{"says": "a\x9b2J"}')
    '{"says": "a\\u009b2J"}'
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - the last of Latin-1
