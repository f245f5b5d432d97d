"""Gather the facts that alerts depend on, and that no measure shows.

Called by wiring.alerts and wiring.cluster_alert_facts.

Invariant: a fact that cannot be determined is unknown, which ends no alert. Held by
tests/wiring/test_alert_facts.py::test_what_cannot_be_determined_is_unknown.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from bateau.control.alert_conditions import Facts, Seen, Watched
from bateau.control.declared import Excepted, excepted
from bateau.control.loop import Control
from bateau.control.naming import service_named
from bateau.control.path import models_needed
from bateau.control.troubles import Step
from bateau.domain.alert_rules import FactName
from bateau.domain.bounds import bounds_of
from bateau.domain.errors import BateauError
from bateau.domain.event import Event
from bateau.domain.status import ServiceState, Status
from bateau.domain.timeline import service_of
from bateau.domain.workload import Workload
from bateau.kit.quantity import approximate_bytes
from bateau.wiring.budgets import Budgets
from bateau.wiring.keys import Keys
from bateau.wiring.remote import EndpointCertificate

logger = logging.getLogger(__name__)

CERTIFICATE_S: Final = 14 * 86_400.0
KEY_S: Final = 7 * 86_400.0
EXCEPTION: Final = timedelta(days=7)
RECENT_S: Final = 600.0
DISK_SHARE_MIN: Final = 0.05
DISK_BYTES_MIN: Final = 512 * 2**20
_DAY_S: Final = 86_400.0
_READING: Final[tuple[Step, ...]] = ("read", "watch")


@dataclass(frozen=True, kw_only=True)
class FactSources:
    """What the facts are read from. `failing` returns why the receivers of alerts fail, by name."""

    control: Control
    keys: Keys
    budgets: Budgets
    certificate: EndpointCertificate | None
    directories: Sequence[Path]
    failing: Callable[[], Mapping[str, str]]

    def services(self, status: Status | None) -> Sequence[Watched] | None:
        """Return the services that alerts watch; None while nobody knows which services should run."""
        return watched(self.control, status)

    def facts(self, status: Status | None, events: Sequence[Event], now: float) -> Facts:
        """Return all facts. One that cannot be determined is None."""
        return facts(self, status, events, now)

    def key_of(self, service: str) -> str:
        """Return the key of a service by its name. Raises ControlError."""
        return service_named(service, self.control.release).key

    def rules(self) -> None:
        """Return None: an instance answers for all rules."""
        return


def watched(control: Control, status: Status | None) -> Sequence[Watched] | None:
    """Return the services that alerts watch; None while nobody knows which services should run."""
    if status is None or not control.desired.known or not control.counts.turns:
        return None
    states = {each.service: each.state for each in status.services}
    failing = {
        key for key, reference in models_needed(control.release).items() if reference in control.fetches.failures
    }
    return [
        watched_service(each, is_fetching=states[each.key] is ServiceState.PULLING or each.key in failing)
        for each in control.release.services
        if each.key in states
    ]


def watched_service(service: Workload, *, is_fetching: bool) -> Watched:
    """Return a service that alerts watch, with its bounds."""
    bounds = bounds_of(service)
    return Watched(
        key=service.key,
        slo=service.slo,
        is_fetching=is_fetching,
        cpu=bounds.cpu,
        memory=bounds.memory,
        queue=bounds.queue,
    )


def facts(sources: FactSources, status: Status | None, events: Sequence[Event], now: float) -> Facts:
    """Return all facts. One that cannot be determined is None."""
    control = sources.control
    found: dict[FactName, Callable[[], Sequence[Seen] | None]] = {
        "budget-used": lambda: _budgets(sources.budgets),
        "certificate-expires": lambda: _certificate(sources.certificate, now),
        "changed-files": lambda: _changed_files(status),
        "control-plane-fails": lambda: _troubles(control, reading=False),
        "delivery-failed": lambda: [Seen(subject=name, says=why) for name, why in sources.failing().items()],
        "disk-full": lambda: _disks(sources.directories),
        "exception-ends": lambda: _exceptions(control, now),
        "fetch-failed": lambda: _fetches(control),
        "key-expires": lambda: _keys(sources.keys, now),
        "out-of-memory": lambda: out_of_memory(events, now),
        "revision-held": lambda: _held(control),
        "source-failed": lambda: _troubles(control, reading=True),
        "specs-rejected": lambda: None if status is None or status.written is None else rejected(status),
    }
    return {name: known(name, look) for name, look in found.items()}


def known(name: FactName, look: Callable[[], Sequence[Seen] | None]) -> Sequence[Seen] | None:
    """Return what `look` returns, None if that fails."""
    try:
        return look()
    except (BateauError, OSError) as error:
        logger.warning("it is not known whether %s: %s", name, error)
        return None


def _budgets(budgets: Budgets) -> Sequence[Seen] | None:
    if budgets.refused is None:
        return None
    return [
        Seen(subject=f"key {key}", says=f"the budget of {period} is used up until {_when(until)}")
        for period, keys in sorted(budgets.refused.items())
        for key, until in sorted(keys.items())
    ]


def _certificate(certificate: EndpointCertificate | None, now: float) -> Sequence[Seen] | None:
    if certificate is None:
        return ()
    ends = certificate.ends_at
    if ends is None:
        return None
    return [Seen(subject="endpoint", says=f"it ends at {_when(ends)}")] if ends - now < CERTIFICATE_S else ()


def _changed_files(status: Status | None) -> Sequence[Seen] | None:
    if status is None:
        return None
    found: list[Seen] = []
    for service in status.services:
        changed = {file.path: file.how for each in service.replicas for file in each.changed_files or ()}
        if changed:
            says = ", ".join(f"{path} was {how}" for path, how in changed.items())
            found.append(Seen(subject=service.service, service=service.service, says=says))
    return found


def _troubles(control: Control, *, reading: bool) -> Sequence[Seen]:
    subject = "this instance" if reading else "control plane"
    says = [says for step, says in control.troubles.by_step.items() if (step in _READING) is reading]
    return [Seen(subject=subject, says="; ".join(dict.fromkeys(says)))] if says else ()


def _disks(directories: Sequence[Path]) -> Sequence[Seen]:
    found: dict[int, Seen] = {}
    for path in directories:
        place = next((each for each in (path, *path.parents) if each.exists()), path)
        usage = shutil.disk_usage(place)
        if usage.free < max(DISK_BYTES_MIN, min(DISK_SHARE_MIN * usage.total, 10 * DISK_BYTES_MIN)):
            says = f"{approximate_bytes(usage.free)} of {approximate_bytes(usage.total)} are free"
            found.setdefault(os.stat(place).st_dev, Seen(subject=str(path), says=says))  # noqa: PTH116 - its device
    return [*found.values()]


def _exceptions(control: Control, now: float) -> Sequence[Seen] | None:
    written = control.desired.written
    return None if written is None else ending_soon(excepted(written.policies), now)


def ending_soon(exceptions: Iterable[Excepted], now: float) -> Sequence[Seen]:
    """Return the policies with exceptions that end within a week."""
    today, found = datetime.fromtimestamp(now, UTC).date(), dict[str, list[str]]()
    for each in dict.fromkeys(exceptions):
        until = _date(each.until)
        if until is not None and today <= until <= today + EXCEPTION:
            found.setdefault(each.policy, []).append(f"that of {each.owner} holds until {until} ({each.reason})")
    return [Seen(subject=policy, says="; ".join(says)) for policy, says in found.items()]


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _fetches(control: Control) -> Sequence[Seen] | None:
    if not control.desired.known or not control.counts.turns:
        return None
    found: list[Seen] = []
    wanted = models_needed(control.release)
    here = control.fetches.here(wanted)
    for key, reference in wanted.items():
        failure = control.fetches.failures.get(reference)
        if failure:
            found.append(Seen(subject=key, service=key, says=failure.says))
        elif key not in here:
            found.append(
                Seen(subject=key, service=key, holds=None)
            )  # until it is here, another failure is not a new one
    return found


def _keys(keys: Keys, now: float) -> Sequence[Seen]:
    return [
        Seen(subject=f"key {each.name}", says=f"it ends at {_when(each.expires_at)}, and belongs to {each.owner}")
        for each in keys.load().by_name.values()
        if each.expires_at is not None and -_DAY_S < each.expires_at - now < KEY_S
    ]


def out_of_memory(events: Sequence[Event], now: float) -> Sequence[Seen]:
    """Return the services whose replicas have run out of memory lately."""
    found: dict[str, Seen] = {}
    for each in events:
        service = service_of(each)
        if service and each.reason == "OutOfMemory" and 0 <= now - each.when_s < RECENT_S:
            found[service] = Seen(subject=service, service=service, says=f"{each.subject}: {each.says}")
    return [*found.values()]


def _held(control: Control) -> Sequence[Seen]:
    return [
        Seen(subject=key, service=key, says=f"it is held at revision {revision}")
        for key, revision in sorted(control.desired.held.items())
    ]


def rejected(status: Status) -> Sequence[Seen]:
    """Return that the specs have errors, with the first one."""
    if not status.specs_rejected:
        return ()
    first = next((each for each in status.problems if each.severity == "error"), None)
    where = f"{first.where}: " if first and first.where else ""
    return [Seen(subject="specs", says=f"{where}{first.says}" if first else "")]


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
