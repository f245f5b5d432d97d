"""The source code of filters in Lua, and values in it.

Called by traffic.envoy.
"""

from importlib.resources import files


def script(name: str) -> str:
    """Return the code in a file beside this one."""
    return (files("bateau.traffic.envoy") / name).read_text(encoding="utf-8")


def quoted(text: str) -> str:
    r"""Return the text as a string of Lua.

    >>> quoted('a"b')
    '"\\097\\034\\098"'
    """
    return '"' + "".join(f"\\{byte:03}" for byte in text.encode()) + '"'
