"""The listeners and their filters.

Called by resources: the front listener of all models with its filters, and one listener for each port of an App.

Invariant: nothing that changes while Envoy runs is part of the front listener; its filters, routes, clusters and
endpoints come by discovery of their own, so no change of them drains a connection.
Refused: Lua for reading the body. It is cheaper on big bodies, but takes broken JSON and does not decode escapes.
"""

from typing import Any

from bateau.traffic.envoy.openai_errors import error_body

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
# Bodies up to 20 MB must pass, and a body is buffered whole for reading the model and for retries.
BODY_BYTES_MAX = 32 * 1024 * 1024
RETRY_AFTER_S = 2


def front_listener(address: str, port: int) -> dict[str, Any]:
    """Return the Listener that clients of models connect to."""
    discovered = [
        {
            "name": each["name"],
            "config_discovery": {"config_source": ads(), "type_urls": [each["typed_config"]["@type"]]},
        }
        for each in front_filters()
    ]
    return {
        "name": FRONT,
        "address": socket_address(address, port),
        "per_connection_buffer_limit_bytes": BODY_BYTES_MAX,
        "filter_chains": [{"filters": [_http_connection_manager(FRONT, FRONT, discovered)]}],
    }


def app_http_listener(name: str, port: int, *, route_config: dict[str, Any], metrics_name: str) -> dict[str, Any]:
    """Return the loopback listener of an App's http, grpc or websocket port: balanced by request, HTTP/1.1 and h2c."""
    manager = _http_connection_manager(metrics_name, None, [])
    manager["typed_config"]["route_config"] = route_config
    manager["typed_config"]["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    # After an upstream's close Envoy would swallow a client's data for a second.
    manager["typed_config"]["delayed_close_timeout"] = "0s"
    return {
        "name": name,
        "address": socket_address(LOOPBACK, port),
        "per_connection_buffer_limit_bytes": BODY_BYTES_MAX,
        "filter_chains": [{"filters": [manager]}],
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


def _http_connection_manager(name: str, routes: str | None, filters: list[dict[str, Any]]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [*filters, _http_filter("router", "router.v3.Router", {})],
        # A prompt may take minutes before the first byte, and a stream may pause: no limit on silence. A client that
        # does not finish its headers is cut.
        "stream_idle_timeout": "0s",
        "request_headers_timeout": "10s",
        "local_reply_config": _local_replies(),
        "access_log": _request_metrics(),
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "use_remote_address": True,
        "skip_xff_append": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
    }
    if routes:
        config["rds"] = {"route_config_name": routes, "config_source": ads()}
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


def _local_replies() -> dict[str, Any]:
    """Map what Envoy answers by itself to OpenAI's error shape."""

    def reply(
        status: int, body: dict[str, Any], *, headers: dict[str, str] | None = None, only: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        by_status = _status_is(status)
        mapper: dict[str, Any] = {
            "filter": {"and_filter": {"filters": [by_status, only]}} if only else by_status,
            "body_format_override": {"json_format": body, "content_type": "application/json"},
        }
        if headers:
            mapper["headers_to_add"] = [
                {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                for key, value in headers.items()
            ]
        return mapper

    retry_after = {"retry-after": str(RETRY_AFTER_S)}
    return {
        "mappers": [
            reply(
                503,
                error_body(
                    "The control plane does not run, and metrics come from it. Models are served all the same.",
                    kind="server_error",
                    code="control_plane_down",
                ),
                headers=retry_after,
                only={"header_filter": {"header": {"name": ":path", "string_match": {"exact": "/metrics"}}}},
            ),
            reply(
                503,
                error_body(
                    "No replica of '%ROUTE_NAME%' can answer now (%RESPONSE_FLAGS%). Try again shortly; "
                    "`bateau status` says why.",
                    kind="server_error",
                    code="no_ready_replica",
                ),
                headers=retry_after,
            ),
            reply(
                413,
                error_body(
                    f"The request body is larger than {BODY_BYTES_MAX // 2**20} MiB.",
                    kind="invalid_request_error",
                    code="request_too_large",
                ),
            ),
            reply(
                504,
                error_body("The replica did not answer in time.", kind="server_error", code="timeout"),
                headers=retry_after,
            ),
            reply(
                502,
                error_body(
                    "The replica broke off its answer (%RESPONSE_FLAGS%).", kind="server_error", code="bad_gateway"
                ),
            ),
            reply(
                400,
                error_body(
                    "The gateway could not read the request (%RESPONSE_CODE_DETAILS%).",
                    kind="invalid_request_error",
                    code="bad_request",
                ),
                # Not for the routes' own answers, which are local replies too.
                only={"response_flag_filter": {"flags": ["DPE"]}},
            ),
        ]
    }


def _status_is(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"bateau.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


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
            "filter": {"and_filter": {"filters": [_status_is(200), model_was_read]}},
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
