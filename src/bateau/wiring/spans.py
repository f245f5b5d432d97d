"""Send a span for each request of the ledger to a collector, also for those that ended while no control plane ran.

Called by wiring.accounts, wiring.chores and wiring.local.

The ledger is the queue: one batch is in memory, and the next one is read when the collector has taken this one. The
position behind the last batch that was taken is in a file. A span that was sent just before a kill is sent again, with
the same ids. An orderly end waits two seconds at most for a collector.

Invariant: while a collector is away, no request waits for it, no more memory is used, and no span of the last day is
lost. Held by tests/wiring/test_spans.py.
Refused: the tracer of Envoy. It works in the request path, loses spans while a collector is away, and writes numbers as
texts.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from bateau.domain.errors import ControlError
from bateau.domain.used import Used
from bateau.kit.backoff import Backoff
from bateau.kit.visible import visible
from bateau.observe.otlp import Collector, Failed, OtlpExporter, Sent
from bateau.observe.spans import Span, parent_of, span_of
from bateau.ports.clock import Clock
from bateau.store.ledger import Ledger
from bateau.store.ledger_reader import LedgerReader, end_of, position_in
from bateau.store.state_file import StateFile
from bateau.wiring.keys import Keys
from bateau.wiring.paths import Paths
from bateau.wiring.usage import Owners

logger = logging.getLogger(__name__)

BATCH_MAX: Final = 512
KEPT_S: Final = 86_400.0
_LAST_S: Final = 2.0
_FORMAT: Final = 1
_BACKOFF: Final = Backoff(initial_s=1.0, ceiling_s=60.0)
_PATIENCE_MAX_S: Final = 300.0  # whatever a collector asks for
_SENT, _REJECTED, _EXPIRED, _UNSAMPLED = "sent", "rejected", "expired", "unsampled"


class SpanSender:
    """The spans of one instance. `server` is the address of its endpoint."""

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
        self._reader: LedgerReader | None = None
        self._saved: object = None
        self._reported = ""
        self.failed_exports = 0
        self._outcomes = Counter[str]()

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many spans were sent, rejected by the collector, too old, or not wanted by their clients."""
        return {name: self._outcomes[name] for name in (_SENT, _REJECTED, _EXPIRED, _UNSAMPLED)}

    def exporter(self) -> OtlpExporter:
        """Return a connection to the collector, to be opened."""
        return OtlpExporter(self._collector)

    async def send_new(self, exporter: OtlpExporter) -> None:
        """Send the spans of all requests that are new in the ledger. Raises ControlError and OSError."""
        while True:
            spans = await asyncio.to_thread(self._next)
            await self._deliver(exporter, spans)
            await asyncio.to_thread(self._save)
            if self._reader is None or self._reader.at_end:
                return

    async def send_last(self) -> None:
        """Send the spans that are left, once. The next control plane sends those that are not taken within a moment."""
        self.close()
        with suppress(ControlError, OSError, TimeoutError):
            async with asyncio.timeout(_LAST_S), self.exporter() as exporter:
                while self._reader is None or not self._reader.at_end:
                    spans = self._fresh(await asyncio.to_thread(self._next))
                    if spans and not isinstance(await exporter.send(spans), Sent):
                        return
                    await asyncio.to_thread(self._save)

    def close(self) -> None:
        """Forget the position since the last batch that was taken."""
        if self._reader:
            self._reader.close()
            self._reader = None

    def _next(self) -> Sequence[Span]:
        """Return the spans of the next lines."""
        reader = self._reader
        if reader is None:
            reader = self._reader = self._opened()
            self._save()  # from now on, requests that end while no control plane runs are new
        requests = reader.read(BATCH_MAX)
        owners = self._owners.of(requests)
        wanted = [used for used in requests if self._is_wanted(used)]
        return [span_of(used, owner=owners.get(used.key or ""), server=self._server) for used in wanted]

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

    def _save(self) -> None:
        if self._reader and self._reader.position != self._saved:
            position = self._reader.position
            self._file.save({"spans_format": _FORMAT, "position": position})
            self._saved = position

    def _opened(self) -> LedgerReader:
        tree = self._file.load()
        if tree.get("spans_format") != _FORMAT:
            if tree:
                logger.error("the position of the spans is in a format that this version does not know: it is not used")
            return LedgerReader(self._ledger, end_of(self._ledger))
        return LedgerReader(self._ledger, position_in(tree))


def sender_of(
    collector: Collector | None, where: Paths, ledger: Ledger, keys: Keys, *, clock: Clock, server: tuple[str, int]
) -> SpanSender | None:
    """Return what sends the spans of an instance, None without a collector."""
    if collector is None:
        return None
    file = StateFile(where.state / "spans.json")
    return SpanSender(collector, ledger, file, owners=Owners(keys), clock=clock, server=server)


def _delay_s(outcome: Failed, failures: int) -> float:
    return max(_BACKOFF.delay_s(failures), min(outcome.after_s or 0.0, _PATIENCE_MAX_S))
