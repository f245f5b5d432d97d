"""The routes of the APIs that no engine has, to the translator.

Called by traffic.envoy.routes.

The gateway checks the key. The translator answers by asking the gateway again, at a listener of its own, in the name of
that key, so that limits and the ledger see each request once.
"""

from typing import Final

from bateau.domain.endpoint import Backend
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.traffic.envoy.api_paths import TRANSLATED, TRANSLATED_ROOT
from bateau.traffic.envoy.clusters import cluster_name
from bateau.traffic.envoy.hold import holding, told
from bateau.traffic.envoy.key_filters import AFTER_BODY, BUDGETS, REQUESTS
from bateau.traffic.envoy.names import METADATA_NAMESPACE

# What the second request is checked for.
LATER: Final = (BUDGETS, REQUESTS, *AFTER_BODY)


def translated_routes(translator: Backend, without: ReadObject, removed: list[str]) -> list[ReadObject]:
    """Return the Routes to the translator. They pass by the filters in `without`, and drop the headers in `removed`."""
    per_filter: dict[str, ReadJson] = {**without}
    more: dict[str, ReadJson] = {}
    if translator.hold:
        per_filter |= holding(translator.service, translator.hold)
        more["metadata"] = {"filter_metadata": {METADATA_NAMESPACE: told(translator.hold)}}
    return [
        {
            "name": "-translated-",
            "match": match,
            "route": {
                "cluster": cluster_name(translator),
                "timeout": "0s",
                "idle_timeout": "0s",
                "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 3},
            },
            "typed_per_filter_config": per_filter,
            "request_headers_to_remove": removed,
            "response_headers_to_remove": ["server"],
            **more,
        }
        for match in (*({"prefix": prefix} for prefix in TRANSLATED), {"path": TRANSLATED_ROOT})
    ]
