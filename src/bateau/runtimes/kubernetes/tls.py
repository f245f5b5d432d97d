"""Make the TLS settings of the connections to an API server.

Called by runtimes.kubernetes.requests.
"""

import os
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from bateau.domain.errors import ClusterError
from bateau.runtimes.kubernetes.kubeconfig import Access


def tls_of(
    access: Access,
    certificate: tuple[bytes, bytes] | None,
    authorities: bytes | None,
    *,
    doubt: Callable[[], None],
) -> ssl.SSLContext | bool:
    """Return the settings. Calls `doubt` if the authorities cannot be used. Raises ClusterError."""
    if access.server.startswith("http://"):
        return True
    try:
        context = ssl.create_default_context(cadata=authorities.decode() if authorities else None)
    except (ssl.SSLError, UnicodeError) as error:
        doubt()
        raise ClusterError(f"the certificate authority of {access.name} is not a PEM certificate") from error
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        _load(context, *certificate, name=access.name)
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes, *, name: str) -> None:
    """Load a client certificate. Python reads it from a file only, so it is one for a moment, for this user alone."""
    descriptor, path = tempfile.mkstemp(prefix="bateau-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        raise ClusterError(f"the client certificate of {name} and its key do not fit together") from error
    finally:
        Path(path).unlink()
