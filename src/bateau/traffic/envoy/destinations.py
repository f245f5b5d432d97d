"""Where a route sends the requests for a model: to its replicas, in part to other models, or to another one instead.

Called by traffic.envoy.routes.

Envoy's clusters in groups of priorities: the first try goes to one of the first group, by weight, and each further try
to the next group. So a request for a model with a fallback is tried twice by its own replicas, and then twice by those
of the other. Source: envoy.extensions.router.cluster_specifiers.priority_group.v3.

Invariant: a model whose replicas are all gone is answered by its fallback. Envoy does not try again where a cluster has
no endpoint, so such a group is left out. Held by
tests/traffic/test_fallback.py::test_a_model_without_replicas_is_answered_by_its_fallback.
Refused: aggregate clusters and priorities of endpoints; what a provider must see would be that of the first cluster,
its key too.
"""

from collections.abc import Mapping
from typing import Final

from bateau.domain.endpoint import Backend
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.traffic.envoy.clusters import cluster_name

_TYPE: Final = "type.googleapis.com/envoy.extensions.router.cluster_specifiers.priority_group.v3."
_WHOLE: Final = 100
PATH_HEADER: Final = "x-bateau-path"  # as in addressed.lua
# Answers after which another replica is asked, and those after which another model is.
_BUSY: Final = (503,)
_FAILED: Final = (429, 502, 503, 504)


def destination(model: Backend, others: Mapping[str, Backend], *, full: bool = False) -> ReadObject:
    """Return the part of a RouteAction that names clusters; `others` are all models, by name.

    With `full`, the model has no place for the request, so its fallback answers.
    """
    fallback = others.get(model.routing.fallback or "")
    if model.hold or not (model.routing.split or fallback):
        return {"cluster": cluster_name(model)}
    own = [*_weighted(model, others)] if not full and (_answers(model) or not fallback) else []
    instead = [_weight(fallback, _WHOLE)] if fallback and _answers(fallback) else []
    groups = [clusters for clusters in (own, own, instead, instead) if clusters] or [[_weight(model, _WHOLE)]]
    config: ReadObject = {
        "@type": f"{_TYPE}PriorityGroupClusterSpecifier",
        "priority_groups": [{"name": f"{number}", "clusters": clusters} for number, clusters in enumerate(groups)],
    }
    name = "envoy.router.cluster_specifier_plugin.priority_group"
    return {"inline_cluster_specifier_plugin": {"extension": {"name": name, "typed_config": config}}}


def may_overflow(model: Backend, others: Mapping[str, Backend]) -> bool:
    """Whether a model has a bounded number of requests, and a fallback that can answer the others."""
    fallback = others.get(model.routing.fallback or "")
    return model.requests_max is not None and model.hold is None and fallback is not None and _answers(fallback)


def remembered(model: Backend) -> list[ReadObject]:
    """Return the headers that a route adds to its requests: their path, which an external API may change."""
    if not model.routing.others:
        return []
    return [{"header": {"key": PATH_HEADER, "value": "%REQ(:path)%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]


def tried_again(model: Backend) -> Mapping[str, ReadJson]:
    """Return the part of a RetryPolicy that says after which answers another cluster or replica is asked."""
    if model.hold or not model.routing.others:
        return {"retriable_status_codes": list(_BUSY)}
    codes = _FAILED if model.routing.fallback else _BUSY
    return {"retriable_status_codes": list(codes), "refresh_cluster_on_retry": True}


def _weighted(model: Backend, others: Mapping[str, Backend]) -> list[ReadObject]:
    """Return the clusters of a model and of those that get a part of its requests; it keeps what they cannot answer."""
    parts = [
        (others[name], percent) for name, percent in model.routing.split if name in others and _answers(others[name])
    ]
    rest = _WHOLE - sum(percent for _, percent in parts)
    return [*([_weight(model, rest)] if rest > 0 else []), *(_weight(other, percent) for other, percent in parts)]


def _weight(model: Backend, percent: int) -> ReadObject:
    return {"cluster_name": cluster_name(model), "weight": percent}


def _answers(model: Backend) -> bool:
    """Whether a request can be sent to a model now: one that sleeps is not woken by another one's requests."""
    if model.external:
        return True
    return model.hold is None and any(not endpoint.draining for endpoint in model.endpoints)
