"""The listeners and their filters.

Called by traffic.envoy, wiring.filters and wiring.keys. It makes the front listener of all models with its filters, and
one listener for each port of an App.

Invariant: filters, routes, clusters and endpoints are not part of the front listener. They come by discovery of their
own, so a change to them drains no connection. Held by tests/traffic/test_balancing.py and
tests/traffic/test_control_channel.py.
Refused: Lua for reading the body. It is cheaper for large bodies, but accepts invalid JSON and does not decode escapes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from bateau.domain.endpoint import Backend
from bateau.kit.json_value import ReadJson, ReadObject, text_at
from bateau.traffic.envoy.cors import cors_filter
from bateau.traffic.envoy.counters import (
    first_byte_log,
    first_token_log,
    native_request_log,
    request_log,
    usage_counters,
)
from bateau.traffic.envoy.dashboard import dashboard_filter
from bateau.traffic.envoy.hold import hold_filters, may_sleep
from bateau.traffic.envoy.key_filters import (
    AFTER_BODY,
    BEFORE_BODY,
    GATE,
    KEYS,
    LISTED,
    MODEL_TOKENS,
    OF_TOKENS,
    ON_CLUSTERS,
    TOKEN_CHAIN,
    discovered,
    in_file,
)
from bateau.traffic.envoy.model_limits import MODEL_REQUESTS, counted, model_requests_filter
from bateau.traffic.envoy.names import METADATA_NAMESPACE, MODEL_HEADER
from bateau.traffic.envoy.no_filter import FILTER_CHAIN, NO_FILTER
from bateau.traffic.envoy.remote import Remote, transport_socket
from bateau.traffic.envoy.replies import ALL, BODY_BYTES_MAX, FRONT_ONLY, front_replies, local_replies
from bateau.traffic.envoy.usage import (
    CALLER_FILTER,
    begun_log,
    caller_filter,
    ledger_log,
    native_begun_log,
    usage_filter,
)

TYPE = "type.googleapis.com/"
MISSING_MODEL = "-missing-"
INVALID_BODY = "-invalid-"
LOOPBACK = "127.0.0.1"
FRONT = "front"  # the listener, and its routes
REMOTE = "remote"  # the listener for other machines, with the same routes
INNER = "inner"  # the listener for the translator, with the same routes
# They read the model from the body, which Envoy buffers for that.
MODEL_FILTERS = ("envoy.filters.http.json_to_metadata", "envoy.filters.http.header_mutation")
RENAME_FILTER = "envoy.filters.http.transform"
_FORGED_FILTER: Final = "bateau.forged"
# The headers by which filters tell each other, and replicas, what they found out about a request.
_OWN_HEADERS: Final = "x-bateau-"
# The URL space of models is Bateau's own: each path has one spelling.
_OUR_PATHS = {
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "REJECT_REQUEST",
    # A replica may take such a header for another one, as CGI does. Some proxies add them, so the request passes.
    "common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"},
}
# Paths and headers belong to the app. Registries, object stores and proxies use %2F, //, %5C and `..` in paths.
_THEIR_PATHS = {
    "normalize_path": False,
    "merge_slashes": False,
    "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
    "common_http_protocol_options": {"headers_with_underscores_action": "ALLOW"},
}


@dataclass(frozen=True, kw_only=True)
class FrontSettings:
    """The settings of the front listeners.

    `key_filters` is the directory with the filters that check keys; without it, nobody needs a key. With `keys_by_ads`,
    the gateways of a cluster get these filters by discovery instead. `ledger` gets a
    line for each request; without it, none is written. `inner` is the socket of the listener for the translator.
    `library` is that of the native filter, which then does what Envoy's own filters do otherwise: see `gate`. It needs
    `key_filters`. Web pages of `origins` may use them.
    """

    key_filters: PurePath | None = None
    keys_by_ads: bool = False
    ledger: PurePath | None = None
    inner: PurePath | None = None
    library: PurePath | None = None
    origins: tuple[str, ...] = ()


def front_listener(address: str, port: int, *, front: FrontSettings) -> ReadObject:
    """Return the Listener that clients of models connect to."""
    return _front(FRONT, socket_address(address, port), {}, front)


def remote_listener(remote: Remote, *, front: FrontSettings) -> ReadObject:
    """Return the Listener for other machines: the same as the front listener, with TLS."""
    # Most systems let one socket take both families at `::`.
    address = socket_address(remote.address, remote.port, both_families=remote.address == "::")
    return _front(REMOTE, address, transport_socket(remote.certificate), front)


def inner_listener(front: FrontSettings) -> ReadObject:
    """Return the Listener for the translator: the same routes, for requests whose key was checked already.

    Only the user of this instance can open its socket, so the name of the key in a header is true.
    """
    address = {"pipe": {"path": str(front.inner), "mode": 0o600}}
    without = (_FORGED_FILTER, KEYS, *OF_TOKENS)
    return _front(INNER, address, {}, front, without=without, trusts_key=True)


def _front(
    name: str,
    address: ReadObject,
    transport: Mapping[str, ReadObject],
    front: FrontSettings,
    *,
    without: Collection[str] = (),
    trusts_key: bool = False,
) -> ReadObject:
    config = {
        "rds": {"route_config_name": FRONT, "config_source": ads()},
        "local_reply_config": front_replies((*FRONT_ONLY, *ALL)),
        **_OUR_PATHS,
    }
    if front.library:
        logs = [native_request_log(front.library)]
        chain = _native_chain(front, trusts_key=trusts_key)
    else:
        usage = [ledger_log(front.ledger)] if front.ledger else usage_counters() if front.keys_by_ads else []
        logs = [request_log(), first_token_log(), *usage]
        chain = [each for each in _front_chain(front) if text_at(each, "name") not in without]
    if front.key_filters:
        chain = [dashboard_filter(), *chain]
    if front.origins:
        chain = [cors_filter(front.origins), *chain]
    router: ReadObject = {"suppress_envoy_headers": True}
    if front.ledger:
        begun = native_begun_log(front.library, front.ledger) if front.library else begun_log(front.ledger)
        options = {"flush_upstream_log_on_upstream_stream": True}
        router = {**router, "upstream_log": [begun], "upstream_log_options": options}
    manager = _http_connection_manager(FRONT, chain, config, logs=logs, router=router)
    return {
        "name": name,
        "address": address,
        "per_connection_buffer_limit_bytes": BODY_BYTES_MAX,
        "filter_chains": [{"filters": [manager], **transport}],
    }


def _front_chain(front: FrontSettings) -> list[ReadObject]:
    """Return the HTTP filters in their order: who asks, then for which model, then what it cost."""
    others = {text_at(each, "name"): _by_ads(each) for each in _front_filters(front)}
    before, after = (_checks(names, front) for names in (BEFORE_BODY, AFTER_BODY))
    if CALLER_FILTER in others:
        # As soon as the key is known: requests that are refused after that are its own, too.
        names = [text_at(each, "name") for each in before]
        before.insert(names.index(KEYS) + 1 if before else 0, others.pop(CALLER_FILTER))
    chain = [others.pop(_FORGED_FILTER), *before]
    chain += [others.pop(name) for name in MODEL_FILTERS]
    return [*chain, *after, others.pop(MODEL_REQUESTS), *others.values()]


def _checks(names: Sequence[str], front: FrontSettings) -> list[ReadObject]:
    """Return the filters of these names that check keys, as far as there are some."""
    if front.keys_by_ads:
        return [discovered(name, ads()) for name in names if name in ON_CLUSTERS]
    directory = front.key_filters
    return [discovered(name, in_file(directory, name)) for name in names] if directory else []


def _native_chain(front: FrontSettings, *, trusts_key: bool) -> list[ReadObject]:
    """Return the HTTP filters in their order, with one for what `_front_chain` has ten for.

    Where the key in a header is true, a filter before it says so by metadata, which no client can send.
    """
    if front.key_filters is None:
        raise ValueError("the native filter has no directory to read its configuration from")
    others = {text_at(each, "name"): _by_ads(each) for each in _front_filters(front)}
    caller = others.pop(CALLER_FILTER, None)
    trusted = [caller] if caller and trusts_key else []
    names = (GATE, MODEL_TOKENS, LISTED) if trusts_key else (TOKEN_CHAIN, GATE, MODEL_TOKENS, LISTED)
    return [*trusted, *_checks(names, front), others.pop(MODEL_REQUESTS), *others.values()]


def _by_ads(filter_config: ReadObject) -> ReadObject:
    type_url = text_at(filter_config, "typed_config", "@type")
    return {
        "name": filter_config["name"],
        "config_discovery": {"config_source": ads(), "type_urls": [type_url, FILTER_CHAIN]},
    }


def app_http_listener(name: str, port: int, *, route_config: ReadObject, metrics_name: str) -> ReadObject:
    """Return the loopback Listener of an App's http, grpc or websocket port: HTTP/1.1 and h2c, balanced by request."""
    config = {
        "route_config": route_config,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        # Otherwise Envoy reads and drops a client's data for a second after the app has closed the connection.
        "delayed_close_timeout": "0s",
        "local_reply_config": local_replies(ALL),
        **_THEIR_PATHS,
    }
    manager = _http_connection_manager(metrics_name, [], config, logs=[request_log(), first_byte_log()])
    return {
        "name": name,
        "address": socket_address(LOOPBACK, port),
        "per_connection_buffer_limit_bytes": BODY_BYTES_MAX,
        "filter_chains": [{"filters": [manager]}],
    }


