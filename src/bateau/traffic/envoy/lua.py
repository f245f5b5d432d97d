"""Values in the source code of Lua.

Called by traffic.envoy.addressed and traffic.envoy.cors.
"""


def quoted(text: str) -> str:
    r"""Return the text as a string of Lua.

    >>> quoted('a"b')
    '"\\097\\034\\098"'
    """
    return '"' + "".join(f"\\{byte:03}" for byte in text.encode()) + '"'
