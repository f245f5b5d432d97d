"""Write one scalar so that every YAML reader reads the same value back, in the style of the scalar that it replaces.

Called by kit.yaml_edit and ui.new_service.

Invariant: a string is left plain only if neither YAML 1.1 nor 1.2 reads it as another type. Held by
tests/git/test_promotion.py::test_any_string_comes_back_as_itself.
"""

import json
import re
from typing import Final

from bateau.kit.json_value import Scalar

_PLAIN: Final = re.compile(r"[A-Za-z./_][A-Za-z0-9._/@+-]*(?::[A-Za-z0-9._/@+-]+)*")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
_NUMBER: Final = re.compile(r"[.]?[0-9_.]*(?:[eE][-+]?[0-9_]+)?|\.(?:inf|nan)", re.IGNORECASE)
_UNSAFE: Final = re.compile(r'["\\]|[^\x20-\x7e\xa0-\u1fff\u3000-\ud7ff]')
_BMP_MAX: Final = 0xFFFF
_SINGLE: Final = re.compile(r"[\x20-\x7e\xa0-\ud7ff\ue000-\ufefe]*")


def written(value: Scalar, *, style: str | None = None) -> str:
    """Return the text of a scalar. `style` is the quote around the old one.

    >>> written("shop:1.4.2"), written("1.4"), written("no"), written(6), written("a b", style="'")
    ('shop:1.4.2', '"1.4"', '"no"', '6', "'a b'")
    """
    if not isinstance(value, str):
        return "null" if value is None else json.dumps(value)
    if style == "'" and _SINGLE.fullmatch(value):
        return "'" + value.replace("'", "''") + "'"
    plain = _PLAIN.fullmatch(value) and not _NUMBER.fullmatch(value) and value.lower() not in _WORDS
    return value if plain and style is None else f'"{_UNSAFE.sub(_escaped, value)}"'


def _escaped(match: re.Match[str]) -> str:
    """Escape a character as YAML does. Above U+FFFF, JSON would write two surrogates, which YAML does not allow."""
    code = ord(match[0])
    if match[0] in '\\"':
        return f"\\{match[0]}"
    return f"\\U{code:08x}" if code > _BMP_MAX else f"\\u{code:04x}"
