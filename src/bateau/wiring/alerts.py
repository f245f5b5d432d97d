"""Evaluate the rules of alerts, keep their states, and have them delivered.

Called by wiring.chores, wiring.cluster_alerts and wiring.local.

They are evaluated every 15 seconds, and at once after an event that may change one.

Invariant: after a restart of the control plane no alert is delivered again, and the end of none is lost. Held by
tests/wiring/test_alerts.py::test_a_restart_delivers_nothing_twice_and_loses_no_end.
Refused: a process of its own. It would need the state of the control plane, and so would stop with it anyway.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from bateau.control.alert_book import SILENCES_MAX
from bateau.control.alert_causes import cause_of
from bateau.control.alert_conditions import Facts, Verdict, Watched, verdicts
from bateau.control.alerting import alert_event, step
from bateau.control.live_history import LiveHistory
from bateau.control.loop import Control
from bateau.domain.alert import TEST, Alert, AlertBoard, Silence, Trial
from bateau.domain.alert_rules import RULES, Rule
from bateau.domain.errors import ControlError
from bateau.domain.event import Event
from bateau.domain.measures import INTERVAL_S, Measure, MeasureHistory, Point
from bateau.domain.status import Status
from bateau.kit.suggest import closest
from bateau.ports.alert_receiver import AlertReceiver
from bateau.ports.clock import Clock
from bateau.wiring.alert_delivery import Courier
from bateau.wiring.alert_facts import FactSources
from bateau.wiring.alert_file import AlertFile
from bateau.wiring.budgets import Budgets
from bateau.wiring.keys import Keys
from bateau.wiring.paths import Paths
from bateau.wiring.remote import EndpointCertificate
from bateau.wiring.reported import ReportedEach
from bateau.wiring.timeline import timeline_reader

EVENTS_MAX: Final = 1000
_PAUSE_S: Final = 0.5  # between two evaluations, however fast events come
_PAUSE_PART: Final = 10  # times as long as the last evaluation took
_AT_ONCE: Final = 200
_OWN: Final = ("AlertFiring", "AlertResolved", "DeliveryFailed")
_AFTER: Final = (
    "Restarted",
    "Ready",
    "SpecsAccepted",
    "Scaled",
    "Removed",
    "ClusterReachable",
)  # and after every warning
SILENCE_MAX_S: Final = 366 * 86_400.0


class Watching(Protocol):
    """What alerts are about: the services of an instance, or of a cluster, and the facts that no measure shows."""

    def services(self, status: Status | None) -> Sequence[Watched] | None:
        """Return the services that alerts watch; None while nobody knows which services should run."""
        ...

    def facts(self, status: Status | None, events: Sequence[Event], now: float) -> Facts:
        """Return all facts. One that cannot be determined is None."""
        ...

    def key_of(self, service: str) -> str:
        """Return the key of a service by its name. Raises ControlError."""
        ...

    def rules(self) -> Collection[str] | None:
        """Return the names of the rules that this control plane answers for now; None: for all."""
        ...


class Alerts:
    """The alerts of one instance or cluster. Satisfies `ports.events.Events`: it is a sink of events.

    `name` names it among others. `url` returns the address of the endpoint, for links. `tell` hands events to all
    sinks.
    """

    def __init__(
        self,
        where: Paths,
        receivers: Sequence[AlertReceiver],
        *,
        clock: Clock,
        name: str,
        url: Callable[[], str],
        rules: Sequence[Rule] = RULES,
    ) -> None:
        self.rules = rules
        self.tell: Callable[[Sequence[Event]], None] = lambda _: None
        self._clock = clock
        self._where = where
        self._url = url
        self._file = AlertFile(where.state / "alerts.json")
        self._book = self._file.load()
        self._book.keep_receivers(each.id for each in receivers)
        self.couriers = [
            Courier(each, self._book, clock, instance=name, url=url, save=self._save, tell=self._tell)
            for each in receivers
        ]
        self._events = deque[Event](_known_events(where), maxlen=EVENTS_MAX)
        self._wake = asyncio.Event()
        self._took_s = 0.0
        self._bugs = ReportedEach("cannot be evaluated")
        self._board = AlertBoard()
        self.history: MeasureHistory = NoHistory()
        self.sources: Watching | None = None
        self.status: Callable[[], Status | None] = lambda: None

    def watch(self, control: Control, keys: Keys, budgets: Budgets, *, certificate: EndpointCertificate | None) -> None:
        """Have the alerts be about this control plane."""
        self.status = lambda: control.snapshots.latest
        self.sources = FactSources(
            control=control,
            keys=keys,
            budgets=budgets,
            certificate=certificate,
            directories=(self._where.state, self._where.cache),
            failing=self.failing,
        )

    def emit(self, event: Event) -> None:
        """Take an event: it may be the cause of an alert, and may change one."""
        if event.reason in _OWN:
            return
        self._events.append(event)
        if event.warning or event.reason in _AFTER:
            self._wake.set()

    def board(self) -> AlertBoard:
        """Return the alerts, silences and receivers: the same object until one has changed."""
        now = self._clock.wall()
        silences = [each for each in self._book.silences.values() if now < each.until]
        found = AlertBoard(
            firing=self._book.shown(now),
            ended=tuple(self._book.ended),
            silences=tuple(sorted(silences, key=lambda each: (each.until, each.id))),
            receivers=tuple((each.receiver.name, each.error) for each in self.couriers),
        )
        if found != self._board:
            self._board = found
        return self._board

    def link(self, alert: Alert) -> str:
        """Return the address of the page of an alert."""
        return self._url() + alert.path

    def failing(self) -> Mapping[str, str]:
        """Return why receivers fail, by name."""
        return {each.receiver.name: each.error for each in self.couriers if each.error is not None}

    async def evaluate_on_time(self) -> None:
        """Wait until an evaluation is due, and evaluate: right after the measures were taken, or an event came."""
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL_S - self._clock.wall() % INTERVAL_S + _PAUSE_S):
                await self._wake.wait()
        self._wake.clear()
        # More events of the same cause follow. With many services, evaluations take a small part of the time.
        await asyncio.sleep(max(_PAUSE_S, _PAUSE_PART * self._took_s))
        began = self._clock.monotonic()
        await self.evaluate()
        self._took_s = self._clock.monotonic() - began

    async def evaluate(self) -> None:
        """Evaluate all rules now. Raises ControlError if the result cannot be saved."""
        if self.sources is None:
            return
        now, status, events = self._clock.wall(), self.status(), tuple(self._events)
        services, known = self.sources.services(status), self.sources.facts(status, events, now)
        own, rules = self.sources.rules(), self.rules
        if own is not None:
            rules = [each for each in rules if each.name in own]
            self._book.leave_others(own)
        found: list[Verdict] = []
        history = LiveHistory(self.history, status, events)
        for verdict in verdicts(rules, services, history, known, now, failed=self._bugs.failed):
            found.append(verdict)
            if len(found) % _AT_ONCE == 0:
                await asyncio.sleep(0)  # probes and the API need the event loop, too
        result = step(
            self._book.alerts,
            found,
            rules={each.name: each for each in self.rules},
            now=now,
            cause_of=lambda rule, alert: cause_of(rule, alert, events),
        )
        self._book.take(result.alerts, result.ended, now)
        try:
            self._save()
        finally:
            self.tell([alert_event(alert, now) for alert in (*result.fired, *result.ended)])

    def silence(self, *, service: str | None, name: str | None, for_s: float, why: str, by: str) -> Silence:
        """Keep the alerts of a service, of a rule, or of both back for a while. Raises ControlError."""
        if name is not None and name not in {each.name for each in self.rules}:
            near = closest(name, [each.name for each in self.rules])
            raise ControlError(f"no rule has the name {name}", hint=f"did you mean {near}?" if near else None)
        if service is not None and self.sources and service != "gateway/envoy":
            service = self.sources.key_of(service)
        if service is None and name is None:
            raise ControlError("a silence needs a service or an alert", hint="name one of them")
        if not 0 < for_s <= SILENCE_MAX_S:
            raise ControlError("a silence lasts between a second and a year", hint="use --for 2h")
        if len(self._book.silences) >= SILENCES_MAX:
            raise ControlError(f"there are {SILENCES_MAX} silences", hint="remove some: bateau alerts silences")
        now = self._clock.wall()
        made = Silence(
            id=secrets.token_hex(4), service=service, name=name, until=now + for_s, why=why, by=by, created_at=now
        )
        self._book.silences[made.id] = made
        self._save()
        about = " at ".join(each for each in (name, service) if each)
        self._tell(
            Event(
                when_s=now,
                subject=service or name or "",
                reason="AlertsSilenced",
                says=f"alerts of {about} are silenced for {for_s:,.0f} s: {why}",
                fields={"actor": by},
            )
        )
        return made

    def unsilence(self, silence: str) -> Silence:
        """End a silence. Raises ControlError."""
        if silence not in self._book.silences:
            raise ControlError(f"there is no silence {silence}", hint="`bateau alerts silences` lists them")
        ended = self._book.silences.pop(silence)
        self._save()
        return ended

    async def test(self) -> Sequence[Trial]:
        """Send a test alert to every receiver, and return how that went."""
        now = self._clock.wall()
        alert = Alert(
            name=TEST,
            subject="bateau",
            service=None,
            severity="warning",
            summary="this is a test of the delivery of alerts",
            description="Nothing needs to be done.",
            since=now,
            held_at=now,
            fired_at=now,
        )
        errors = await asyncio.gather(*(each.test(alert) for each in self.couriers))
        return [
            Trial(receiver=each.receiver.name, error=error) for each, error in zip(self.couriers, errors, strict=True)
        ]

    def _tell(self, event: Event) -> None:
        self.tell([event])

    def _save(self) -> None:
        self._file.save(self._book)


class NoHistory:
    """The history of an instance that keeps none: everything is unknown."""

    def services(self) -> Sequence[str]:
        """Return none."""
        return ()

    def points(self, service: str, measure: Measure, *, since: float, until: float, step_s: float) -> Sequence[Point]:
        """Return none."""
        del service, measure, since, until, step_s
        return ()

    def total(self, service: str, measure: Measure, *, since: float, until: float) -> float | None:
        """Return that it is unknown."""
        del service, measure, since, until
        return None

    def latest(self, service: str) -> Mapping[str, float]:
        """Return none."""
        del service
        return {}


def _known_events(where: Paths) -> Sequence[Event]:
    """Return the latest events that earlier control planes have written."""
    try:
        reader = timeline_reader(where)
        if reader is None:
            return ()
        try:
            return [each.event for each in reader.latest(EVENTS_MAX) if each.event.reason not in _OWN]
        finally:
            reader.close()
    except ControlError:
        return ()
