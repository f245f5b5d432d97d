"""Keep the failures of the control loop that concern no single service: one reason per step, until that step works.

Called by control.declared_keys, control.loop and wiring.alert_facts.

Invariant: a reason is logged once, and shown until its own step has worked, and no longer. Held by
tests/control/test_contained.py::test_the_reason_of_a_failed_turn_is_shown_until_a_turn_works.
"""

import logging
from collections.abc import Mapping
from typing import Literal

from bateau.domain.errors import BateauError, bug

logger = logging.getLogger(__name__)

Step = Literal["turn", "ports", "keys", "read", "watch", "status"]


class Troubles:
    """The reasons by step."""

    def __init__(self) -> None:
        self._says: dict[Step, str] = {}

    @property
    def says(self) -> tuple[str, ...]:
        """The reasons, each once, oldest first. Without that of the status, which is not there to show it."""
        return tuple(dict.fromkeys(says for step, says in self._says.items() if step != "status"))

    @property
    def by_step(self) -> Mapping[Step, str]:
        """The reasons by step."""
        return dict(self._says)

    def report(self, step: Step, error: Exception) -> None:
        """Keep a failure, and log it if it is new."""
        is_expected = isinstance(error, BateauError)
        says = error.message if is_expected else f"{bug(error)}; Bateau retries, and the log has the details"
        if says not in self._says.values():
            hint = f" ({error.hint})" if is_expected and error.hint else ""
            logger.error("%s%s", says, hint, exc_info=None if is_expected else error)
        self._says[step] = says

    def clear(self, step: Step) -> None:
        """Forget the failure of a step that has worked."""
        self._says.pop(step, None)
