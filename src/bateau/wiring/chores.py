"""What a control plane does beside its loop.

It renews the certificate, rotates the ledger, acts on its lines, sends spans, and fetches the keys of issuers.

Called by cli.up.

Invariant: a chore that fails is reported once, is tried again, and changes nothing else. Held by
tests/wiring/test_chores.py.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from bateau.domain.errors import BateauError
from bateau.wiring.affinity import AffinityWatch
from bateau.wiring.issuers import REFRESH_S
from bateau.wiring.spans import SpanSender

if TYPE_CHECKING:
    from bateau.wiring.local import LocalPlatform

logger = logging.getLogger(__name__)

_CERTIFICATE_S: Final = 5.0
_BUDGETS_S: Final = 0.5
_KEYS_S: Final = 0.5
_SPANS_S: Final = 1.0


def chores(platform: "LocalPlatform") -> list[Coroutine[Any, Any, None]]:
    """Return the chores of a control plane, each of which never ends."""
    issuers = repeated(platform.issuers.refresh, every_s=REFRESH_S, wrong="the keys of issuers cannot be kept")
    found: list[Coroutine[Any, Any, None]] = [_account(platform), _follow_keys(platform), issuers]
    if certificate := platform.certificate:

        async def renew() -> None:
            await asyncio.to_thread(certificate.refresh)

        found.append(repeated(renew, every_s=_CERTIFICATE_S, wrong="the endpoint keeps its last certificate"))
    if platform.accounts.spans:
        found.append(_send(platform.accounts.spans))
    return found


async def _follow_keys(platform: "LocalPlatform") -> None:
    """Have the loop take a turn when a command has changed a key: it may have made room for one of the specs."""

    async def look() -> None:
        if platform.declared_keys.is_outdated:
            platform.control.wake()

    await repeated(look, every_s=_KEYS_S, wrong="keys of the specs are not admitted at the moment")


async def _account(platform: "LocalPlatform") -> None:
    """Rotate the ledger and read it, one after the other: a reader meets no file that is just renamed."""
    affinity = AffinityWatch(platform.accounts.ledger, platform.control)

    async def account() -> None:
        now = platform.clock.wall()
        try:
            await platform.accounts.rotate(platform.plane.reopen_logs, now=now)
        finally:
            await asyncio.to_thread(platform.accounts.keep, now)
        await affinity.keep(now)

    await repeated(account, every_s=_BUDGETS_S, wrong="usage is not accounted for at the moment")


async def _send(spans: SpanSender) -> None:
    async with spans.exporter() as exporter:
        await repeated(lambda: spans.send_new(exporter), every_s=_SPANS_S, wrong="spans are not sent at the moment")


async def repeated(chore: Callable[[], Awaitable[object]], *, every_s: float, wrong: str) -> None:
    """Do something every `every_s` seconds. An error is logged after `wrong`, again only if it changes."""
    reported = ""
    while True:
        try:
            await chore()
            reported = ""
        except (BateauError, OSError) as error:
            if str(error) != reported:
                logger.error("%s: %s", wrong, error)
                reported = str(error)
        except Exception as error:
            if repr(error) != reported:
                logger.exception("%s, because of a bug", wrong)
                reported = repr(error)
        await asyncio.sleep(every_s)
