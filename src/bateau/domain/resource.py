"""How a kind of document appears in the API of a Kubernetes cluster: its names, its columns, and its CEL rules.

Made by specs.kinds, one value for each kind; read by specs.crds.

Paths are those of documents: `spec.source`, `spec.uses[]` for an item, `spec.ports.*` for a value of a mapping. The
empty path is the document.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Validation:
    """A CEL rule about the field at `on`, which is `self` in it, with its message.

    `field` is the path below `on` that an error names. `message_expression` is CEL that replaces `message`. The API
    server repeats a wrong value unless it is `concealed`.
    """

    on: str
    rule: str
    message: str
    field: str | None = None
    message_expression: str | None = None
    concealed: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of `kubectl get`. With `wide`, only `kubectl get --output wide` shows it."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Resource:
    """The names of a kind in the API, its columns and its rules.

    `limits` has, by path, `maxLength`, `maxItems` or `maxProperties`. The API server requires one wherever the cost of
    a rule depends on it. With `reported`, the controller writes conditions to documents that are not services, too.
    """

    plural: str
    short_name: str
    columns: tuple[Column, ...]
    validations: tuple[Validation, ...] = ()
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    reported: bool = False
