"""Where the ledger of an instance and the costs of its models are, who owns its keys, and what its engines counted.

Called by cli.explain_route, cli.usage, ui.reports and wiring.
"""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from bateau.domain.closure import EngineCounts
from bateau.domain.errors import ControlError
from bateau.domain.used import Used
from bateau.observe.metrics import samples
from bateau.runtimes.local.process import stat_of
from bateau.store.ledger import Ledger
from bateau.store.rates import RateFile
from bateau.wiring.keys import Keys
from bateau.wiring.paths import paths

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_TOKENS_IN = ("bateau_model_prompt_tokens_total", "bateau_model_prompt_tokens_cached_total")
_TOKENS_OUT = "bateau_model_generated_tokens_total"
# A request that has not ended for so long was cut, if nobody can say whether its gateway still runs.
PATIENCE_S = 3600.0
_IN_FLIGHT = ("bateau_model_requests_processing", "bateau_model_requests_waiting")


def ledger_of(instance: str, environ: Mapping[str, str]) -> Ledger:
    """Return the ledger of an instance, whether it runs or not."""
    return Ledger(paths(instance, environ).state / "usage")


def opened_ledger(instance: str, environ: Mapping[str, str]) -> Ledger:
    """Return the ledger of an instance, with its file. Raises ControlError if it cannot be written."""
    ledger = ledger_of(instance, environ)
    try:
        ledger.open()
    except OSError as error:
        raise ControlError(
            f"cannot write {ledger.path}: {error.strerror}", hint="free some space, or set XDG_STATE_HOME"
        ) from error
    return ledger


def rate_file_of(instance: str, environ: Mapping[str, str]) -> RateFile:
    """Return the file with the costs of an instance's models."""
    return RateFile(paths(instance, environ).state / "rates.json")


def owners_of(instance: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the owners of the keys that exist, by key: a service owns its own. Raises ControlError."""
    return _owners(Keys(instance, environ))


class Owners:
    """The owners of keys, which are read again if they have changed."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._stamp: tuple[int, int] | None = None
        self._known: Mapping[str, str] = {}

    def of(self, requests: Iterable[Used]) -> Mapping[str, str]:
        """Return the owners of all keys, read again for these requests if need be; the last ones if that fails."""
        stamp = self._keys.stamp
        if stamp != self._stamp or any(used.key is not None and used.key not in self._known for used in requests):
            with suppress(ControlError):
                self._known = _owners(self._keys)
                self._stamp = stamp
        return self._known


def _owners(keys: Keys) -> Mapping[str, str]:
    return {key.name: key.owner or "(no owner)" for key in (*keys.of_services(), *keys.load().by_name.values())}


def began(pids: Iterable[int | None]) -> Mapping[int, float]:
    """Return when each process that still runs began, in seconds since the epoch, by its number.

    It is counted back from now. The time of the boot, which psutil adds to, is in whole seconds, and of a clock that
    was set since then.
    """
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    stats = {pid: stat_of(pid) for pid in pids if pid is not None}
    return {pid: booted + stat.start_ticks / _TICKS_PER_S for pid, stat in stats.items() if stat}


def gateways_began(pids: Iterable[int | None], *, otherwise: float) -> float:
    """Return when the oldest of the gateway's processes that run began: what it has not ended before was cut."""
    return min(began(pids).values(), default=otherwise)


def engine_counts(page: str, *, since: Mapping[str, float]) -> list[EngineCounts]:
    """Return what the engines of replicas have counted, from the metrics page of their instance.

    `since` says for each replica when its process began.
    """
    by_replica: dict[str, dict[str, float]] = {}
    for name, labels, value in samples(page):
        if name.startswith("bateau_model_") and "replica" in labels:
            by_replica.setdefault(labels["replica"], {})[name] = float(value)
    return [
        EngineCounts(
            replica=replica,
            since=time,
            tokens_in=_whole(by_replica.get(replica, {}), *_TOKENS_IN),
            tokens_out=_whole(by_replica.get(replica, {}), _TOKENS_OUT),
            in_flight=_whole(by_replica.get(replica, {}), *_IN_FLIGHT) or 0,
        )
        for replica, time in since.items()
    ]


def _whole(counts: Mapping[str, float], *names: str) -> int | None:
    """Return the sum of counters, None if one is not there."""
    found = [counts.get(name) for name in names]
    known = [value for value in found if value is not None]
    return round(sum(known)) if len(known) == len(found) else None
