"""Choose the filters of the gateway: the native one where it works with this Envoy, or Envoy's own.

Called by wiring.local and wiring.metrics.

Invariant: where the native filter cannot be used, requests are served by Envoy's own filters, and the reason is
reported. Held by tests/wiring/test_filters.py.
"""

import hashlib
import importlib
import json
import logging
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from bateau.domain.errors import ControlError
from bateau.domain.status import GatewayFilters
from bateau.kit.json_value import ReadObject, is_object, text_at
from bateau.traffic.envoy import FrontSettings
from bateau.traffic.envoy.affinity import affinity_policy
from bateau.traffic.envoy.counters import native_request_log
from bateau.traffic.envoy.gate import Gate, gate_filter_config
from bateau.traffic.envoy.usage import native_begun_log

logger = logging.getLogger(__name__)

VARIABLE: Final = "BATEAU_FILTERS"
# The fate of requests while the ledger cannot be written.
FULL_LEDGER: Final = "BATEAU_FULL_LEDGER"
_PACKAGE: Final = "bateau_gate"
_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The filters of the gateway, and why they were chosen. `library` is that of the native one.

    With `refuses_unwritten`, requests to models are refused while the ledger cannot be written.
    """

    library: Path | None
    why: str
    refuses_unwritten: bool = False

    @property
    def name(self) -> Literal["native", "stock"]:
        """The value of the variable that chooses them."""
        return "native" if self.library else "stock"

    def gate(self, ledger: Path) -> Gate | None:
        """Return the native filter with a ledger, None for Envoy's own filters."""
        if self.library is None:
            return None
        return Gate(library=self.library, ledger=ledger, refuses_unwritten=self.refuses_unwritten)

    def front(self, directory: Path, ledger: Path, inner: Path, origins: tuple[str, ...]) -> FrontSettings:
        """Return what the front listeners work with, so that they have these filters."""
        return FrontSettings(key_filters=directory, ledger=ledger, inner=inner, library=self.library, origins=origins)

    @property
    def status(self) -> GatewayFilters:
        """The part of the status of an instance about them."""
        return GatewayFilters(name=self.name, why=self.why)

    @property
    def no_affinity(self) -> str | None:
        """Why requests cannot be balanced by their conversations; None if they can."""
        return None if self.library else f"it needs the native filter, and the gateway has Envoy's own: {self.why}"


def chosen_filters(binary: Path, cache: Path, environ: Mapping[str, str]) -> Filters:
    """Return the filters for an Envoy.

    Raises ControlError if BATEAU_FILTERS names filters that do not exist, or that this Envoy cannot load, and if
    BATEAU_FULL_LEDGER asks for what they cannot do.
    """
    found = _chosen(binary, cache, environ.get(VARIABLE, ""))
    found = replace(found, refuses_unwritten=_refuses_unwritten(found, environ.get(FULL_LEDGER, "")))
    logger.info("the gateway has %s filters: %s", found.name, found.why)
    return found


def _chosen(binary: Path, cache: Path, named: str) -> Filters:
    if named == "stock":
        return Filters(library=None, why=f"{VARIABLE}=stock")
    if named not in {"", "native"}:
        raise ControlError(f"{VARIABLE} is {named}", hint=f"set {VARIABLE} to native or stock, or unset it")
    library = native_library()
    why = f"the package {_PACKAGE} is not installed" if library is None else _unusable(binary, library, cache)
    if why is None:
        return Filters(library=library, why="it is installed, and this Envoy loads it")
    if named:
        raise ControlError(
            f"the native filter cannot be used: {why}", hint=f"unset {VARIABLE}, to use Envoy's own filters"
        )
    return Filters(library=None, why=why)


def _refuses_unwritten(filters: Filters, named: str) -> bool:
    if named not in {"", "count", "refuse"}:
        raise ControlError(f"{FULL_LEDGER} is {named}", hint=f"set {FULL_LEDGER} to count or refuse, or unset it")
    if named == "refuse" and filters.library is None:
        raise ControlError(
            f"{FULL_LEDGER}=refuse needs the native filter, which is not used: {filters.why}",
            hint=f"unset {FULL_LEDGER}, to answer requests also while the ledger cannot be written",
        )
    return named == "refuse"


def native_library() -> Path | None:
    """Return the library of the native filter, None if it is not installed."""
    try:
        found: object = importlib.import_module(_PACKAGE).library()
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, Path) and found.is_file() else None


def _unusable(binary: Path, library: Path, cache: Path) -> str | None:
    """Return why an Envoy cannot use a library, None if it can.

    The answer is kept by a digest of both files and of the configuration, which may be of another format next time.
    """
    about = binary.stat()
    config = json.dumps(_one_filter(library))
    try:
        files = f"{binary}:{about.st_size}:{about.st_mtime_ns}:{config}".encode() + library.read_bytes()
    except OSError as error:
        return f"it cannot be read: {error}"
    kept = cache / f"envoy-filter-{hashlib.blake2b(files, digest_size=8).hexdigest()}.json"
    with suppress(OSError, ValueError):
        tree: object = json.loads(kept.read_text(encoding="utf-8"))
        if is_object(tree) and isinstance(tree.get("why"), str):
            return text_at(tree, "why") or None
    try:
        why = _refusal(binary, library)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"Envoy did not say if it loads it: {error}"
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"why": why or ""}), encoding="utf-8")
    return why


def _refusal(binary: Path, library: Path) -> str | None:
    """Return why an Envoy is of another version or refuses a library. Raises OSError and TimeoutExpired."""
    minor: object = getattr(importlib.import_module(_PACKAGE), "ENVOY", "")
    version = _output(binary, "--version")
    if f"/{minor}." not in version:
        return f"it is for Envoy {minor}, and this is {version.rpartition('version:')[2].strip()}"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "envoy.json"
        config.write_text(json.dumps(_one_filter(library)), encoding="utf-8")
        said = _output(binary, "--mode", "validate", "--log-level", "error", "--config-path", str(config))
    if "OK" in said.split():
        return None
    return said.strip().splitlines()[-1] if said.strip() else "Envoy refuses it"


def _output(binary: Path, *words: str) -> str:
    return subprocess.run(
        [str(binary), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_TIMEOUT_S,
        check=False,
    ).stdout


def _one_filter(library: Path) -> ReadObject:
    """Return the configuration of an Envoy that uses nothing but the library."""
    network = "type.googleapis.com/envoy.extensions.filters"
    manager: ReadObject = {
        "@type": f"{network}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "validation",
        "route_config": {},
        "access_log": [native_request_log(library)],
        "http_filters": [
            {"name": "gate", "typed_config": gate_filter_config(Gate(library=library, ledger=None))},
            {
                "name": "router",
                "typed_config": {
                    "@type": f"{network}.http.router.v3.Router",
                    "upstream_log": [native_begun_log(library, ledger=None)],
                },
            },
        ],
    }
    listener: ReadObject = {
        "name": "validation",
        "address": {"pipe": {"path": "@bateau-validation"}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    cluster: ReadObject = {
        "name": "validation",
        "load_balancing_policy": {"policies": [{"typed_extension_config": affinity_policy(library)}]},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