def app_tcp_listener(name: str, port: int, *, cluster: str, metrics_name: str) -> ReadObject:
    """Return the loopback Listener of an App's tcp port: balanced by connection."""
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


def socket_address(address: str, port: int, *, both_families: bool = False) -> ReadObject:
    """Return Envoy's form of a TCP address; with `both_families`, `::` takes IPv4 as well."""
    more = {"ipv4_compat": True} if both_families else {}
    return {"socket_address": {"address": address, "port_value": port, **more}}


def ads() -> ReadObject:
    """Return the ConfigSource of all discovered resources: the aggregated stream."""
    return {"ads": {}, "resource_api_version": "V3"}


def _http_connection_manager(
    name: str,
    filters: Sequence[ReadObject],
    more: ReadObject,
    *,
    logs: Sequence[ReadObject],
    router: ReadObject | None = None,
) -> ReadObject:
    config: dict[str, ReadJson] = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [
            *filters,
            _http_filter("router", "router.v3.Router", router or {}),
        ],
        # nginx sends its requests with HTTP/1.0 by default.
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        # A prompt may take minutes before the first byte, and a stream may pause: silence has no limit. A client that
        # does not finish its headers is disconnected.
        "stream_idle_timeout": "0s",
        "request_headers_timeout": "10s",
        "access_log": list(logs),
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "use_remote_address": True,
        "skip_xff_append": True,
        **more,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _http_filter(name: str, type_name: str, config: ReadObject) -> ReadObject:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.http.{type_name}", **config},
    }


