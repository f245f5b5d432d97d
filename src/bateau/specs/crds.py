"""The CustomResourceDefinitions of all kinds, generated from the schemas of the specs.

Called by cli.schema and control.installation.
Source: kubernetes.io, apiextensions.k8s.io/v1; "API Conventions" for status and conditions.

Invariant: a document that the specs accept in its hydrated form is accepted by the API server. Held by
tests/cluster/test_crds.py.
Refused: files written by hand. They would differ from the schema after the first change of a field.
"""

import inspect
from typing import Final

from bateau.domain.dns_label import DNS_LABEL, DNS_LABEL_SAYS
from bateau.domain.resource import Column, Resource, Validation
from bateau.domain.spec import API_VERSION, Kind
from bateau.kit.json_value import Json, JsonObject, is_array
from bateau.kit.schema_structural import VALIDATIONS, structural_schema, text_rule
from bateau.specs.kinds import KINDS

_GROUP, _, _VERSION = API_VERSION.partition("/")
_COUNTS: Final = (  # those of a ReplicaSet
    Column(name="Desired", path=".spec.replicas", type="integer"),
    Column(name="Current", path=".status.replicas", type="integer"),
    Column(name="Ready", path=".status.readyReplicas", type="integer"),
)
_ANSWER: Final = (
    Column(name="Reason", path='.status.conditions[?(@.type=="Ready")].reason'),
    Column(name="Message", path='.status.conditions[?(@.type=="Ready")].message', wide=True),
)
_SCALE: Final[JsonObject] = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}
_AGE: Final = Column(name="Age", path=".metadata.creationTimestamp", type="date")


def custom_resource_definitions() -> list[JsonObject]:
    """Return one CustomResourceDefinition for each kind that clusters have."""
    return [_definition(kind, kind.resource) for kind in KINDS.values() if kind.resource]


def _definition(kind: Kind, resource: Resource) -> JsonObject:
    service = kind.to_workload is not None
    reported = service or resource.reported
    columns = [*resource.columns, *(_COUNTS if service else ()), *(_ANSWER if reported else ()), _AGE]
    version: JsonObject = {
        "name": _VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(each) for each in columns],
        "schema": {"openAPIV3Schema": _document(kind, resource)},
    }
    if reported:
        version["subresources"] = {"status": {}, **({"scale": _SCALE} if service else {})}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{_GROUP}", "labels": {"app.kubernetes.io/part-of": "bateau"}},
        "spec": {
            "group": _GROUP,
            "scope": "Namespaced" if service else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": resource.plural,
                "singular": kind.name.lower(),
                "shortNames": [resource.short_name],
                "categories": ["bateau"],
            },
            "versions": [version],
        },
    }


def _column(column: Column) -> JsonObject:
    shown: JsonObject = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**shown, "priority": 1} if column.wide else shown


def _document(kind: Kind, resource: Resource) -> JsonObject:
    """Return the schema of a document. Many must have a `spec`, because a rule without it is not evaluated."""
    extras = _extras(resource)
    name = text_rule(DNS_LABEL, DNS_LABEL_SAYS, of="self.metadata.name")
    own = extras.get("", {}).get(VALIDATIONS)
    properties: JsonObject = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}}},
        "spec": structural_schema(kind.schema, extras, at="spec"),
    }
    document: JsonObject = {
        "type": "object",
        "description": inspect.cleandoc(kind.schema.__doc__ or ""),
        "properties": properties,
        VALIDATIONS: [{**name, "fieldPath": ".metadata.name"}, *(own if is_array(own) else [])],
    }
    if kind.to_workload or resource.reported:
        properties["status"] = _status(counts=kind.to_workload is not None)
        document["required"] = ["spec"]
    return document


def _extras(resource: Resource) -> dict[str, JsonObject]:
    """Return the rules and the limits of a kind by path, as keywords of the schema."""
    extras: dict[str, JsonObject] = {path: {**limit} for path, limit in resource.limits.items()}
    rules: dict[str, list[Json]] = {}
    for each in resource.validations:
        rules.setdefault(each.on, []).append(_rule(each))
    for path, found in rules.items():
        extras.setdefault(path, {})[VALIDATIONS] = found
    return extras


def _rule(validation: Validation) -> JsonObject:
    rule: JsonObject = {"rule": validation.rule, "message": validation.message}
    if validation.field is not None:
        rule["fieldPath"] = f".{validation.field}"
    if validation.message_expression is not None:
        rule["messageExpression"] = validation.message_expression
    if validation.concealed:
        rule["reason"] = "FieldValueForbidden"  # the one reason whose message has no value
    return rule


def _status(*, counts: bool) -> JsonObject:
    """Return the schema of a status, by the API conventions of Kubernetes; with `counts`, that of a service."""
    count: JsonObject = {"type": "integer", "format": "int32", "minimum": 0}
    replicas: JsonObject = {
        "replicas": {**count, "description": "Number of replicas that exist."},
        "readyReplicas": {**count, "description": "Number of replicas that serve requests."},
        "selector": {"type": "string", "description": "Label selector of the replicas, for autoscalers."},
    }
    about, conditions = ("service", "`Ready`, `Progressing` and `Degraded`") if counts else ("document", "`Ready`")
    return {
        "type": "object",
        "description": f"The state of the {about}, as the controller of Bateau last observed it.",
        "properties": {
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "description": "Generation of the document that the status is about.",
            },
            **(replicas if counts else {}),
            "conditions": {
                "type": "array",
                "description": f"Conditions of the {about}: {conditions}.",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": _condition(),
            },
        },
    }


def _condition() -> JsonObject:
    """Return the schema of metav1.Condition."""
    return {
        "type": "object",
        "description": "One condition.",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": {
                "type": "string",
                "maxLength": 316,
                "pattern": "^([A-Za-z0-9][-A-Za-z0-9_.]*/)?[A-Za-z0-9][-A-Za-z0-9_.]*$",
                "description": "Type of the condition.",
            },
            "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "description": "Generation of the document that the condition is about.",
            },
            "lastTransitionTime": {
                "type": "string",
                "format": "date-time",
                "description": "Time at which `status` last changed.",
            },
            "reason": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                "description": "Reason for the last change, for programs.",
            },
            "message": {
                "type": "string",
                "maxLength": 32768,
                "description": "Details of the last change, for people.",
            },
        },
    }
