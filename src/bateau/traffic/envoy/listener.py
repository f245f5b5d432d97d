"""The listeners and their filters.

Called by traffic.envoy. It makes the front listener of all models with its filters, and one listener for each port of
an App.

Invariant: nothing that changes while Envoy runs is part of the front listener; its filters, routes, clusters and
endpoints come by discovery of their own, so no change of them drains a connection.
Refused: Lua for reading the body. It is cheaper on big bodies, but takes broken JSON and does not decode escapes.
"""

from typing import Any

from bateau.traffic.envoy.replies import ALL, BODY_BYTES_MAX, FRONT_ONLY, local_replies, status_filter

TYPE = "type.googleapis.com/"
MODEL_HEADER = "x-bateau-model"
METADATA_NAMESPACE = "bateau"
MISSING_MODEL = "-missing-"
INVALID_BODY = "-invalid-"
LOOPBACK = "127.0.0.1"
FRONT = "front"  # the listener, and its routes
# They read the model from the body, which Envoy buffers for that.
MODEL_FILTERS = ("envoy.filters.http.json_to_metadata", "envoy.filters.http.header_mutation")
RENAME_FILTER = "envoy.filters.http.transform"
# One URL space that is Bateau's: there is one way to write each path.
_OUR_PATHS = {
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "REJECT_REQUEST",
    "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
}
# An app's paths and headers are its own. Registries, object stores and proxies have %2F, //, %5C and .. in theirs.
_THEIR_PATHS = {
    "normalize_path": False,
    "merge_slashes": False,
    "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
    "common_http_protocol_options": {"headers_with_underscores_action": "ALLOW"},
}


def front_listener(address: str, port: int) -> dict[str, Any]:
    """Return the Listener that clients of models connect to."""
    discovered = [
        {
            "name": each["name"],
            "config_discovery": {"config_source": ads(), "type_urls": [each["typed_config"]["@type"]]},
        }
        for each in front_filters()
    ]
    config = {
        "rds": {"route_config_name": FRONT, "config_source": ads()},
        "local_reply_config": local_replies((*FRONT_ONLY, *ALL)),
        **_OUR_PATHS,
    }
    return {
        "name": FRONT,
        "address": socket_address(address, port),
        "per_connection_buffer_limit_bytes": BODY_BYTES_MAX,
        "filter_chains": [{"filters": [_http_connection_manager(FRONT, discovered, config)]}],
    }


def app_http_listener(name: str, port: int, *, route_config: dict[str, Any], metrics_name: str) -> dict[str, Any]:
    """Return the loopback listener of an App's http, grpc or websocket port: balanced by request, HTTP/1.1 and h2c."""
    config = {
        "route_config": route_config,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        # After an upstream's close Envoy would swallow a client's data for a second.
        "delayed_close_timeout": "0s",
        "local_reply_config": local_replies(ALL),
        **_THEIR_PATHS,
    }
    return {
        "name": name,
        "address": socket_address(LOOPBACK, port),
        "per_connection_buffer_limit_bytes": BODY_BYTES_MAX,
        "filter_chains": [{"filters": [_http_connection_manager(metrics_name, [], config)]}],
    }


def app_tcp_listener(name: str, port: int, *, cluster: str, metrics_name: str) -> dict[str, Any]:
    """Return the loopback listener of an App's tcp port: balanced by connection."""
    return {
        "name": name,
        "address": socket_address(LOOPBACK, port),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.tcp_proxy",
                        "typed_config": {
                            "@type": TYPE + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                            "stat_prefix": metrics_name,
                            "cluster": cluster,
                            "idle_timeout": "0s",
                        },
                    }
                ]
            }
        ],
    }


def socket_address(address: str, port: int) -> dict[str, Any]:
    """Return Envoy's form of a TCP address."""
    return {"socket_address": {"address": address, "port_value": port}}


def ads() -> dict[str, Any]:
    """Return the config source of everything that changes: the one ordered stream."""
    return {"ads": {}, "resource_api_version": "V3"}


def _http_connection_manager(name: str, filters: list[dict[str, Any]], more: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [*filters, _http_filter("router", "router.v3.Router", {})],
        # A prompt may take minutes before the first byte, and a stream may pause: silence has no limit. A client that
        # does not finish its headers is disconnected.
        "stream_idle_timeout": "0s",
        "request_headers_timeout": "10s",
        "access_log": _request_metrics(),
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "use_remote_address": True,
        "skip_xff_append": True,
        **more,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _http_filter(name: str, type_name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.http.{type_name}", **config},
    }


def front_filters() -> list[dict[str, Any]]:
    """Return the HTTP filters of the front listener, each a TypedExtensionConfig.

    They read `model` from the body into a header that routes match on; such a header of a client is overwritten.
    """

    def model(value: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {"metadata_namespace": METADATA_NAMESPACE, "key": "model"}
        return found if value is None else {**found, "value": value}

    rules = {
        "rules": [
            {
                "selectors": [{"key": "model"}],
                "on_present": model(),
                "on_missing": model(MISSING_MODEL),
                "on_error": model(INVALID_BODY),
            }
        ],
        # Anything else cannot be JSON that was meant for us. It also keeps web pages of other origins out: a browser
        # sends application/json across origins only after asking, and is not answered.
        "allow_content_types_regex": {"regex": "(?i)application/([\\w.+-]+\\+)?json.*"},
        "allow_empty_content_type": False,
    }
    mutation = {
        "append": {
            "header": {"key": MODEL_HEADER, "value": f"%DYNAMIC_METADATA({METADATA_NAMESPACE}:model)%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    }
    return [
        _http_filter("json_to_metadata", "json_to_metadata.v3.JsonToMetadata", {"request_rules": rules}),
        _http_filter(
            "header_mutation", "header_mutation.v3.HeaderMutation", {"mutations": {"request_mutations": [mutation]}}
        ),
        # Does nothing but on routes that rename the model.
        _http_filter("transform", "transform.v3.TransformConfig", {}),
    ]


def _request_metrics() -> list[dict[str, Any]]:
    """Count requests and time them by route, in Envoy: no log is read for it, and no Python is on the way.

    The route's name and not the model's as the client wrote it is the label, so that strangers can't make series.
    """
    tags = [{"name": "route", "value_format": "%ROUTE_NAME%"}]
    requests = {
        "stat": {"name": "requests", "tags": [*tags, {"name": "code", "value_format": "%RESPONSE_CODE%"}]},
        "value_fixed": 1,
    }
    duration = _histogram("request_duration", tags, "%DURATION%")
    # llama.cpp sends its headers at once, so the first byte of the BODY is the first token.
    first_token = _histogram("time_to_first_token", tags, "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:ms)%")
    model_was_read = {
        "metadata_filter": {
            "matcher": {
                "filter": METADATA_NAMESPACE,
                "path": [{"key": "model"}],
                "value": {"string_match": {"safe_regex": {"regex": "[a-z0-9].*"}}},
            },
            "match_if_key_not_found": False,
        }
    }
    return [
        _stats_logger({"counters": [requests], "histograms": [duration]}),
        {
            **_stats_logger({"histograms": [first_token]}),
            "filter": {"and_filter": {"filters": [status_filter(200), model_was_read]}},
        },
    ]


def _histogram(name: str, tags: list[dict[str, Any]], value: str) -> dict[str, Any]:
    return {"stat": {"name": name, "tags": tags}, "unit": "Milliseconds", "value_format": value}


def _stats_logger(stats: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "envoy.access_loggers.stats",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.access_loggers.stats.v3.Config",
            "stats_scope": {"prefix": "bateau"},
            **stats,
        },
    }
