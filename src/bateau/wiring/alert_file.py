"""Keep the alerts of an instance in a file, so that the next control plane continues with them.

Called by wiring.alerts.

Invariant: what was saved is what is loaded, and a damaged entry is dropped alone. Held by
tests/wiring/test_alert_file.py.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from bateau.control.alert_book import AlertBook
from bateau.domain.alert import Alert, Silence
from bateau.kit.json_value import ReadJson, ReadObject, array_at, is_object, object_at
from bateau.store.state_file import StateFile

logger = logging.getLogger(__name__)

_FORMAT: Final = 1
_T = TypeVar("_T", Alert, Silence)


class AlertFile:
    """The file. It is written when its content differs."""

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path)
        self._saved: ReadObject | None = None

    def load(self) -> AlertBook:
        """Return the alerts that were saved last; none if the file cannot be read."""
        tree = self._file.load()
        if not tree:
            return AlertBook()
        if tree.get("alerts_format") != _FORMAT:
            logger.error("the alerts are in a format that this version does not know, and begin again")
            return AlertBook()
        alerts = [each for entry in array_at(tree, "alerts") if (each := _made(Alert, entry))]
        silences = [each for entry in array_at(tree, "silences") if (each := _made(Silence, entry))]
        return AlertBook(
            alerts={each.key: each for each in alerts},
            ended=[each for entry in array_at(tree, "ended") if (each := _made(Alert, entry))],
            silences={each.id: each for each in silences},
            told={
                name: {key: float(at) for key, at in object_at(entries).items() if isinstance(at, int | float)}
                for name, entries in object_at(tree, "told").items()
            },
        )

    def save(self, book: AlertBook) -> None:
        """Write the alerts, if they differ. Raises ControlError."""
        tree: ReadObject = {
            "alerts_format": _FORMAT,
            "alerts": [_tree(each) for each in book.alerts.values()],
            "ended": [_tree(each) for each in book.ended],
            "silences": [_tree(each) for each in book.silences.values()],
            "told": {name: dict(told) for name, told in book.told.items()},
        }
        if tree != self._saved:
            self._file.save(tree)
            self._saved = tree


def _tree(value: Alert | Silence) -> ReadJson:
    return cast("Mapping[str, ReadJson]", asdict(value))


def _made(cls: type[_T], entry: object) -> _T | None:
    """Return the value of an entry, None if it is damaged."""
    made: _T | None = None
    if is_object(entry):
        with suppress(TypeError):
            made = cls(**cast("dict[str, Any]", entry))
    if made is None or _tree(made) != entry or not _has_types(made):
        logger.error("an entry of the alerts is damaged, and was dropped")
        return None
    return made


def _has_types(made: Alert | Silence) -> bool:
    """Whether texts are texts and times are numbers."""
    numbers = {"since", "held_at", "fired_at", "ended_at", "until", "created_at"}
    optional = {"service", "name", "fired_at", "ended_at"}
    for name, value in asdict(made).items():
        if value is None and name in optional:
            continue
        if not isinstance(value, (int, float) if name in numbers else str) or isinstance(value, bool):
            return False
    return True
