"""Send JSON to a receiver of alerts.

Called by observe.

Invariant: no error contains the address or a header, as these may be secret. Held by
tests/observe/test_alert_receivers.py::test_no_error_contains_a_secret.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Final

import aiohttp

from bateau import __version__
from bateau.kit.json_value import ReadJson

TIMEOUT_S: Final = 10.0
_SUCCESSES: Final = range(200, 300)
_ANSWER_BYTES_MAX: Final = 65_536


def identity(kind: str, address: str) -> str:
    """Return the id of a receiver, from which its address cannot be read."""
    return f"{kind}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"


def encoded(tree: ReadJson) -> bytes:
    """Return JSON as bytes."""
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> str | None:
    """Send a body once. Return why that failed, None if it did not."""
    sent = {"content-type": "application/json", "user-agent": f"bateau/{__version__}", **(headers or {})}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        # A redirection would take the headers to another place.
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(url, data=body, headers=sent, allow_redirects=False) as response,
        ):
            await response.content.read(_ANSWER_BYTES_MAX)
            return None if response.status in _SUCCESSES else f"HTTP {response.status}"
    except TimeoutError:
        return f"it did not answer within {TIMEOUT_S:g} s"
    except aiohttp.ClientConnectorError as error:
        return os.strerror(error.os_error.errno) if error.os_error.errno else type(error.os_error).__name__
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return type(error).__name__
