"""What a control plane does beside its loop.

It renews the certificate, rotates the ledger, acts on its lines, sends spans, measures the services, evaluates and
delivers alerts, and fetches the keys of issuers.

Called by cli.controller, cli.up and wiring.cluster_alerts.

Invariant: a chore that fails is reported once, is tried again, and changes nothing else. Held by
tests/wiring/test_chores.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from bateau.kit.ticks import tick
from bateau.wiring.issuers import REFRESH_S
from bateau.wiring.reported import Reported
from bateau.wiring.spans import SpanSender

if TYPE_CHECKING:
    from bateau.wiring.alerts import Alerts
    from bateau.wiring.local import LocalPlatform

_CERTIFICATE_S: Final = 5.0
_LEDGER_S: Final = 0.5
_KEYS_S: Final = 0.5
_SPANS_S: Final = 1.0
_DELIVERY_S: Final = 1.0


def chores(platform: "LocalPlatform") -> list[Coroutine[Any, Any, None]]:
    """Return the chores of a control plane, each of which never ends."""
    issuers = repeated(platform.issuers.refresh, every_s=REFRESH_S, wrong="the keys of issuers cannot be kept")
    found: list[Coroutine[Any, Any, None]] = [_account(platform), _follow_keys(platform), issuers, _measure(platform)]
    found += alert_chores(platform.alerts)
    if certificate := platform.certificate:

        async def renew() -> None:
            await asyncio.to_thread(certificate.refresh)

        found.append(repeated(renew, every_s=_CERTIFICATE_S, wrong="the endpoint keeps its last certificate"))
    if platform.accounts.spans:
        found.append(_send(platform.accounts.spans))
    return found


def alert_chores(alerts: "Alerts") -> list[Coroutine[Any, Any, None]]:
    """Return the chores of alerts: they are evaluated, and delivered to each receiver by itself."""
    wrong = "alerts are not evaluated at the moment"
    found: list[Coroutine[Any, Any, None]] = [repeated(alerts.evaluate_on_time, every_s=0.0, wrong=wrong)]
    for each in alerts.couriers:
        wrong = f"alerts cannot be delivered to {each.receiver.name} at the moment"
        found.append(repeated(each.deliver, every_s=_DELIVERY_S, wrong=wrong))
    return found


async def _follow_keys(platform: "LocalPlatform") -> None:
    """Have the loop take a turn when a command has changed a key: it may have made room for one of the specs."""

    async def look() -> None:
        if platform.declared_keys.is_outdated:
            platform.control.wake()

    await repeated(look, every_s=_KEYS_S, wrong="keys of the specs are not admitted at the moment")


async def _account(platform: "LocalPlatform") -> None:
    async def account() -> None:
        await platform.accounts.keep(platform.plane.reopen_logs)

    await repeated(account, every_s=_LEDGER_S, wrong="the ledger is not kept at the moment")


async def _measure(platform: "LocalPlatform") -> None:
    sampler = platform.measured.sampler
    await repeated(sampler.sample_on_time, every_s=0.0, wrong="services are not measured at the moment")


async def _send(spans: SpanSender) -> None:
    async with spans.exporter() as exporter:
        await repeated(lambda: spans.send(exporter), every_s=_SPANS_S, wrong=spans.wrong)


async def repeated(chore: Callable[[], Awaitable[object]], *, every_s: float, wrong: str) -> None:
    """Do something at each tick of `every_s` seconds. An error is logged after `wrong`, again only if it changes."""
    report = Reported(wrong)
    while True:
        try:
            await chore()
            report.is_over()
        except Exception as error:  # noqa: BLE001 - it is reported, and the next try comes
            report.failed(error)
        await tick(every_s)
