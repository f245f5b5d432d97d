"""Make the TLS settings of the connections to an API server.

Called by runtimes.kubernetes.requests.
"""

import ssl
from collections.abc import Callable

from bateau.domain.errors import ClusterError
from bateau.kit.tls import load_certificate
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
        try:
            load_certificate(context, *certificate)
        except (ssl.SSLError, ValueError) as error:
            says = f"the client certificate of {access.name} and its key do not fit together"
            raise ClusterError(says) from error
    return context
