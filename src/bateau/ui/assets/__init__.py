"""The files that the pages load: styles, scripts and an icon, each at an address that contains its digest.

Called by ui.dashboard and ui.frame.

They are read once, so no path of a request is ever that of a file.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_TYPES: Final = {
    "ui.css": "text/css; charset=utf-8",
    "charts.css": "text/css; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "alerts.css": "text/css; charset=utf-8",
    "alerts.js": "text/javascript; charset=utf-8",
    "pages.css": "text/css; charset=utf-8",
    "ui.js": "text/javascript; charset=utf-8",
    "change.css": "text/css; charset=utf-8",
    "change.js": "text/javascript; charset=utf-8",
    "service.js": "text/javascript; charset=utf-8",
    "open.js": "text/javascript; charset=utf-8",
    "keys.js": "text/javascript; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, and the same compressed."""

    content_type: str
    body: bytes
    packed: bytes
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """Return the files by name."""
    return {name: _read(name, content_type) for name, content_type in _TYPES.items()}


def address(name: str) -> str:
    """Return the address of a file, which changes with its content."""
    return f"/ui/assets/{name}?{assets()[name].digest}"


def _read(name: str, content_type: str) -> Asset:
    body = (files("bateau.ui.assets") / name).read_bytes()
    return Asset(content_type, body, gzip.compress(body, mtime=0), hashlib.sha256(body).hexdigest()[:12])
