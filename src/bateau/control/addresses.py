"""Where clients reach the services of a release.

Called by control.loop.
"""

import contextlib
from collections.abc import Mapping

from bateau.domain.release import Release
from bateau.domain.unit import Whereabouts
from bateau.ports.target import Target


def addresses_of(release: Release, target: Target, where: Whereabouts) -> Mapping[str, str]:
    """Return the URL of each service, by service key."""
    urls: dict[str, str] = {}
    for service in release.services:
        # The walk reports a bug with the same address as the failure of its service.
        with contextlib.suppress(Exception):
            address = target.address(service, where)
            urls.update({service.key: address.url} if address else {})
    return urls
