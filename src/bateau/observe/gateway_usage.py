"""Sum the counters of usage that the gateways of a cluster have.

Called by wiring.cluster_view and wiring.gateway_usage. Pure. The counters are those of `traffic.envoy.counters`, as an
Envoy writes them for Prometheus. They begin with each gateway.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

from bateau.domain.used import NO_KEY, NO_MODEL, Group, Sum, Summary
from bateau.observe.metrics import samples

By: TypeAlias = Literal["key", "model"]

FILTER: Final = "bateau.usage_"
_BEGINNING: Final = "envoy_bateau_usage_"
_ERROR: Final = 400
_FIELDS: Final = {
    "requests": "requests",
    "tokens_in": "tokens_in",
    "tokens_cached": "tokens_cached",
    "tokens_out": "tokens_out",
    "requests_without_tokens": "uncounted",
}
_GROUPS: Final[Mapping[By, Callable[[Mapping[str, str]], str]]] = {
    "key": lambda labels: labels.get("key") or NO_KEY,
    "model": lambda labels: labels.get("route") or NO_MODEL,
}


def gateway_usage(pages: Iterable[str], by: By) -> Summary:
    """Return the sums of all gateways by key or model. Costs are not known there.

    >>> page = 'envoy_bateau_usage_tokens_in{key="ci",route="shop/chat"} 7'
    >>> gateway_usage([page, page], "key").by["ci"].sum.tokens_in
    14
    """
    found, total = defaultdict[str, Sum](Sum), Sum()
    for page in pages:
        for name, labels, value in samples(page):
            field = _FIELDS.get(name.removeprefix(_BEGINNING)) if name.startswith(_BEGINNING) else None
            if field is None:
                continue
            is_error = field == "requests" and int(labels.get("code") or 0) >= _ERROR
            for each in (found[_GROUPS[by](labels)], total):
                setattr(each, field, getattr(each, field) + int(float(value)))
                each.errors += int(float(value)) if is_error else 0
    return Summary(by={name: Group(sum=each) for name, each in sorted(found.items())}, total=Group(sum=total))
