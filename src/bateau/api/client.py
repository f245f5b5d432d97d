"""Call a running control plane over its socket. Uses only the standard library, so that `bateau status` is fast.

Called by cli.instance and cli.status.
"""

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path

from bateau.api.trees import (
    FiguresTree,
    PreviewTree,
    RollbackTree,
    StatusTree,
    is_figures,
    is_preview,
    is_rollback,
    is_status,
)
from bateau.domain.errors import ControlError
from bateau.kit.json_value import JsonObject, ReadObject, object_at, text_at

_TIMEOUT_S = 10.0
_TEST_S = 30.0
_REFUSED = 400
_NO_PATH = 404


class ApiClient:
    """A client of one instance's control plane."""

    def __init__(self, path: Path, *, instance: str) -> None:
        self._path = path
        self._instance = instance

    def status(self, *, after: int | None = None, wait_s: float = 0.0) -> StatusTree:
        """Return the status as a tree with camelCase keys. Raises ControlError if no control plane answers.

        With `after`, the number of the snapshot that the caller has, wait up to `wait_s` seconds for a different one.
        """
        query = "" if after is None else f"?after={after}&wait={wait_s:g}"
        tree = self._ask("GET", f"/v1/status{query}", patience_s=wait_s)
        if not is_status(tree):
            raise self._not_understood()
        return tree

    def figures(self) -> FiguresTree:
        """Return what each service does now, in numbers. Raises ControlError."""
        tree = self._ask("GET", "/v1/figures")
        if not is_figures(tree):
            raise self._not_understood()
        return tree

    def stop(self) -> None:
        """Ask the control plane to stop everything and exit."""
        self._ask("POST", "/v1/stop")

    def preview(self, texts: Mapping[str, str]) -> PreviewTree:
        """Return the effect that other texts would have on the running services. Raises ControlError."""
        tree = self._ask("POST", "/v1/preview", {"texts": dict(texts)})
        if not is_preview(tree):
            raise self._not_understood()
        return tree

    def apply(self, texts: Mapping[str, str], *, commit: str | None) -> str:
        """Make texts the desired state, and return their digest, which appears in the status.

        Raises ControlError if the instance follows a directory or a repository.
        """
        return str(self._ask("POST", "/v1/apply", {"texts": dict(texts), "commit": commit})["written"])

    def rollback(self, service: str, *, to: int | None) -> RollbackTree:
        """Roll a service back to an earlier revision. Raises ControlError."""
        tree = self._ask("POST", "/v1/rollback", {"service": service, "to": to})
        if not is_rollback(tree):
            raise self._not_understood()
        return tree

    def restart(self, service: str) -> JsonObject:
        """Replace every replica of a service, one after another. Raises ControlError."""
        return self._ask("POST", "/v1/restart", {"service": service})

    def dashboard_link(self, role: str) -> str:
        """Return the path of a link that opens one session of the dashboard. Raises ControlError."""
        return text_at(self._ask("POST", "/v1/dashboard/links", {"role": role}), "path")

    def alerts(self) -> JsonObject:
        """Return the alerts, the silences and the receivers. Raises ControlError."""
        return self._ask("GET", "/v1/alerts")

    def silence(self, request: ReadObject) -> JsonObject:
        """Keep alerts back for a while, and return the silence. Raises ControlError."""
        return self._ask("POST", "/v1/alerts/silence", request)

    def unsilence(self, silence: str) -> JsonObject:
        """End a silence, and return it. Raises ControlError."""
        return self._ask("POST", "/v1/alerts/unsilence", {"silence": silence})

    def test_alerts(self) -> JsonObject:
        """Send a test alert to every receiver, and return how that went. Raises ControlError."""
        return self._ask("POST", "/v1/alerts/test", patience_s=_TEST_S)

    def metrics(self) -> str:
        """Return the Prometheus page of the instance. Raises ControlError."""
        status, data = self._fetch("GET", "/metrics", None, _TIMEOUT_S)
        if status >= _REFUSED:
            raise self._not_understood()
        return data.decode(errors="replace")

    def answers(self) -> bool:
        """Whether a control plane answers."""
        try:
            self.status()
        except ControlError:
            return False
        return True

    def _not_understood(self) -> ControlError:
        says = f"the control plane of {self._instance} gave an answer without the expected fields"
        return ControlError(says, hint="is it of another version? restart it with `bateau down` and `bateau up`")

    def _ask(self, method: str, path: str, body: ReadObject | None = None, *, patience_s: float = 0.0) -> JsonObject:
        status, data = self._fetch(method, path, None if body is None else json.dumps(body), _TIMEOUT_S + patience_s)
        try:
            tree = object_at(json.loads(data))
        except ValueError as error:
            says = f"the control plane of {self._instance} gave an answer that is not JSON (status {status})"
            raise ControlError(says, hint="`bateau logs control` shows what it does") from error
        if status == _NO_PATH:
            raise self._not_understood()
        if status >= _REFUSED:
            raise ControlError(text_at(tree, "error"), hint=text_at(tree, "hint") or None)
        return tree

    def _fetch(self, method: str, path: str, body: str | None, timeout_s: float) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path, timeout_s=timeout_s)
        try:
            connection.request(method, path, body=body)
            response = connection.getresponse()
            return response.status, response.read()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise ControlError(
                f"no control plane answers for {self._instance}", hint="start one with `bateau up`"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            says = f"the control plane of {self._instance} does not answer: {error or type(error).__name__}"
            raise ControlError(says, hint="`bateau logs control` shows what it does") from error
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, *, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
