"""The options of a controller, and the API server that it works for.

Called by cli.controller, wiring.cluster_alerts, wiring.controller and wiring.controller_terms.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bateau.runtimes.kubernetes import Access, access_in_pod, access_of, kubeconfig_files
from bateau.sources.git import GitReference
from bateau.sources.oci import Reference


@dataclass(frozen=True, kw_only=True)
class ControllerSettings:
    """The options of a controller.

    `namespace` is its own; the Lease is there. With a `repository`, an environment of it is followed in `directory`,
    and with a `bundle`, that one, instead of the documents that are stored in the cluster. Gateways connect to the
    address `gateway`, if it is set.
    """

    access: Access
    namespace: str
    directory: Path
    repository: GitReference | None = None
    bundle: Reference | None = None
    allowed_signers: Path | None = None
    environment: str | None = None
    into: str | None = None
    gateway: str | None = None
    identity: str = field(default_factory=lambda: f"{socket.gethostname()}_{os.getpid()}")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def follows(self) -> bool:
        """Whether a repository or a bundle is followed, and no documents."""
        return self.repository is not None or self.bundle is not None


def controller_access(context: str | None) -> Access:
    """Return the API server of a controller: of a context, else of its own pod, else of the current context.

    Raises ClusterError if there is none.
    """
    if context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return access_in_pod(os.environ)
    return access_of(kubeconfig_files(os.environ), context)
