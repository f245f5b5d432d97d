"""Sum the ledger for the pages of the dashboard, in a process that ends with the sums.

Called by wiring.usage_reports.

Invariant: the sums are those of `bateau usage` at the same time. Held by
tests/wiring/test_usage_reports.py::test_the_sums_are_those_of_bateau_usage.
Invariant: a ledger that takes too long is given up. Held by
tests/wiring/test_usage_reports.py::test_a_ledger_that_takes_too_long_is_given_up.
Refused: a thread of the control plane. It would hold the interpreter's lock while probes are due.
"""

import os
import pickle
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from bateau.domain.errors import BateauError
from bateau.domain.estimate import with_estimates
from bateau.domain.usage_report import LAST_S, Groups, Last, UsageReport
from bateau.domain.used import NO_KEY, NO_MODEL, By, Group, Sums, Used
from bateau.store.ledger import Ledger
from bateau.store.rates import RateFile

SECONDS_MAX: Final = 60.0
_LOOK: Final = 10_000  # requests between two looks at the clock
_NICENESS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A window of the ledger below the directory `state`. `owners` are those of the keys that exist.

    Requests that began before `cut_before` and have not ended were cut.
    """

    state: Path
    last: Last
    until: float
    cut_before: float
    owners: Mapping[str, str]


def usage_report(asked: Asked, *, seconds_max: float = SECONDS_MAX) -> UsageReport:
    """Return the report; one with a trouble if there are no sums."""
    since = asked.until - LAST_S[asked.last]
    try:
        return _sums(asked, since, time.monotonic() + seconds_max)
    except BateauError as error:
        trouble = error.message
    except OSError as error:
        trouble = f"the ledger cannot be read: {error.strerror}"
    except _TooLongError:
        trouble = f"the ledger of this time is too large for a page; `bateau usage --last {asked.last}` sums it"
    return UsageReport(last=asked.last, since=since, until=asked.until, trouble=trouble)


class _TooLongError(Exception):
    """The ledger takes too long to read."""


def _until(deadline: float, requests: Iterable[Used]) -> Iterator[Used]:
    for number, used in enumerate(requests):
        if number % _LOOK == 0 and time.monotonic() >= deadline:
            raise _TooLongError
        yield used


def _sums(asked: Asked, since: float, deadline: float) -> UsageReport:
    ledger, rates = Ledger(asked.state / "usage"), RateFile(asked.state / "rates.json").load()
    sums = Sums(get_args(By), owners=asked.owners, rates=rates)
    of_model, of_key = dict[str, dict[str, Group]](), dict[str, dict[str, Group]]()
    tokens = set[str]()
    read = ledger.read(since=since, until=asked.until + 1)
    requests = with_estimates(_until(deadline, read), lambda: ledger.cut(before=asked.cut_before))
    for used in requests:
        sums.add(used)
        key, model = used.key or NO_KEY, used.model or NO_MODEL
        for found, one, other in ((of_model, model, key), (of_key, key, model)):
            found.setdefault(one, {}).setdefault(other, Group()).add(used, rates)
        if used.key and used.owner:
            tokens.add(used.key)
    return UsageReport(
        last=asked.last,
        since=since,
        until=asked.until,
        by={by: sums.of(by) for by in get_args(By)},
        of_model=_sorted(of_model),
        of_key=_sorted(of_key),
        tokens=frozenset(tokens),
        damaged=ledger.damaged,
    )


def _sorted(found: Mapping[str, dict[str, Group]]) -> Mapping[str, Groups]:
    return {name: dict(sorted(groups.items())) for name, groups in sorted(found.items())}


def main() -> None:
    """Answer one request."""
    os.nice(_NICENESS)
    asked: Asked = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the control plane that has started it
    pickle.dump(usage_report(asked), sys.stdout.buffer)


if __name__ == "__main__":
    main()
