"""Send a span for each request of the ledger to a collector, also for those that ended while no control plane ran.

Called by wiring.accounts, wiring.chores and wiring.local.

The ledger is the queue: a few batches are in memory, and the next one is read when the collector has taken one. The
position behind the last batch that was taken is in a file. A span that was sent just before a kill is sent again, with
the same ids. An orderly end waits two seconds at most for a collector.

Invariant: while a collector is away, no request waits for it, no more memory is used, and no span of the last day is
lost. Held by tests/wiring/test_spans.py.
Refused: the tracer of Envoy. It works in the request path, loses spans while a collector is away, and writes numbers as
texts.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bateau.domain.errors import ControlError
from bateau.domain.used import Used
from bateau.kit.backoff import Backoff
from bateau.kit.visible import visible
from bateau.observe.otlp import Collector, Failed, OtlpExporter, Sent
from bateau.observe.spans import Span, parent_of, span_of
from bateau.ports.clock import Clock
from bateau.store.ledger import Ledger
from bateau.store.ledger_reader import Position, end_of, position_in
from bateau.store.state_file import StateFile
from bateau.wiring.keys import Keys
from bateau.wiring.paths import Paths
from bateau.wiring.usage import Owners

logger = logging.getLogger(__name__)

BATCH_MAX: Final = 512
# While so many spans or parts wait, the ledger keeps the others.
WAITING_MAX: Final = 4 * BATCH_MAX
PARTS_MAX: Final = 64
KEPT_S: Final = 86_400.0
_LAST_S: Final = 2.0
_FORMAT: Final = 1
_BACKOFF: Final = Backoff(initial_s=1.0, ceiling_s=60.0)
_PATIENCE_MAX_S: Final = 300.0  # whatever a collector asks for
_SENT, _REJECTED, _EXPIRED, _UNSAMPLED = "sent", "rejected", "expired", "unsampled"


@dataclass(frozen=True, slots=True)
class _Part:
    """The spans of some lines, and the position behind these."""

    spans: Sequence[Span]
    position: Position


class SpanSender:
    """The spans of one instance. A consumer of the ledger. `server` is the address of its endpoint."""

    wrong: str = "spans are not sent at the moment"
    lines_max: int = BATCH_MAX

    def __init__(
        self,
        collector: Collector,
        ledger: Ledger,
        file: StateFile,
        *,
        owners: Owners,
        clock: Clock,
        server: tuple[str, int],
    ) -> None:
        self._collector = collector
        self._ledger = ledger
        self._file = file
        self._owners = owners
        self._clock = clock
        self._server = server
        self._position: Position | None = None
        self._saved: object = None
        self._waiting = deque[_Part]()  # the feed adds parts in a thread, the sender removes those that are taken
        self._reported = ""
        self.failed_exports = 0
        self._outcomes = Counter[str]()

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many spans were sent, rejected by the collector, too old, or not wanted by their clients."""
        return {name: self._outcomes[name] for name in (_SENT, _REJECTED, _EXPIRED, _UNSAMPLED)}

    @property
    def waiting(self) -> int:
        """How many spans are in memory."""
        return sum(len(part.spans) for part in list(self._waiting))

    def begin(self, now: float) -> Position | None:
        """Return where the spans that wait end; None while enough of them wait. Raises ControlError and OSError."""
        del now
        if self._position is None:
            self._position = self._opened()
            self._save(self._position)  # from now on, requests that end while no control plane runs are new
        is_full = len(self._waiting) >= PARTS_MAX or self.waiting >= WAITING_MAX
        return None if is_full else self._position

    def take(self, requests: Sequence[Used], position: Position) -> None:
        """Have the spans of requests wait for the collector."""
        before, self._position = self._position, position
        if position == before:
            return
        owners = self._owners.of(requests)
        wanted = [used for used in requests if self._is_wanted(used)]
        spans = [span_of(used, owner=owners.get(used.key or ""), server=self._server) for used in wanted]
        self._waiting.append(_Part(spans, position))

    def settle(self, now: float, *, at_end: bool) -> None:
        """Nothing is done here: `send` takes as long as the collector does."""

    def close(self) -> None:
        """Nothing is left to write: the position moves with each batch that the collector takes."""

    def exporter(self) -> OtlpExporter:
        """Return a connection to the collector, to be opened."""
        return OtlpExporter(self._collector)

    async def send(self, exporter: OtlpExporter) -> None:
        """Send the spans that wait. Raises ControlError."""
        while batch := self._batch():
            await self._deliver(exporter, _spans(batch))
            await self._drop(batch)

    async def send_last(self, read: Callable[[], Awaitable[bool]]) -> None:
        """Send the spans that are left, once. The next control plane sends those that are not taken within a moment.

        `read` has the next requests taken, and returns whether there are more.
        """
        with suppress(ControlError, OSError, TimeoutError):
            async with asyncio.timeout(_LAST_S), self.exporter() as exporter:
                while await read() or self._waiting:
                    while batch := self._batch():
                        spans = self._fresh(_spans(batch))
                        if spans and not isinstance(await exporter.send(spans), Sent):
                            return
                        await self._drop(batch)

    def _batch(self) -> Sequence[_Part]:
        """Return the oldest parts that wait, as many as one batch may have."""
        found, count = list[_Part](), 0
        for part in list(self._waiting):
            count += len(part.spans)
            if found and count > BATCH_MAX:
                break
            found.append(part)
        return found

    async def _drop(self, batch: Sequence[_Part]) -> None:
        """Remove parts that were taken, and keep the position behind them."""
        for _ in batch:
            self._waiting.popleft()
        await asyncio.to_thread(self._save, batch[-1].position)

    def _is_wanted(self, used: Used) -> bool:
        """Whether the client records its trace, as OpenTelemetry's default sampler asks."""
        parent = parent_of(used)
        unsampled = parent is not None and not parent.sampled
        self._outcomes[_UNSAMPLED] += unsampled
        return not unsampled

    async def _deliver(self, exporter: OtlpExporter, spans: Sequence[Span]) -> None:
        """Send spans until the collector has taken or rejected them, or they are too old."""
        failures = 0
        while spans := self._fresh(spans):
            outcome = await exporter.send(spans)
            if isinstance(outcome, Sent):
                self._note_sent(outcome, len(spans))
                return
            self.failed_exports += 1
            if not outcome.again:
                self._outcomes[_REJECTED] += len(spans)
                self._report(f"rejects spans, which are lost: {outcome.why}")
                return
            failures += 1
            self._report(f"does not take spans now, which are sent later: {outcome.why}")
            await asyncio.sleep(_delay_s(outcome, failures))

    def _fresh(self, spans: Sequence[Span]) -> Sequence[Span]:
        oldest_ns = (self._clock.wall() - KEPT_S) * 1e9
        fresh = [span for span in spans if span.ended_ns >= oldest_ns]
        self._outcomes[_EXPIRED] += len(spans) - len(fresh)
        return fresh

    def _note_sent(self, outcome: Sent, count: int) -> None:
        rejected = min(outcome.rejected, count)
        self._outcomes[_REJECTED] += rejected
        self._outcomes[_SENT] += count - rejected
        if rejected:
            self._report(f"rejects spans, which are lost: {outcome.why or 'it does not say why'}")
        elif self._reported:
            logger.info("%s takes spans again", self._collector.shown)
            self._reported = ""

    def _report(self, says: str) -> None:
        """Log a failure, again only if it changes. The text of a collector is from another program."""
        if says != self._reported:
            logger.warning("%s %s", self._collector.shown, visible(says))
            self._reported = says

    def _save(self, position: Position) -> None:
        if position != self._saved:
            self._file.save({"spans_format": _FORMAT, "position": position})
            self._saved = position

    def _opened(self) -> Position:
        tree = self._file.load()
        position = position_in(tree) if tree.get("spans_format") == _FORMAT else None
        if position is None:
            if tree:
                logger.error("the position of the spans is in a format that this version does not know: it is not used")
            return end_of(self._ledger)
        return position


def sender_of(
    collector: Collector | None, where: Paths, ledger: Ledger, keys: Keys, *, clock: Clock, server: tuple[str, int]
) -> SpanSender | None:
    """Return what sends the spans of an instance, None without a collector."""
    if collector is None:
        return None
    file = StateFile(where.state / "spans.json")
    return SpanSender(collector, ledger, file, owners=Owners(keys), clock=clock, server=server)


def _spans(batch: Sequence[_Part]) -> Sequence[Span]:
    return [span for part in batch for span in part.spans]


def _delay_s(outcome: Failed, failures: int) -> float:
    return max(_BACKOFF.delay_s(failures), min(outcome.after_s or 0.0, _PATIENCE_MAX_S))
