"""Recognise addresses of Hugging Face that people paste in place of a reference.

Called by sources.models and specs.kinds.model. They suggest the reference.

Invariant: only an address that cannot be a model itself is recognised; a link to a file (`/resolve/`) is a URL. Held by
tests/kit/test_hub_page.py.
"""

import re
from urllib.parse import parse_qs, unquote

_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?(?:hf\.co|huggingface\.co)/(?P<repo>[\w.-]+/[\w.-]+)"
    r"(?::(?P<quant>[\w.-]+)|/(?:tree|blob)/(?P<revision>[^/?#]+)(?:/(?P<file>[^?#]+?))?)?/?"
    r"(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.IGNORECASE,
)
_BRANCH = "main"


def hub_reference(text: str) -> str | None:
    """Return the `hf://` reference for an address of a repository or a page on Hugging Face; None for anything else.

    >>> hub_reference("hf.co/acme/demo:Q4_K_M"), hub_reference("https://huggingface.co/acme/demo/tree/v1")
    ('hf://acme/demo:Q4_K_M', 'hf://acme/demo@v1')
    >>> hub_reference("https://huggingface.co/acme/demo/blob/main/sub/m.gguf")
    'hf://acme/demo/sub/m.gguf'
    >>> hub_reference("https://huggingface.co/acme/demo/resolve/main/m.gguf"), hub_reference("hf://acme/demo")
    (None, None)
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        return None
    # The page of a repository shows the header of the file that its query names.
    shown = parse_qs(match["query"] or "").get("show_file_info", [""])[0]
    file = unquote(match["file"] or "") or shown
    revision = unquote(match["revision"] or _BRANCH)
    if file.lower().endswith(".gguf"):
        found = f"hf://{match['repo']}/{file}"
    else:
        found = f"hf://{match['repo']}:{match['quant']}" if match["quant"] else f"hf://{match['repo']}"
    return found if revision == _BRANCH else f"{found}@{revision}"
