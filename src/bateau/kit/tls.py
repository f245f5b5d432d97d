"""Load certificates that are in memory into the settings of TLS connections.

Called by runtimes.kubernetes.tls and traffic.envoy.fresh_tls.
"""

import os
import ssl


def load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load a certificate and its key, both PEM. Raises ssl.SSLError or ValueError if they do not fit together.

    Python reads them from a file only. This one is in memory and has no name, so no key reaches a disk.
    """
    with os.fdopen(os.memfd_create("certificate"), "wb") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
