"""The configuration of parts of Envoy that are in the library of the native filter.

Called by traffic.envoy.counters, traffic.envoy.gate and traffic.envoy.usage.
"""

import json
from pathlib import PurePath

from bateau.kit.json_value import ReadObject


def module_config(library: PurePath) -> ReadObject:
    """Return the DynamicModuleConfig of a library."""
    return {
        "module": {"local": {"filename": str(library)}},
        # It has a thread, and counts that all of its configurations share.
        "do_not_close": True,
        # As that of the counters of requests: `time_to_first_token` is one of them.
        "metrics_namespace": "bateau",
    }


def text_config(tree: ReadObject) -> ReadObject:
    """Return the configuration that a library gets as a text in JSON."""
    return {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(tree)}
