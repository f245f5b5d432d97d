"""The loopback ports that clients of apps use, and the addresses that follow from them.

Called by control.loop.

Invariant: a number that was handed out is kept, also for an app that is gone: clients find it again when it comes back.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from bateau.control.endpoints import listen_key
from bateau.domain.release import Release
from bateau.domain.spec import AppSpec, ModelSpec
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
            listen_key(service.key, name): port.port
            for service in release.services
            if isinstance(service.spec, AppSpec)
            for name, port in service.spec.ports.items()
        }
        handed_out = {key: fixed or self.numbers.get(key) or self._free_port() for key, fixed in wanted.items()}
        kept = {**self.numbers, **handed_out}
        if kept != self.numbers:
            self.numbers = kept
            self._memory.save({**self._memory.load(), "app_ports": kept})

    def addresses(self, release: Release, *, models: str) -> Mapping[str, str]:
        """Return the URL that users of each service call; that of every model is `models`."""
        found: dict[str, str] = {}
        for service in release.services:
            if isinstance(service.spec, ModelSpec):
                found[service.key] = models
                continue
            for name, port in service.spec.ports.items():
                number = self.numbers.get(listen_key(service.key, name))
                scheme = "" if port.protocol in ("tcp", "grpc") else "http://"
                if number and service.key not in found:
                    found[service.key] = f"{scheme}127.0.0.1:{number}"
        return found
