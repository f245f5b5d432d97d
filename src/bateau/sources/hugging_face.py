"""Resolve `hf://ORG/REPO/FILE.gguf[@REVISION]` and `hf://ORG/REPO[:QUANT][@REVISION]`.

Called by sources.models. Source: the HTTP API of the hub (https://huggingface.co/docs/hub/api): `/api/models` lists the
files of a repository, and a HEAD request for `/resolve` returns the size and the checksum of one file.

Invariant: the token is sent to the endpoint only, never to the storage that the endpoint redirects to. Held by
tests/sources/test_download.py::test_credentials_do_not_follow_a_redirect_to_another_host.
"""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from bateau.domain.errors import SourceDenied, SourceError, SourceNotFound
from bateau.kit.suggest import did_you_mean, listed
from bateau.sources.artifact import Artifact
from bateau.sources.header import split_not_supported
from bateau.sources.http import refuse_plain_http, shown, status_error
from bateau.sources.page import page
from bateau.sources.redirect import answer
from bateau.sources.session import Session
from bateau.sources.settings import Settings

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<file>[^@:]+)|:(?P<quant>[\w.-]+))?(?:@(?P<revision>[^@\s]+))?"
)
_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BRANCH = "main"
_ENDPOINT = "https://huggingface.co"
_LISTING_BYTES_MAX = 64 * 2**20  # some repositories have tens of thousands of files
_UNAUTHORIZED = 401
_QUANT_DEFAULT = "Q4_K_M"  # what llama.cpp's own `-hf` chooses first
_TOKEN_HINT = "accept the model's terms on its page, and set HF_TOKEN to a token that may read it"  # noqa: S105


