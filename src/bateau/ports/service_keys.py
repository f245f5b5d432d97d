"""The port of the API keys that services of the specs get, so that they can ask the models that they use.

Used by control. Satisfied by wiring.service_keys.ServiceKeys.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol


class ServiceKeyring(Protocol):
    """One key for each service that uses a model."""

    def secret(self, service: str) -> str:
        """Return the key of a service: the same as long as the instance exists."""
        ...

    def follow(self, models: Mapping[str, Sequence[str]]) -> None:
        """Admit the keys of these services, each for the names of its models, and no others. Raises BateauError."""
        ...
