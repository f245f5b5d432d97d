"""Follow a bundle in a registry as the desired state of a cluster: the agent of the cluster needs no repository.

Called by wiring.controller and wiring.following.

Invariant: a bundle that cannot be fetched, is damaged, is for another environment or has a newer format is reported,
retried, and changes nothing. Held by tests/wiring/test_followed_bundle.py and tests/wiring/test_bundle_controller.py.
Invariant: the registry is asked for a bundle only when the tag has another digest. Held by
tests/wiring/test_followed_bundle.py.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Final

from bateau.control.bundled import Origin
from bateau.control.declared import Declared
from bateau.control.deliveries import Deliveries
from bateau.domain.errors import BateauError, ControlError, SourceUnreachable
from bateau.kit.backoff import Backoff
from bateau.sources.bundles import digest_of, fetch
from bateau.sources.http import is_loopback
from bateau.sources.oci import Reference
from bateau.sources.settings import Settings
from bateau.wiring.declaring import Declaring

logger = logging.getLogger(__name__)

_INTERVAL_S: Final = 30.0
_LOCAL_INTERVAL_S: Final = 2.0
_RETRY: Final = Backoff(initial_s=1.0, ceiling_s=60.0)
_RETRY_AFTER_S_MAX: Final = 300.0


class FollowedBundle:
    """The bundle of a reference. Satisfies `ports.texts.Texts` and `wiring.followed_history.Source`.

    `environment` is the wanted one; None takes that of the first bundle. `failures` counts those before it was read.
    """

    def __init__(
        self,
        reference: Reference,
        settings: Settings,
        declaring: Declaring,
        *,
        environment: str | None,
        interval_s: float | None = None,
    ) -> None:
        """Follow `reference`. A registry on this machine is polled more often, like a repository on its disk."""
        host = re.sub(r":\d+$", "", reference.repository.host).strip("[]")
        self.reference = reference
        self.failures = 0
        self.trouble: str | None = None
        self._settings = settings
        self._declaring = declaring
        self._environment = environment
        self._interval_s = interval_s or (_LOCAL_INTERVAL_S if is_loopback(host) else _INTERVAL_S)
        self._first: Origin | None = None
        self._digest = ""
        self._data = b""
        self._held: frozenset[str] = frozenset()
        self._is_cut = False  # the last look at the registry has failed
        self._pause_s = 0.0  # that the registry asks for

    @property
    def place(self) -> str:
        """The reference, with the digest of its bundle."""
        return str(replace(self.reference, digest=self._digest or self.reference.digest))

    @property
    def commit_id(self) -> None:
        """None: the bundle has to be read for its commit."""
        return

    async def open(self) -> Origin:
        """Fetch and read the first bundle, and try until that succeeds."""
        while True:
            try:
                await self._look()
                self._first = await self._declaring.origin(self._data, self._name, self._environment)
            except BateauError as error:
                self.failures += 1
                says = f"{error.message} ({error.hint})" if error.hint else error.message
                if says != self.trouble:
                    logger.error("%s: %s", self.reference, says)
                self.trouble = says
                await asyncio.sleep(max(_RETRY.delay_s(self.failures, seed=self._name), self._pause_s))
            else:
                self.trouble = None
                return self._first

    def read(self) -> Mapping[str, str]:
        """Return the digest of the last bundle that was fetched, by its reference."""
        return {str(self.reference): self._digest}

    async def changes(self) -> AsyncIterator[None]:
        """Yield when there is another bundle, and when the registry answers again. Raises the SourceError family."""
        while True:
            await asyncio.sleep(self._pause_s if self._is_cut else self._interval_s)
            was_cut, self._is_cut = self._is_cut, True
            is_new = await self._look()
            self._is_cut = False
            if is_new or was_cut:
                yield

    async def declare(self, _texts: Mapping[str, str], deliveries: Deliveries, /) -> Declared:
        """Declare the last bundle that was fetched, without the services that a rollback holds. Raises ControlError."""
        if self._first is None:
            raise ControlError(f"{self.reference} was not read yet")
        declared = await self._declaring.bundle(self._data, self._name, deliveries, self._first)
        for key in declared.pins.keys() - self._held:
            logger.warning("%s", declared.refused[key])
        self._held = frozenset(declared.pins)
        return declared

    @property
    def _name(self) -> str:
        return str(self.reference)

    async def _look(self) -> bool:
        """Fetch the bundle if it is another one; return whether it is. Raises the SourceError family."""
        try:
            digest = await digest_of(self.reference, self._settings)
            if digest == self._digest:
                return False
            self._data = await fetch(replace(self.reference, digest=digest), self._settings)
            self._digest = digest
        except SourceUnreachable as error:
            self._pause_s = min(error.retry_after_s or 0.0, _RETRY_AFTER_S_MAX)
            raise
        self._pause_s = 0.0
        logger.info("following %s", self.place)
        return True
