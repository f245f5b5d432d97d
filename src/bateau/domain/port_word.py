"""The form in which a value has the number of a port that is assigned at the start.

Called by cli.explain, plan.words and ui.spec_tree.
"""

import re
from typing import Final

_PORT_WORD: Final = re.compile(r"\{port:([^}]*)\}")


def with_port_names(value: object) -> object:
    """Return a text with `${ ports.NAME }` for each port whose number is assigned at the start.

    >>> with_port_names("--port={port:http}")
    '--port=${ ports.http }'
    """
    return _PORT_WORD.sub(r"${ ports.\1 }", value) if isinstance(value, str) else value
