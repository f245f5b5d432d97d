"""The routes of the front listener and of apps, and the responses that need no replica.

Called by traffic.envoy.resources. Envoy tries routes in order and uses the first match.

Invariant: the gateway itself answers requests for an unknown model, with a body that is not JSON, or without a model.
llama.cpp would answer them with the model that it has, under any name. Held by tests/traffic/test_errors.py.
Invariant: only host names of this machine are served, so that a web page cannot reach models or apps by DNS rebinding.
Held by tests/traffic/test_errors.py::test_a_foreign_host_is_403 and
tests/traffic/test_apps.py::test_a_foreign_host_is_403_unless_the_app_serves_it.
"""

from collections.abc import Collection, Mapping, Sequence

from bateau.domain.endpoint import Backend
from bateau.domain.used import COUNTING
from bateau.kit.json_value import ReadJson, ReadObject, text_at
from bateau.traffic.envoy.answers import answer, get, safe_method
from bateau.traffic.envoy.anthropic_errors import MESSAGES, anthropic_error
from bateau.traffic.envoy.api_paths import EVENTS, HEALTH, HOME, MODEL_PATHS, TOKENIZE, WEBHOOK
from bateau.traffic.envoy.clusters import CONTROL_CLUSTER
from bateau.traffic.envoy.dashboard import dashboard_routes
from bateau.traffic.envoy.destinations import destination, may_overflow, remembered, tried_again
from bateau.traffic.envoy.hold import holding, told
from bateau.traffic.envoy.key_filters import ALL as KEY_FILTERS
from bateau.traffic.envoy.key_filters import KEY_HEADER
from bateau.traffic.envoy.listener import (
    FRONT,
    INVALID_BODY,
    MISSING_MODEL,
    MODEL_FILTERS,
    RENAME_FILTER,
    TYPE,
)
from bateau.traffic.envoy.model_limits import counted, named
from bateau.traffic.envoy.model_list import model_list_routes, no_such_model, there_is
from bateau.traffic.envoy.names import (
    AFFINITY,
    CHECKED_ROLES,
    FALLBACK,
    FULL_HEADER,
    GATEWAY_HEADER,
    METADATA_NAMESPACE,
    MODEL_HEADER,
    PLACES,
)
from bateau.traffic.envoy.openai_errors import invalid_request, json_content_type, plain_text
from bateau.traffic.envoy.replies import BODY_BYTES_MAX
from bateau.traffic.envoy.route_tree import route_tree
from bateau.traffic.envoy.tasks import other_tasks
from bateau.traffic.envoy.translated import LATER, translated_routes

_PATHS_SAY = (
    "OpenAI's API is below /v1/, Anthropic's is /v1/messages, Ollama's is below /api/, and the Open Inference Protocol "
    "is below /v2/; /metrics and /healthz are there too."
)
_ANY = "*"
_OF_APP = (
    "This port serves localhost only, and the Host header names another host. `spec.ports.NAME.hosts` of the App adds "
    "one."
)
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
# A generation may start again on another replica as long as the client has seen no byte of it.
_RETRY_ON = "connect-failure,refused-stream,reset-before-request,reset,retriable-status-codes"
# A request that an app may have processed is not repeated, unless its method is safe (RFC 9110, section 9.2.1).
_RETRY_ON_APP = "connect-failure,refused-stream,reset-before-request"
_RETRY_ON_APP_SAFE = f"{_RETRY_ON_APP},reset"
# Request headers that replicas do not get: keys end at the gateway, clients cannot choose a route by header, and
# filters cannot read compressed responses.
_REMOVED_REQUEST_HEADERS = ["authorization", "x-api-key", "accept-encoding", MODEL_HEADER, FULL_HEADER, KEY_HEADER]
# The name of a key is not a secret, and a translator needs it.
_REMOVED_BUT_KEY = [name for name in _REMOVED_REQUEST_HEADERS if name != KEY_HEADER]
# llama.cpp allows any origin; the gateway decides which origins may read responses. The name of the engine is nobody's
# business.
_REMOVED_RESPONSE_HEADERS = ["access-control-allow-origin", "access-control-allow-credentials", "server"]


