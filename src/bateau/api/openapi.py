"""The OpenAPI document of the control API, generated from the types that the API validates requests with.

Called by cli.schema. A golden file shows every change of the document.
Source: OpenAPI Specification 3.1.

Only the paths, their summaries and their descriptions are written by hand.
"""

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping

from bateau import __version__
from bateau.api.requests import (
    ApplyRequest,
    LinkRequest,
    PreviewRequest,
    RestartRequest,
    RollbackRequest,
    SilenceRequest,
    UnsilenceRequest,
)
from bateau.domain.figures import Figures
from bateau.domain.status import Status
from bateau.kit.json_value import JsonObject
from bateau.kit.schema_docs import object_schema

_ERROR: JsonObject = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "hint": {"type": ["string", "null"]}},
    "required": ["error", "hint"],
}
_PLAIN: Mapping[object, JsonObject] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}


def openapi() -> JsonObject:
    """Return the document."""
    schemas: JsonObject = {}
    status = _schema(Status, schemas)
    query: JsonObject = {"in": "query", "required": False, "schema": {"type": "number", "minimum": 0}}
    after: JsonObject = {
        **query,
        "name": "after",
        "description": "Number of the snapshot that the client has: wait for a different one.",
    }
    wait: JsonObject = {
        **query,
        "name": "wait",
        "description": "Longest time to wait, in seconds. Absent, or more than 60: 60.",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bateau control API", "version": __version__},
        "paths": {
            "/v1/status": {
                "get": {
                    "summary": "The latest snapshot of the status.",
                    "parameters": [after, wait],
                    "responses": {
                        "200": _json("The snapshot.", status),
                        "503": _json("The control plane is starting.", _ERROR),
                    },
                }
            },
            "/v1/status/stream": {
                "get": {
                    "summary": "Every new snapshot, as Server-Sent Events.",
                    "responses": {"200": {"description": "Events.", "content": {"text/event-stream": {}}}},
                }
            },
            "/v1/figures": {
                "get": {
                    "summary": "Requests, errors, tokens, memory and CPU of each service in the last 30 seconds.",
                    "responses": {
                        "200": _json("The figures by service; null is not known.", _schema(Figures, schemas))
                    },
                }
            },
            "/v1/preview": _post("Show the effect of other specs on the running services.", PreviewRequest),
            "/v1/apply": _post("Make these specs the desired state.", ApplyRequest),
            "/v1/rollback": _post("Roll one service back.", RollbackRequest),
            "/v1/restart": _post("Replace every replica of one service, one after another.", RestartRequest),
            "/v1/dashboard/links": _post("Make a link that opens one session of the dashboard.", LinkRequest),
            "/v1/alerts": {
                "get": {
                    "summary": "The alerts that fire, those that have ended, the silences and the receivers.",
                    "responses": {"200": {"description": "The alerts.", "content": {"application/json": {}}}},
                }
            },
            "/v1/alerts/silence": _post("Keep alerts back for a while.", SilenceRequest),
            "/v1/alerts/unsilence": _post("End a silence.", UnsilenceRequest),
            "/v1/alerts/test": {
                "post": {
                    "summary": "Send a test alert to every receiver.",
                    "responses": {
                        "200": {"description": "How that went, by receiver.", "content": {"application/json": {}}}
                    },
                }
            },
            "/v1/stop": {
                "post": {
                    "summary": "Stop every service and the gateway, and exit.",
                    "responses": {"202": {"description": "The control plane is stopping."}},
                }
            },
            "/metrics": {
                "get": {
                    "summary": "The metrics of the instance, for Prometheus.",
                    "responses": {
                        "200": {"description": "Text exposition format 0.0.4.", "content": {"text/plain": {}}}
                    },
                }
            },
        },
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _post(summary: str, request: type) -> JsonObject:
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": object_schema(request)}}},
            "responses": {
                "200": {"description": "The operation succeeded.", "content": {"application/json": {}}},
                "400": _json("The request is malformed.", _ERROR),
                "409": _json("The control plane rejects the operation.", _ERROR),
                "500": _json("A bug in Bateau.", _ERROR),
            },
        }
    }


def _json(description: str, schema: JsonObject) -> JsonObject:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _schema(annotation: object, schemas: JsonObject) -> JsonObject:
    """Return the schema of a response type. Schemas of dataclasses are added to `schemas`."""
    if annotation in _PLAIN:
        return dict(_PLAIN[annotation])
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return _object(annotation, schemas)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"type": "string", "enum": [str(each.value) for each in annotation]}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(each, schemas) for each in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], schemas)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], schemas)}
    raise TypeError(f"a response contains {annotation!r}, which has no schema yet")


def _object(cls: type, schemas: JsonObject) -> JsonObject:
    if cls.__name__ not in schemas:
        schemas[cls.__name__] = {}  # a class that refers to itself ends the recursion here
        hints = typing.get_type_hints(cls)
        properties: JsonObject = {
            _camel(each.name): _schema(hints[each.name], schemas) for each in dataclasses.fields(cls)
        }
        says = (cls.__doc__ or "").strip().splitlines()[0]
        schemas[cls.__name__] = {
            "type": "object",
            "description": says,
            "properties": properties,
            "required": list(properties),
        }
    return {"$ref": f"#/components/schemas/{cls.__name__}"}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
