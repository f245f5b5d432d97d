"""How long the requests for a model waited for their first byte, by what chose their replicas.

Called by api.route_json, cli.explain_route and control.affinity. Pure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal

from bateau.domain.used import Used

BalancedBy = Literal["prefix", "requests"]
KINDS: Final[Sequence[BalancedBy]] = ("prefix", "requests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Balanced:
    """Some requests: how many, the geometric mean of their times to first byte, and the cached share of their prompts.

    The last two are None if no answer said them.
    """

    requests: int
    first_byte_ms: float | None
    cached: float | None


def measured(used: Used) -> float | None:
    """Return the logarithm of the milliseconds to the first byte; None for a request that is not compared."""
    if used.balanced_by is None or used.first_byte_ms is None or used.status != HTTPStatus.OK:
        return None
    return math.log(max(1, used.first_byte_ms))


def balanced(requests: Iterable[Used], model: str) -> Mapping[str, Balanced]:
    """Return the requests for a model with affinity, by what chose their replicas."""
    found: dict[str, list[tuple[float, Used]]] = {kind: [] for kind in KINDS}
    for used in requests:
        log = measured(used)
        if log is not None and used.model == model and used.balanced_by in found:
            found[used.balanced_by].append((log, used))
    return {kind: _sum(each) for kind, each in found.items()}


def _sum(requests: Sequence[tuple[float, Used]]) -> Balanced:
    told = [(used.tokens_cached, used.tokens_in) for _, used in requests if used.tokens_in]
    known = [(cached, whole) for cached, whole in told if cached is not None]
    return Balanced(
        requests=len(requests),
        first_byte_ms=math.exp(sum(log for log, _ in requests) / len(requests)) if requests else None,
        cached=sum(cached for cached, _ in known) / sum(whole for _, whole in known) if known else None,
    )