def front_filters(front: FrontSettings, models: Sequence[Backend]) -> list[ReadObject]:
    """Return the HTTP filters of the front listeners that come over xDS, each a TypedExtensionConfig.

    Without the native filter, the first removes headers that only the gateway may set. Others copy `model` from the
    body into a header that routes match on. With a ledger, more of them read who asks and what the answer cost. A
    filter that none of the models needs is not there: a model has those that it may need from the beginning.
    """
    idle: set[str] = set()
    if not any(map(may_sleep, models)):
        idle |= {text_at(each, "name") for each in hold_filters()}
    if not any(map(_is_renamed, models)):
        idle.add(RENAME_FILTER)
    if not any(map(counted, models)):
        idle.add(MODEL_REQUESTS)
    found = {text_at(each, "name"): each for each in _front_filters(front, models)}
    return [{"name": name, "typed_config": NO_FILTER} if name in idle else each for name, each in found.items()]


def _is_renamed(model: Backend) -> bool:
    return model.external is None and (bool(model.aliases) or model.upstream_model not in (None, model.name))


def _front_filters(front: FrontSettings, models: Sequence[Backend] = ()) -> list[ReadObject]:
    """Return all of the filters that come over xDS, as if a model needed each."""
    # Has an effect only on routes that rename the model.
    rename = _http_filter("transform", "transform.v3.TransformConfig", {})
    of_models = [model_requests_filter(models), rename, *hold_filters()]
    if front.library:
        return [*([caller_filter()] if front.inner else []), *of_models]
    forged = {"remove_on_match": {"key_matcher": {"prefix": _OWN_HEADERS, "ignore_case": True}}}

    def model(value: str | None = None) -> ReadObject:
        found: dict[str, ReadJson] = {"metadata_namespace": METADATA_NAMESPACE, "key": "model"}
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
        # Other content types are not JSON. This also keeps web pages of other origins out: a browser sends
        # application/json to another origin only after a preflight request, which the gateway does not grant.
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
        {
            **_http_filter(
                "header_mutation", "header_mutation.v3.HeaderMutation", {"mutations": {"request_mutations": [forged]}}
            ),
            "name": _FORGED_FILTER,
        },
        _http_filter("json_to_metadata", "json_to_metadata.v3.JsonToMetadata", {"request_rules": rules}),
        _http_filter(
            "header_mutation", "header_mutation.v3.HeaderMutation", {"mutations": {"request_mutations": [mutation]}}
        ),
        *([caller_filter(), usage_filter(sums=front.keys_by_ads)] if front.ledger or front.keys_by_ads else []),
        *of_models,
    ]
