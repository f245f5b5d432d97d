"""Encode values as JSON: the only place that defines the wire format of the control API.

Called by api and cli.
"""

import dataclasses
import json
from collections.abc import Sequence
from functools import cache
from pathlib import PurePath
from typing import TypeGuard

from bateau.api.trees import StatusTree, is_status
from bateau.domain.status import ServiceStatus, Status
from bateau.kit.json_value import SCALARS, Json, is_object


def encode(value: object) -> str:
    """Return a dataclass (or plain values) as JSON, in camelCase like the documents.

    >>> from bateau.domain.model_file import Progress
    >>> encode(Progress(reference="m", bytes_done=1, bytes_total=None))
    '{"reference": "m", "bytesDone": 1, "bytesTotal": null}'
    """
    return json.dumps(plain(value), ensure_ascii=False)


class StatusEncoder:
    """Encodes one status after another. The text of a service is reused while its status is the same object."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[ServiceStatus, str]] = {}  # by id(); the reference keeps the id from being reused

    def text(self, status: Status) -> str:
        """Return the same text as `encode`."""
        before, self._texts = self._texts, {}
        for service in status.services:
            self._texts[id(service)] = before.get(id(service)) or (service, encode(service))
        services = ", ".join(self._texts[id(service)][1] for service in status.services)
        fields = (
            (each.name, f"[{services}]" if each.name == "services" else encode(getattr(status, each.name)))
            for each in dataclasses.fields(status)
        )
        return f"{{{', '.join(f'{encode(_camel(name))}: {text}' for name, text in fields)}}}"


def status_tree(status: Status) -> StatusTree:
    """Return a status as plain values."""
    tree = plain(status)
    if not is_status(tree):
        raise TypeError("this is not a status")
    return tree


def plain(value: object) -> Json:
    """Return plain dicts and lists for dataclasses, with camelCase keys. Raises TypeError for a type without a form."""
    if isinstance(value, SCALARS):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_camel(f.name): plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if is_object(value):
        return {str(key): plain(item) for key, item in value.items()}
    if _is_sequence(value):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


@cache
def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
