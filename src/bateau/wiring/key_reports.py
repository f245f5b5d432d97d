"""What the pages of the dashboard show of the keys of an instance, and what they change.

Called by ui.reports.
"""

import asyncio
from typing import Final

from bateau.control.key_report import KeysReport, KeyUse
from bateau.domain.api_key import ApiKey
from bateau.domain.errors import ControlError
from bateau.ports.clock import Clock
from bateau.wiring.budgets import Budgets
from bateau.wiring.keys import Keys

FRESH_S: Final = 2.0


class KeyReports:
    """The reports of one instance. One that says the same is the same object as before."""

    def __init__(self, keys: Keys, budgets: Budgets, clock: Clock) -> None:
        self._keys = keys
        self._budgets = budgets
        self._clock = clock
        self._latest: KeysReport | None = None
        self._made_at = 0.0
        self._stamp: tuple[int, int] | None = None

    async def now(self) -> KeysReport:
        """Return the latest report, which is made again if it is older than two seconds, or if a key has changed."""
        now, stamp, latest = self._clock.monotonic(), self._keys.stamp, self._latest
        if latest is None or now - self._made_at >= FRESH_S or stamp != self._stamp:
            made = await asyncio.to_thread(self._report)
            self._made_at, self._stamp = now, stamp
            latest = self._latest = latest if latest == made and latest else made
        return latest

    def _report(self) -> KeysReport:
        try:
            keyring, issuers, gate = self._keys.load(), self._keys.issuers(), self._keys.gate
        except ControlError as error:
            return KeysReport(trouble=error.message)
        now = self._clock.wall()
        return KeysReport(
            keys=tuple(self._use(key, now) for key in keyring.by_name.values()),
            required=keyring.required,
            open_to_all=keyring.open_to_all,
            has_issuers=bool(issuers),
            counts_concurrent=gate is not None,
        )

    def _use(self, key: ApiKey, now: float) -> KeyUse:
        spent, until = self._budgets.spent(key, now), self._budgets.refused_until(key.name, now)
        state = "expired" if key.is_expired(now) else "used up" if until else "active"
        return KeyUse(key=key, state=state, spent=None if spent is None else tuple(spent), until=until)