async def resolve(reference: str, settings: Settings) -> Artifact:
    """Return the file of a reference, choosing a GGUF if it names none. Raises the SourceError family."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SourceNotFound(
            f"{shown(reference)} is not a valid Hugging Face reference",
            hint="write hf://ORG/REPO/FILE.gguf, hf://ORG/REPO:Q4_K_M or hf://ORG/REPO, optionally with @REVISION",
        )
    file_name: str | None = match["file"]
    if file_name is not None and not file_name.lower().endswith(".gguf"):
        raise SourceNotFound(
            f"{shown(reference)} does not name a *.gguf file",
            hint=f"leave the file out to let Bateau choose: hf://{match['repo']}",
        )
    endpoint = settings.environ.get("HF_ENDPOINT", "").rstrip("/") or _ENDPOINT
    refuse_plain_http(endpoint)
    async with Session(settings) as http:
        hub = _Hub(http, endpoint, match["repo"], token=_token(settings), revision=match["revision"])
        if file_name is None:
            file_name = _choose(await hub.names(), repo=match["repo"], quant=match["quant"])
            logger.info("%s: chose %s", hub.says, file_name)
        if _SPLIT.search(file_name):
            raise split_not_supported(f"{hub.says}/{file_name}")
        return await hub.artifact(file_name)


class _Hub:
    """One repository on a hub, at one revision."""

    def __init__(self, http: Session, endpoint: str, repo: str, *, token: str | None, revision: str | None) -> None:
        self._http = http
        self._endpoint = endpoint
        self._repo = repo
        self._revision = quote(revision, safe="") if revision else None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.says = f"hf://{repo}"

    async def names(self) -> list[str]:
        """Return the GGUF files that are models. Raises the SourceError family."""
        url = f"{self._endpoint}/api/models/{self._repo}"
        url += f"/revision/{self._revision}" if self._revision else ""
        found = await page(self._http, url, says=self.says, headers=self._headers, bytes_max=_LISTING_BYTES_MAX)
        _refuse(found.status, found.headers, says=self.says)
        try:
            names = [str(sibling["rfilename"]) for sibling in json.loads(found.body)["siblings"]]
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{self.says}: the hub sent an invalid answer ({type(error).__name__})") from error
        return sorted(name for name in names if name.lower().endswith(".gguf") and "mmproj" not in name.lower())

    async def artifact(self, file_name: str) -> Artifact:
        """Return one file with its size and checksum. Raises the SourceError family."""
        url = f"{self._endpoint}/{self._repo}/resolve/{self._revision or _BRANCH}/{quote(file_name)}"
        says = f"{self.says}/{file_name}"
        async with answer(self._http, url, says=says, headers=self._headers, head_of_origin=True) as response:
            headers = response.headers
            _refuse(response.status, headers, says=says)
        size = headers.get("X-Linked-Size") or headers.get("Content-Length") or ""
        etag = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").removeprefix("W/").strip('"')
        return Artifact(
            url=url,
            file_name=file_name.rpartition("/")[2],
            headers=self._headers,
            size_bytes=int(size) if size.isdecimal() else None,
            # The ETag of a file in large-file storage is its sha256; that of a small one is a Git hash.
            sha256=etag if _SHA256.fullmatch(etag) else None,
        )


def _refuse(status: int, headers: Mapping[str, str], *, says: str) -> None:
    """Raise the error for an answer of the hub. Its X-Error-Code is more precise than the status."""
    code, text = headers.get("X-Error-Code", ""), headers.get("X-Error-Message", "")
    if status < _UNAUTHORIZED - 1:
        return
    if code == "GatedRepo":
        raise SourceDenied(f"{says} is gated: access denied", hint=_TOKEN_HINT)
    if code == "RevisionNotFound":
        raise SourceNotFound(f"{says} has no such revision")
    if code == "EntryNotFound":
        raise SourceNotFound(f"{says} has no such file", hint="leave the file out to let Bateau choose one")
    if code == "RepoNotFound" or (status == _UNAUTHORIZED and "Invalid credentials" not in text):
        # The hub answers 401 both if the repository does not exist and if a token is missing.
        raise SourceNotFound(f"{says} does not exist, or is private", hint="for a private repository, set HF_TOKEN")
    error = status_error(status, says=says, hint=_TOKEN_HINT, headers=headers)
    if error:
        raise error


def _token(settings: Settings) -> str | None:
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if settings.environ.get(variable, "").strip():
            return settings.environ[variable].strip()
    home = Path(settings.environ.get("HF_HOME") or settings.home / ".cache/huggingface")
    path = Path(settings.environ.get("HF_TOKEN_PATH") or home / "token")
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _choose(names: list[str], *, repo: str, quant: str | None) -> str:
    """Return the file to fetch: the only one, the one of `quant`, or the one with the usual quantisation."""
    if not names:
        raise SourceNotFound(
            f"hf://{repo} has no *.gguf file", hint="look for a repository of the same name that ends in -GGUF"
        )
    if quant is None and len(names) == 1:
        return names[0]
    wanted = quant or _QUANT_DEFAULT
    # Not next to a letter or a digit: Q4_K must not find Q4_K_M, nor F16 BF16.
    pattern = re.compile(rf"(?<![A-Za-z0-9]){re.escape(wanted)}(?![A-Za-z0-9_])", re.IGNORECASE)
    found = [name for name in names if pattern.search(name.rpartition("/")[2])]
    whole = [name for name in found if not _SPLIT.search(name)]
    if len(whole) == 1:
        return whole[0]
    if found and not whole:
        raise split_not_supported(f"hf://{repo}/{found[0]}")
    if quant and not found:
        hint = did_you_mean(quant, [_quant(name) for name in names])
        raise SourceNotFound(f"hf://{repo} has no file of {quant}; it has {listed(names)}", hint=hint)
    raise SourceError(
        f"hf://{repo} has {len(names)} models, and the reference does not say which one: {listed(whole or names)}",
        hint=f"name one, such as hf://{repo}/{(whole or names)[0]}",
    )


def _quant(name: str) -> str:
    return re.split(r"[-.]", name.removesuffix(".gguf"))[-1]
