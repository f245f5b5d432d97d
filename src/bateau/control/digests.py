"""Digest a service as the history of a cluster names it: its spec, and the documents that it brings.

Called by control.deliveries and control.piece. Pure. The values of Secrets are left out, because a short secret could
be guessed from its digest.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Final

from bateau.control.history import service_digest
from bateau.domain.manifest import Manifest
from bateau.domain.workload import Workload

_CHARACTERS: Final = 16


def digest_of(service: Workload | None, manifests: Iterable[Manifest]) -> str:
    """Return the digest of a service, or of manifests whose service is not known."""
    made = hashlib.sha256()
    if service:
        made.update(service_digest(service).encode())
    if service is None or service.brings_documents:
        for each in manifests:
            made.update(_content(each))
    return made.hexdigest()[:_CHARACTERS]


def _content(manifest: Manifest) -> bytes:
    tree = {field: value for field, value in manifest.tree.items() if field not in ("data", "stringData")}
    kept = tree if manifest.group_kind == ("", "Secret") else manifest.tree
    return json.dumps(kept, sort_keys=True, default=str).encode()
