"""The loopback ports that clients of apps use, and the addresses that follow from them.

Called by control.loop.

Invariant: a number that was handed out is kept, also for an app that is gone: clients find it again when it comes back.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from bateau.control.endpoints import listen_key
from bateau.domain.release import Release
from bateau.domain.unit import Whereabouts
from bateau.ports.memory import Memory

_PORT_MAX = 65535


class AppPorts:
    """Numbers by port ("app/shop/http"), remembered over restarts."""

    def __init__(self, memory: Memory, free_port: Callable[[], int]) -> None:
        self._memory = memory
        self._free_port = free_port
        self.numbers: Mapping[str, int] = {}

    def remember(self) -> None:
        """Take up what was handed out by an earlier control plane."""
        ports: Any = self._memory.load().get("app_ports")
        numbers = cast("dict[str, Any]", ports if isinstance(ports, dict) else {})
        self.numbers = {
            key: number for key, number in numbers.items() if type(number) is int and 0 < number <= _PORT_MAX
        }

    def hand_out(self, release: Release) -> None:
        """Give every port of an app the number that its clients use. Raises ControlError where that cannot be kept."""
        wanted = {
            listen_key(service.key, name): port.number
            for service in release.services
            for name, port in service.ports.items()
            if port.protocol != "openai"
        }
        handed_out = {key: fixed or self.numbers.get(key) or self._free_port() for key, fixed in wanted.items()}
        kept = {**self.numbers, **handed_out}
        if kept != self.numbers:
            self.numbers = kept
            self._memory.save({**self._memory.load(), "app_ports": kept})

    def whereabouts(self, models_url: str) -> Whereabouts:
        """Return where the services of this machine are called; every model is at `models_url`."""
        return Whereabouts(models_url=models_url, ports=tuple(sorted(self.numbers.items())))
