"""Hold the requests for a model that sleeps, until it has a cluster.

Called by traffic.envoy.

The route of a sleeping model names a cluster that does not exist. Envoy asks for it and holds the requests: that it
asks is what wakes the model. A bucket of tokens bounds how many requests wait.
Source: Envoy's "On-demand VHDS, S/RDS and CDS Updates" and "Local rate limit".

Invariant: a request that waits is answered by the model, or by a 503 within its time; one beyond the bound gets a 503
at once. Held by tests/traffic/test_sleep.py.
Refused: a proxy of our own that starts the model and passes the request on; it would be in the path of each request.
"""

from typing import Final

from bateau.domain.endpoint import Backend, Hold
from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.names import METADATA_NAMESPACE, XDS_CLUSTER

_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http."
_WAITING: Final = "bateau.waiting"
_ON_DEMAND: Final = "envoy.filters.http.on_demand"
_SAYS: Final = "hold"
# What the model waits for, as a command operator of Envoy.
SAYS: Final = f"%METADATA(ROUTE:{METADATA_NAMESPACE}:{_SAYS})%"
_LIMIT: Final = {"@type": f"{_TYPE}local_ratelimit.v3.LocalRateLimit", "stat_prefix": "waiting"}


def hold_filters() -> list[ReadObject]:
    """Return the HTTP filters that have an effect only on the routes of sleeping models."""
    return [
        {"name": _WAITING, "typed_config": _LIMIT},
        {"name": _ON_DEMAND, "typed_config": {"@type": f"{_TYPE}on_demand.v3.OnDemand"}},
    ]


def may_sleep(model: Backend) -> bool:
    """Whether a model sleeps now or later."""
    return model.hold is not None or model.generation is not None


def holding(service: str, hold: Hold) -> ReadObject:
    """Return the part of a route's typed_per_filter_config that holds the requests for a service."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}, "runtime_key": "bateau.waiting"}
    return {
        _WAITING: {
            **_LIMIT,
            "status": {"code": "ServiceUnavailable"},
            # A request takes one token. No request waits for longer than it takes to fill the bucket again.
            "token_bucket": {
                "max_tokens": hold.requests_max,
                "tokens_per_fill": hold.requests_max,
                "fill_interval": f"{hold.wait_s:.3f}s",
            },
            "filter_enabled": always,
            "filter_enforced": always,
        },
        _ON_DEMAND: {
            "@type": f"{_TYPE}on_demand.v3.PerRouteConfig",
            "odcds": {"source": _source(service), "timeout": f"{hold.wait_s:.3f}s"},
        },
    }


def _source(service: str) -> ReadObject:
    """Return the ConfigSource for the clusters of a service: a stream of its own.

    Envoy asks for no second cluster over such a stream before the first one is answered for, and two models may wake up
    at the same time. Over the stream of all other resources, it gives a first answer 15 s.
    """
    grpc = {
        "envoy_grpc": {"cluster_name": XDS_CLUSTER},
        "initial_metadata": [{"key": "x-bateau-service", "value": service}],
    }
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "api_config_source": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [grpc]},
    }


def told(hold: Hold) -> ReadObject:
    """Return the part of a route's metadata that says what its model waits for."""
    return {_SAYS: hold.says}
