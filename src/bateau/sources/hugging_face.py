"""Resolve `hf://ORG/REPO/FILE.gguf[@REVISION]`, `hf://ORG/REPO[:QUANT][@REVISION]`.

Called by models. URLs, metadata and listings are huggingface_hub's; the download is ours, as for every scheme.

Invariant: the token goes to the endpoint alone: the storage that it redirects to gives no token back.
Refused: hf_hub_download; its cache, locks and progress would stand beside ours.
"""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bateau.domain.errors import SourceDenied, SourceError, SourceNotFound, SourceUnreachable
from bateau.kit.suggest import did_you_mean, listed
from bateau.sources.artifact import Artifact
from bateau.sources.header import split_not_supported
from bateau.sources.http import in_daemon_thread, refuse_plain_http, shown, status_error
from bateau.sources.settings import Settings

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<file>[^@:]+)|:(?P<quant>[\w.-]+))?(?:@(?P<revision>[^@\s]+))?"
)
_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENDPOINT = "https://huggingface.co"
_TIMEOUT_S = 20.0
_QUANT_DEFAULT = "Q4_K_M"  # what llama.cpp's own `-hf` chooses first

_Result = TypeVar("_Result")


async def resolve(reference: str, settings: Settings) -> Artifact:
    """Return the file, choosing a GGUF where none is named. Raises the SourceError family."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SourceNotFound(
            f"{shown(reference)} is not understood",
            hint="write hf://ORG/REPO/FILE.gguf, hf://ORG/REPO:Q4_K_M or hf://ORG/REPO, with @REVISION if you like",
        )
    file_name: str | None = match["file"]
    if file_name is not None and not file_name.lower().endswith(".gguf"):
        raise SourceNotFound(
            f"{shown(reference)} names no *.gguf file", hint=f"leave it out to choose: hf://{match['repo']}"
        )
    return await in_daemon_thread(
        lambda: _resolve(
            settings, repo=match["repo"], file_name=file_name, quant=match["quant"], revision=match["revision"]
        )
    )


def _resolve(
    settings: Settings, *, repo: str, file_name: str | None, quant: str | None, revision: str | None
) -> Artifact:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url  # pyright: ignore[reportUnknownVariableType] - user_agent is a bare dict

    endpoint = settings.environ.get("HF_ENDPOINT", "").rstrip("/") or _ENDPOINT
    refuse_plain_http(endpoint)
    token = _token(settings)
    says = f"hf://{repo}"
    if file_name is None:
        names = _asked(lambda: _names(repo, endpoint=endpoint, token=token, revision=revision), says=says)
        file_name = _choose(names, repo=repo, quant=quant)
        logger.info("%s: chose %s", says, file_name)
    if _SPLIT.search(file_name):
        raise split_not_supported(f"{says}/{file_name}")
    url = hf_hub_url(repo, file_name, revision=revision, endpoint=endpoint)
    metadata = _asked(
        lambda: get_hf_file_metadata(url, token=token or False, timeout=_TIMEOUT_S, endpoint=endpoint),
        says=f"{says}/{file_name}",
    )
    # The ETag of a file in large-file storage is its sha256; that of a small one is a Git hash, which checks nothing.
    sha256 = metadata.etag if metadata.etag and _SHA256.fullmatch(metadata.etag) else None
    return Artifact(
        url=url,
        file_name=file_name.rpartition("/")[2],
        headers={"Authorization": f"Bearer {token}"} if token else {},
        size_bytes=metadata.size,
        sha256=sha256,
    )


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


def _names(repo: str, *, endpoint: str, token: str | None, revision: str | None) -> list[str]:
    from huggingface_hub import HfApi

    info = HfApi(endpoint=endpoint, token=token or False).model_info(repo, revision=revision, timeout=_TIMEOUT_S)
    names = [sibling.rfilename for sibling in info.siblings or ()]
    return sorted(name for name in names if name.lower().endswith(".gguf") and "mmproj" not in name.lower())


def _choose(names: list[str], *, repo: str, quant: str | None) -> str:
    """Return the one file that was meant: the only one, that of `quant`, or that of the usual quantisation."""
    if not names:
        raise SourceNotFound(
            f"hf://{repo} holds no *.gguf file", hint="look for a repository of the same name that ends in -GGUF"
        )
    if quant is None and len(names) == 1:
        return names[0]
    wanted = quant or _QUANT_DEFAULT
    # Bounded by what is no letter or digit: Q4_K must not find Q4_K_M, nor F16 BF16.
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
        f"hf://{repo} holds {len(names)} models, and which one is meant is not clear: {listed(whole or names)}",
        hint=f"name one: hf://{repo}/{(whole or names)[0]}",
    )


def _quant(name: str) -> str:
    return re.split(r"[-.]", name.removesuffix(".gguf"))[-1]


def _asked(ask: Callable[[], _Result], *, says: str) -> _Result:
    """Ask the hub, and turn its errors into ours."""
    from huggingface_hub import errors

    hint = "accept the model's terms on its page, and set HF_TOKEN to a token that may read it"
    try:
        return ask()
    except errors.GatedRepoError as error:
        raise SourceDenied(f"{says} is gated: access denied", hint=hint) from error
    except errors.RepositoryNotFoundError as error:
        # The hub answers 401 both where there is nothing and where a token is missing.
        raise SourceNotFound(f"{says} does not exist, or is private", hint="for a private one set HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise SourceNotFound(f"{says} has no such revision") from error
    except errors.EntryNotFoundError as error:
        raise SourceNotFound(f"{says} has no such file", hint="leave the file out to choose one") from error
    except errors.HFValidationError as error:
        raise SourceNotFound(f"{says} is no name that a repository can have") from error
    except errors.OfflineModeIsEnabled as error:
        raise SourceError(f"{says} is not on this machine, and HF_HUB_OFFLINE is set") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        raise status_error(status, says=says, hint=hint) or SourceError(f"{says}: HTTP {status}") from error
    except (errors.HTTPError, OSError) as error:  # pyright: ignore[reportPrivateImportUsage] - of whichever httpx it uses
        raise SourceUnreachable(f"{says}: the hub cannot be reached ({type(error).__name__})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{says}: the hub's answer is not understood ({type(error).__name__})") from error
