"""Balance the requests for a model by their conversations: the policy of its cluster, in the native filter's library.

Called by traffic.envoy.clusters and wiring.filters.

The native filter computes what a conversation begins with (`native/gate/src/prefix.rs`), and names it in a header if
the route has affinity. The policy (`native/gate/src/balance.rs`) prefers the replica that this number leads to, unless
that one has one and a half times its share of the requests. A request without the header goes where fewest are in
flight.

Invariant: the turns of a conversation reach the same replica, while that one is not too busy. Held by
tests/traffic/test_affinity.py::test_the_turns_of_a_conversation_reach_one_replica.
Refused: `ring_hash` and `maglev`. Requests without a number would go to a random replica, and turning affinity off
would replace the cluster.
Refused: `override_host`. It does not look at the health of a replica, so one that drains would get new requests. The
override of a filter looks at it, but takes no unix sockets.
"""

from pathlib import PurePath

from bateau.kit.json_value import ReadObject

_TYPE = "type.googleapis.com/envoy.extensions.load_balancing_policies.dynamic_modules.v3."


def affinity_policy(library: PurePath) -> ReadObject:
    """Return the load balancing policy of a cluster, as a TypedExtensionConfig."""
    return {
        "name": "envoy.load_balancing_policies.dynamic_modules",
        "typed_config": {
            "@type": _TYPE + "DynamicModulesLoadBalancerConfig",
            "dynamic_module_config": {"module": {"local": {"filename": str(library)}}, "do_not_close": True},
            "lb_policy_name": "bateau.affinity",
        },
    }
