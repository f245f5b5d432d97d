"""Find the namespaces whose documents were deleted while no controller ran.

Called by wiring.controller and wiring.installing.
"""

import asyncio
import logging
from typing import Final

from bateau.domain.errors import ClusterError
from bateau.runtimes.kubernetes import ApiServer
from bateau.runtimes.kubernetes.documents import Documents
from bateau.runtimes.kubernetes.inventory import inventories

logger = logging.getLogger(__name__)

DOCUMENTS_OF: Final = "documents.of"
_LOOK_AGAIN_S: Final = 2.0


async def left_over(api: ApiServer, documents: Documents) -> list[str]:
    """Return the namespaces with objects and without documents, whose objects are to be removed.

    Where the definitions are newer than the list of objects, the documents were lost with the old definitions, and
    were not deleted one by one: then everything stays.
    """
    left = await _inventories(api, documents)
    while left is None:
        await asyncio.sleep(_LOOK_AGAIN_S)
        left = await _inventories(api, documents)
    defined_at, found = left
    known, removed = documents.namespaces(), list[str]()
    for owner, namespace, since in found:
        if owner != f"{DOCUMENTS_OF}.{namespace}" or namespace in known:
            continue
        if since < defined_at:
            logger.warning("%s has no documents since the definitions were replaced; the objects there stay", namespace)
        else:
            removed.append(namespace)
    return removed


async def _inventories(api: ApiServer, documents: Documents) -> tuple[str, list[tuple[str, str, str]]] | None:
    """Return the time of the newest definition, and all inventories; None if they cannot be read now."""
    if documents.trouble is not None:
        return None
    try:
        return await documents.defined_at(), await inventories(api)
    except ClusterError as error:
        logger.warning("objects of deleted documents are not removed yet: %s", error.message)
        return None
