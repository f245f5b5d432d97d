"""Mutual TLS of a server whose certificate may change while it runs.

Called by traffic.envoy.gateway and wiring.

Invariant: a new certificate, or another authority, is in effect from the next connection on. Held by
tests/traffic/test_gateway.py::test_certificates_are_replaced_without_a_restart.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from bateau.kit.tls import load_certificate


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A server's certificate and key, and the authorities whose clients it accepts, all as PEM."""

    certificate: bytes
    key: bytes
    authorities: bytes


class _FreshContext(ssl.SSLContext):
    """Begins each connection with the identity of that moment."""

    identity: Callable[[], Identity]
    _made: tuple[Identity, ssl.SSLContext] | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection as asyncio does."""
        now = self.identity()
        if self._made is None or self._made[0] != now:
            self._made = (now, _context(now))
        return self._made[1].wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def fresh_context(identity: Callable[[], Identity]) -> ssl.SSLContext:
    """Return the settings of a server that asks for its identity at every connection."""
    context = _FreshContext(ssl.PROTOCOL_TLS_SERVER)
    context.identity = identity
    return context


def _context(identity: Identity) -> ssl.SSLContext:
    """Return the settings for one identity. Raises ssl.SSLError if certificate and key do not fit together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=identity.authorities.decode())
    load_certificate(context, identity.certificate, identity.key)
    return context
