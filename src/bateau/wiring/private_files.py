"""Write files that only their user may read.

Called by wiring.keys, wiring.remote and wiring.service_keys.
"""

import os
from pathlib import Path


def write_private(path: Path, content: str) -> None:
    """Replace a file in one step, unless it has this content: whoever watches it sees the old or the new one.

    Raises OSError.
    """
    try:
        if path.read_text(encoding="utf-8") == content:
            return
    except (OSError, ValueError):
        pass
    path.parent.mkdir(mode=0o700, exist_ok=True)
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
