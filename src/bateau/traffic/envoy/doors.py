"""Where Envoys reach the control channel: a unix socket on one machine, or a TCP port with mutual TLS in a cluster.

Called by traffic.envoy.ads, traffic.envoy.gateway and traffic.envoy.plane.

Invariant: nobody without a certificate of this installation gets any resource. Held by
tests/traffic/test_gateway.py::test_only_a_gateway_with_its_certificate_is_let_in.
"""

import socket
import ssl
from pathlib import Path
from typing import Protocol

import grpclib.server


class Door(Protocol):
    """An address of a gRPC server."""

    async def open(self, server: grpclib.server.Server) -> None:
        """Let a server listen here. Raises OSError."""
        ...

    def closed(self) -> None:
        """Clean up after the server has stopped."""
        ...

    @property
    def is_lost(self) -> bool:
        """Whether another program has removed the address of an open server."""
        ...


class UnixDoor:
    """A unix socket that only its user can open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self, server: grpclib.server.Server) -> None:
        """Let a server listen on the socket; a former one is removed. Raises OSError."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(self._path))
            # Nobody can connect before the server listens.
            self._path.chmod(0o600)
            await server.start(sock=listener)
        except BaseException:
            listener.close()
            raise

    def closed(self) -> None:
        """Remove the socket."""
        self._path.unlink(missing_ok=True)

    @property
    def is_lost(self) -> bool:
        """Whether another program has removed the socket."""
        return not self._path.exists()


class TlsDoor:
    """A TCP port, HOST:PORT. Both sides show a certificate of the installation's own authority."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        self._address = address
        self._context = context

    async def open(self, server: grpclib.server.Server) -> None:
        """Let a server listen on the port. Raises OSError."""
        host, _, port = self._address.rpartition(":")
        await server.start(host.strip("[]"), int(port), ssl=self._context)

    def closed(self) -> None:
        """Nothing is left."""

    @property
    def is_lost(self) -> bool:
        """No other program can remove a port."""
        return False
