"""The credentials of requests to an API server, and whom to trust: what a kubeconfig has, its files, or a plug-in.

Called by runtimes.kubernetes.requests. An exec plug-in speaks the protocol of client.authentication.k8s.io (KEP-541).

Invariant: a credential is kept in memory only, and no message contains one. Held by
tests/runtimes/kubernetes/test_kubeconfig.py::test_no_message_contains_a_credential.
"""

import asyncio
import base64
import contextlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bateau.domain.errors import ClusterDenied, ClusterError
from bateau.kit.json_value import JsonObject, is_object, object_at, text_at
from bateau.runtimes.kubernetes.kubeconfig import Access, ExecPlugin

_PLUGIN_S = 60.0
# A credential is asked for again a little before it ends, so that no request arrives with one that has just ended.
_EARLY_S = 20.0
_FILE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Printed:
    """The output of a plug-in: a token or a client certificate, and its end in seconds of the monotonic clock."""

    token: str | None
    certificate: bytes | None
    key: bytes | None
    ends_at: float


class Credentials:
    """Gives the headers of requests, and the client certificate of connections."""

    def __init__(self, access: Access, *, environ: Mapping[str, str] = os.environ) -> None:
        self._access = access
        self._environ = environ
        self._printed: _Printed | None = None
        self._file_token: tuple[str, float] | None = None
        self._file_pair: tuple[tuple[bytes, bytes], float] | None = None
        self._authorities = access.ca
        self._authorities_at: float | None = None  # when they were read again
        self._asking = asyncio.Lock()
        self.generation = 0  # how often the credentials were doubted

    async def headers(self) -> dict[str, str]:
        """Return the Authorization header, or nothing where a client certificate speaks. Raises ClusterError."""
        access = self._access
        if access.token:
            return {"Authorization": f"Bearer {access.token}"}
        if access.token_file:
            return {"Authorization": f"Bearer {self._token_of_file()}"}
        if access.user:
            pair = base64.b64encode(":".join(access.user).encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        if access.plugin:
            printed = await self._ask(access.plugin)
            return {"Authorization": f"Bearer {printed.token}"} if printed.token else {}
        return {}

    async def client_certificate(self) -> tuple[bytes, bytes] | None:
        """Return certificate and key as PEM, if this access uses them. Raises ClusterError."""
        if self._access.certificate and self._access.key:
            return self._pair_of_files(self._access.certificate, self._access.key)
        if self._access.plugin:
            printed = await self._ask(self._access.plugin)
            if printed.certificate and printed.key:
                return printed.certificate, printed.key
        return None

    def authorities(self) -> bytes | None:
        """Return the PEM of the certificate authorities that the file of the kubeconfig or the pod has now.

        While it cannot be read, the last known ones stay.
        """
        path = self._access.ca_file
        if path is not None and (self._authorities_at is None or time.monotonic() - self._authorities_at >= _FILE_S):
            with contextlib.suppress(OSError):
                self._authorities = path.read_bytes()
            self._authorities_at = time.monotonic()
        return self._authorities

    def doubt_authorities(self) -> None:
        """Read the file of the authorities again before the next request: they do not fit the server."""
        self._authorities_at = None

    def doubt(self, generation: int) -> bool:
        """Forget refused credentials of a plug-in or a file. Returns whether newer ones can be had.

        Of several requests with the same credentials, all of them refused, the first one renews them for all.
        """
        if generation != self.generation:
            return True
        had = self._printed is not None or self._file_token is not None or self._file_pair is not None
        self._printed = self._file_token = self._file_pair = None
        self.generation += had
        return had

    def _pair_of_files(self, certificate: bytes, key: bytes) -> tuple[bytes, bytes]:
        """Return the client certificate that the files of the kubeconfig have now; they are replaced before it ends."""
        if self._file_pair is None or time.monotonic() - self._file_pair[1] >= _FILE_S:
            try:
                if self._access.certificate_file:
                    certificate = self._access.certificate_file.read_bytes()
                if self._access.key_file:
                    key = self._access.key_file.read_bytes()
            except OSError as error:
                says = f"cannot read the client certificate of {self._access.name}: {error.strerror}: {error.filename}"
                raise ClusterDenied(says) from error
            self._file_pair = (certificate, key), time.monotonic()
        return self._file_pair[0]

    def _token_of_file(self) -> str:
        path = self._access.token_file
        if self._file_token and time.monotonic() - self._file_token[1] < _FILE_S:
            return self._file_token[0]
        try:
            token = path.read_text().strip() if path else ""
        except OSError as error:
            raise ClusterDenied(f"cannot read the token of {self._access.name}: {error.strerror}: {path}") from error
        self._file_token = token, time.monotonic()
        return token

    async def _ask(self, plugin: ExecPlugin) -> _Printed:
        async with self._asking:
            known = self._printed
            if known and time.monotonic() < known.ends_at:
                return known
            self._printed = await self._run(plugin)
            return self._printed

    async def _run(self, plugin: ExecPlugin) -> _Printed:
        name = self._access.name
        spec: JsonObject = {"interactive": False}
        if plugin.provides_cluster:
            spec["cluster"] = {"server": self._access.server}
        info: JsonObject = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
        environ = {**self._environ, **plugin.environ, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        try:
            process = await asyncio.create_subprocess_exec(
                plugin.command,
                *plugin.arguments,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = plugin.install_hint or "install it, or use another context"
            raise ClusterDenied(f"{name} needs {plugin.command}: {error.strerror}", hint=hint) from error
        try:
            async with asyncio.timeout(_PLUGIN_S):
                out, told = await process.communicate()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise ClusterDenied(f"{plugin.command} gave no credentials for {name} in {_PLUGIN_S:.0f} s") from error
        if process.returncode:
            last = told.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it printed no reason"]
            raise ClusterDenied(f"{plugin.command} gave no credentials for {name}: {last[0]}")
        return _printed(out, plugin, name)


def _printed(out: bytes, plugin: ExecPlugin, name: str) -> _Printed:
    try:
        tree = json.loads(out)
    except ValueError as error:
        raise ClusterDenied(f"{plugin.command} printed no ExecCredential for {name}") from error
    status = object_at(tree, "status") if is_object(tree) else {}
    token, certificate, key = (
        text_at(status, each) or None for each in ("token", "clientCertificateData", "clientKeyData")
    )
    if not token and not (certificate and key):
        raise ClusterDenied(f"{plugin.command} printed neither a token nor a certificate for {name}")
    ends = text_at(status, "expirationTimestamp")
    try:
        lasts_s = datetime.fromisoformat(ends).timestamp() - time.time() - _EARLY_S if ends else math.inf
    except ValueError as error:
        raise ClusterError(f"{plugin.command} printed `{ends}` as expirationTimestamp, which is not a time") from error
    return _Printed(
        token=token,
        certificate=certificate.encode() if certificate else None,
        key=key.encode() if key else None,
        # One that seems to have ended is used, too, until it is refused: the own clock may be hours ahead.
        ends_at=time.monotonic() + max(lasts_s, _FILE_S),
    )
