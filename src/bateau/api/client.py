"""Ask a running control plane, over its socket. Standard library alone, so that `bateau status` is quick.

Called by the commands.
"""

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from bateau.domain.errors import ControlError

_TIMEOUT_S = 10.0
_REFUSED = 400


class ApiClient:
    """A client of one instance's control plane."""

    def __init__(self, path: Path, *, instance: str) -> None:
        self._path = path
        self._instance = instance

    def status(self) -> dict[str, Any]:
        """Return the status as a tree with camelCase keys. Raises ControlError where nothing answers."""
        return cast("dict[str, Any]", self._ask("GET", "/v1/status"))

    def stop(self) -> None:
        """Ask the control plane to stop everything and end."""
        self._ask("POST", "/v1/stop")

    def preview(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return what other texts would do to what runs. Raises ControlError."""
        return cast("dict[str, Any]", self._ask("POST", "/v1/preview", {"texts": dict(texts)}))

    def apply(self, texts: Mapping[str, str], *, commit: str | None) -> str:
        """Make texts the desired state, and return what stands for them in the status.

        Raises ControlError where the instance follows something else.
        """
        return str(self._ask("POST", "/v1/apply", {"texts": dict(texts), "commit": commit})["written"])

    def rollback(self, service: str, *, to: int | None) -> dict[str, Any]:
        """Have a service go back to an earlier revision. Raises ControlError."""
        return cast("dict[str, Any]", self._ask("POST", "/v1/rollback", {"service": service, "to": to}))

    def answers(self) -> bool:
        """Whether there is a control plane."""
        try:
            self.status()
        except ControlError:
            return False
        return True

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body))
            response = connection.getresponse()
            tree: Any = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ControlError(
                f"no control plane answers for {self._instance}",
                hint="start one with `bateau up`"
                if isinstance(error, FileNotFoundError | ConnectionRefusedError)
                else str(error),
            ) from error
        finally:
            connection.close()
        if response.status >= _REFUSED:
            raise ControlError(str(tree["error"]), hint=tree.get("hint"))
        return tree


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))
