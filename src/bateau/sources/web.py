"""Resolve `https://` references (and `http://` on this machine), with an optional `#sha256=HEX`.

Called by sources.models.

Invariant: credentials in a URL are moved to a header, and no message contains them. Held by
tests/sources/test_faults.py.
"""

import re
from urllib.parse import unquote, urldefrag, urlsplit

from bateau.domain.errors import SourceError
from bateau.sources.artifact import Artifact
from bateau.sources.http import refuse_plain_http, shown, without_credentials
from bateau.sources.settings import Settings


async def resolve(reference: str, settings: Settings) -> Artifact:
    """Return the file at a URL. Raises SourceError."""
    url, fragment = urldefrag(reference)
    url, headers = without_credentials(url)
    refuse_plain_http(url)
    if not urlsplit(url).hostname:
        raise SourceError(f"{shown(url)} does not name a host")
    sha256 = None
    if fragment:
        match = re.fullmatch(r"sha256=([0-9A-Fa-f]{64})", fragment)
        if match is None:
            raise SourceError(f"{shown(url)}: `#{fragment}` is not a checksum", hint="write #sha256= and 64 hex digits")
        sha256 = match[1].lower()
    name = unquote(urlsplit(url).path.rpartition("/")[2]) or shown(url)
    headers = headers or settings.netrc(urlsplit(url).hostname)
    return Artifact(url=url, file_name=name, headers=headers, sha256=sha256)