def front_routes(
    models: Sequence[Backend],
    *,
    translator: Backend | None = None,
    on_machine: bool = True,
    hosts: Sequence[str] = (),
) -> ReadObject:
    """Return the RouteConfiguration of the front listener.

    On a machine it serves that machine's loopback and `hosts`, and passes the paths of the control API. With a
    `translator`, the paths of the APIs that no engine has go there.
    """
    others = {model.name: model for model in models}
    taken = others.keys()
    aliases = _aliases(models, taken)
    names = sorted((*taken, *aliases))
    nothing = answer(
        {"prefix": "/"},
        404,
        invalid_request(f"There is nothing at this path. {_PATHS_SAY}", code="unknown_path"),
        name="unknown",
    )
    missing, invalid, unknown = _missing(names), _invalid(), _refused(None, 404, no_such_model(names), name="unknown")
    by_model = {MISSING_MODEL: [*missing, nothing], INVALID_BODY: [*invalid, nothing]}
    by_model |= {name: [*model_routes(others[name], others=others), nothing] for name in others}
    by_model |= {alias: [*model_routes(model, alias, others=others), nothing] for alias, model in aliases.items()}
    general: list[ReadObject] = [
        {
            **answer({"path": HEALTH}, 200, {"status": "ok"}, name="healthz"),
            "typed_per_filter_config": _without(KEY_FILTERS),
        },
        # Ollama's clients look here for a server before anything else.
        {
            **answer(get(HOME), 200, {"name": "bateau", "says": _PATHS_SAY}, name="home"),
            "typed_per_filter_config": _without(KEY_FILTERS),
        },
        *(_control_routes() if on_machine else ()),
        *(_translated(translator) if translator else ()),
        *model_list_routes({**others, **aliases}),
        *_wrong_method(),
        *missing,
        *invalid,
        *unknown,
        nothing,
    ]
    return {
        "name": FRONT,
        "max_direct_response_body_size_bytes": 4 * 1024 * 1024,
        "virtual_hosts": [
            {
                "name": "this-machine",
                "domains": _domains(hosts) if on_machine else ["*"],
                "request_body_buffer_limit": BODY_BYTES_MAX,
                "matcher": route_tree(general, by_model, [*unknown, nothing]),
            },
            *([_other_hosts(_hosts_say(hosts))] if on_machine else []),
        ],
    }


def _missing(names: Sequence[str]) -> list[ReadObject]:
    """Return the answers for JSON that names no model; `names` are those that there are."""
    says = 'You must provide a model parameter: the request body is a JSON object with "model". ' + there_is(names)
    return _refused(MISSING_MODEL, 400, invalid_request(says, code="missing_model", param="model"), name="invalid")


def _invalid() -> list[ReadObject]:
    """Return the answers for a body that is not JSON."""
    says = "The request body could not be parsed as JSON; send a JSON object with content-type application/json."
    return _refused(INVALID_BODY, 400, invalid_request(says, code="invalid_json"), name="invalid")


