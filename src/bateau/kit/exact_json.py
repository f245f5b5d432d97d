"""Write plain values as JSON with numbers of any size.

Called by api.plan_json and plan.words.
"""

import json


def exact(value: object, *, indented: bool = False) -> str:
    """Return plain values as JSON: compact with sorted keys, or indented in their order.

    >>> exact({"b": 2**70, "a": 1})
    '{"a":1,"b":1180591620717411303424}'
    """
    import orjson  # imported here because `status` does not need it and must be fast

    form = orjson.OPT_INDENT_2 if indented else orjson.OPT_SORT_KEYS
    try:
        return orjson.dumps(value, default=str, option=form | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # beyond 64 bits, which orjson does not support
        if indented:
            return json.dumps(value, default=str, indent=2, ensure_ascii=False)
        return json.dumps(value, default=str, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
