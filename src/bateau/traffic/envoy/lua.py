"""The source code of filters in Lua, and values in it.

Called by traffic.envoy.
"""

import re
from importlib.resources import files
from typing import Final

_SPECIAL: Final = re.compile(rb'[^ -~]|["\\]')


def script(name: str) -> str:
    """Return the code in a file beside this one."""
    return (files("bateau.traffic.envoy") / name).read_text(encoding="utf-8")


def quoted(text: str) -> str:
    r"""Return the text as a string of Lua.

    >>> quoted('a"b')
    '"a\\034b"'
    """
    return f'"{_SPECIAL.sub(_escaped, text.encode()).decode()}"'


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\%03d" % found[0][0]