def _control_routes() -> list[ReadObject]:
    """Return the paths that the gateway passes to the control API."""
    passed = [
        {
            "name": "-metrics-",
            "match": {"path": "/metrics"},
            "route": {"cluster": CONTROL_CLUSTER, "timeout": "10s"},
        },
        *(_webhook(name, path) for name, path in (("-webhook-", WEBHOOK), ("-events-", EVENTS))),
        *dashboard_routes(CONTROL_CLUSTER, _without((*MODEL_FILTERS, *KEY_FILTERS))),
    ]
    mark = {"header": {"key": GATEWAY_HEADER, "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return [{**route, "request_headers_to_add": [mark]} for route in passed]


def _webhook(name: str, path: str) -> ReadObject:
    return {
        "name": name,
        "match": {"path": path},
        # The gateway does not wait for a sender that stops in the middle of a request.
        "route": {"cluster": CONTROL_CLUSTER, "timeout": "10s", "idle_timeout": "10s"},
        # A delivery names no model, so Envoy does not buffer its body.
        # Its sender proves itself by a signature.
        "typed_per_filter_config": _without((*MODEL_FILTERS, *KEY_FILTERS)),
    }


def _translated(translator: Backend) -> list[ReadObject]:
    return translated_routes(translator, _without((*MODEL_FILTERS, *LATER)), _REMOVED_BUT_KEY)


def _domains(hosts: Sequence[str]) -> list[str]:
    names = dict.fromkeys((*_LOOPBACK_HOSTS, *hosts))
    return [form for host in names for form in (host, f"{host}:*")]


def _hosts_say(hosts: Sequence[str]) -> str:
    only = ", ".join(("localhost", *hosts))
    more = " `bateau up --host NAME` adds one." if hosts else ""
    return f"This gateway serves {only} only, and the Host header names another host.{more}"


def _other_hosts(says: str) -> ReadObject:
    """Return the answer to requests for a host that is not served."""
    error = invalid_request(says, code="host_not_allowed")
    return {
        "name": "other-hosts",
        "domains": [_ANY],
        "routes": [answer({"prefix": "/"}, 403, error, name="unknown")],
    }


def app_routes(name: str, *, cluster: str, hosts: Sequence[str]) -> ReadObject:
    """Return the inline RouteConfiguration of an App's listener: the requests for its hosts go to its replicas."""
    any_host = _ANY in hosts
    served: ReadObject = {
        "name": name,
        "domains": [_ANY] if any_host else _domains(hosts),
        "routes": [
            _app_route(name, cluster, {"prefix": "/", "headers": [safe_method()]}, _RETRY_ON_APP_SAFE),
            _app_route(name, cluster, {"prefix": "/"}, _RETRY_ON_APP),
        ],
    }
    return {"name": name, "virtual_hosts": [served] if any_host else [served, _other_hosts(_OF_APP)]}


def _app_route(name: str, cluster: str, match: ReadObject, retry_on: str) -> ReadObject:
    return {
        "name": name,
        "match": match,
        "route": {"cluster": cluster, "timeout": "0s", "idle_timeout": "0s", "retry_policy": _retries(retry_on)},
    }


def _aliases(models: Sequence[Backend], taken: Collection[str]) -> Mapping[str, Backend]:
    """Return the models by their other names. The name of a model, or the first alias of one, takes precedence."""
    found: dict[str, Backend] = {}
    for model in sorted(models, key=lambda each: each.name):
        for alias in model.aliases:
            if alias not in taken:
                found.setdefault(alias, model)
    return dict(sorted(found.items()))


def model_routes(model: Backend, alias: str | None = None, *, others: Mapping[str, Backend]) -> list[ReadObject]:
    """Return the Routes of one model, by its name or by an alias; `others` are all models, by name.

    They match its paths only: the tree has found them by the name.
    """
    full = [_model_route(model, alias, others, full=True)] if may_overflow(model, others) else []
    return [*other_tasks(model, alias), *full, _model_route(model, alias, others)]


def _model_route(model: Backend, alias: str | None, others: Mapping[str, Backend], *, full: bool = False) -> ReadObject:
    """Return the Route of a model, or with `full` that for requests for which it has no place."""
    is_full: ReadObject = {"headers": [{"name": FULL_HEADER, "present_match": True}]} if full else {}
    route: dict[str, ReadJson] = {
        **destination(model, others, full=full),
        "timeout": f"{model.routing.timeout_s or 0:g}s",
        "idle_timeout": "0s",
        "retry_policy": {**_retries(_RETRY_ON), **tried_again(model)},
    }
    found: dict[str, ReadJson] = {
        "name": model.name,
        "match": {**_paths(model), **is_full},
        "route": route,
        "request_headers_to_remove": _removed(model),
        "response_headers_to_remove": _REMOVED_RESPONSE_HEADERS,
    }
    if headers := remembered(model):
        found["request_headers_to_add"] = headers
    if limits := counted(model):
        route["rate_limits"] = list(limits)
    per_filter: dict[str, ReadJson] = {}
    upstream = model.upstream_model or model.name
    if upstream != (alias or model.name) and not model.external:
        per_filter[RENAME_FILTER] = _rename(upstream)
    about = named(model)
    if not model.external:  # an external API knows its own roles
        about = {**about, CHECKED_ROLES: "yes"}
    if model.affinity:
        about = {**about, AFFINITY: model.routing.affinity}
    places = model.hold.requests_max if model.hold else model.requests_max
    if places is not None:
        about = {**about, PLACES: str(places)}
    if may_overflow(model, others):
        about = {**about, FALLBACK: "yes"}
    if model.hold:
        per_filter |= holding(model.service, model.hold)
        about = {**about, **told(model.hold)}
    found["metadata"] = {"filter_metadata": {METADATA_NAMESPACE: about}}
    if per_filter:
        found["typed_per_filter_config"] = per_filter
    return found


def _paths(model: Backend) -> ReadObject:
    """Return the match of the paths that a model has. Only those of llama.cpp are known."""
    if model.engine == "llama.cpp":
        return {"safe_regex": {"regex": "|".join((*MODEL_PATHS, TOKENIZE))}}
    return {"prefix": "/v1/"}


def _removed(model: Backend) -> list[str]:
    """Return the headers that the replicas of a model do not get.

    Those of this instance may know the name of the key, which is also in the lines of the ledger about begun requests.
    """
    return _REMOVED_REQUEST_HEADERS if model.external else _REMOVED_BUT_KEY


def _rename(upstream_model: str) -> ReadObject:
    """Replace `model` in the request body, and nothing else."""
    return {
        "@type": TYPE + "envoy.extensions.filters.http.transform.v3.TransformConfig",
        "request_transformation": {
            "body_transformation": {
                "body_format": {"json_format": {"model": plain_text(upstream_model)}},
                "action": "MERGE",
            }
        },
    }


def _without(filters: Sequence[str]) -> ReadObject:
    """Return the typed_per_filter_config of a route whose requests do not pass some filters."""
    disabled = {"@type": TYPE + "envoy.config.route.v3.FilterConfig", "disabled": True}
    return dict.fromkeys(filters, disabled)


def _retries(retry_on: str) -> ReadObject:
    return {
        "retry_on": retry_on,
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.25s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": TYPE + "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }


def _header(value: str) -> ReadObject:
    return {"name": MODEL_HEADER, "string_match": {"exact": value}}


def _refused(model: str | None, status: int, error: ReadObject, *, name: str) -> list[ReadObject]:
    """Return the answers at every path that takes a model, in the shape of its API: for one value, or for any."""
    headers = [_header(model)] if model else []
    message = text_at(error, "error", "message")
    return [
        answer(
            {"path": path, "headers": headers},
            status,
            anthropic_error(message, status=status) if path.startswith(MESSAGES) else error,
            name=name,
        )
        for path in MODEL_PATHS
    ]


def _wrong_method() -> list[ReadObject]:
    post = {"name": ":method", "string_match": {"exact": "POST"}, "invert_match": True}
    error = invalid_request("This path takes POST requests only.", code="method_not_allowed")
    allow = {"header": {"key": "allow", "value": "POST"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    # The gateway of a cluster rejects one regular expression of this length.
    halves = (MODEL_PATHS[: -len(COUNTING)], COUNTING)
    matches = [{"safe_regex": {"regex": "|".join(paths)}, "headers": [post]} for paths in halves]
    return [
        {**answer(match, 405, error, name="unknown"), "response_headers_to_add": [*json_content_type(), allow]}
        for match in matches
    ]
