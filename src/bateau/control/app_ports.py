"""Hand out the loopback ports that clients of apps use, and derive the addresses of services from them.

Called by control.loop.

Invariant: an app keeps its number even while it is deleted, so that clients find it again when it returns. Held by
tests/control/test_replicas.py::test_an_apps_port_is_handed_out_once_and_kept.
"""

from collections.abc import Mapping

from bateau.control.endpoints import listen_key
from bateau.control.saving import Saving
from bateau.domain.release import Release
from bateau.domain.unit import Whereabouts
from bateau.kit.json_value import object_at
from bateau.ports.numbers import PortNumbers

_PORT_MAX = 65535


class AppPorts:
    """Port numbers by port name ("app/shop/http"). They survive restarts of the control plane."""

    def __init__(self, saving: Saving, numbers: PortNumbers) -> None:
        self._saving = saving
        self._handed_out = numbers
        self.numbers: Mapping[str, int] = {}
        self._served: Release | None = None  # the release whose ports all have numbers

    def remember(self) -> None:
        """Restore the ports that an earlier control plane handed out."""
        numbers = object_at(self._saving.load(), "app_ports")
        self.numbers = {
            key: number for key, number in numbers.items() if type(number) is int and 0 < number <= _PORT_MAX
        }
        for key, number in self.numbers.items():
            self._handed_out.keep(f"clients of {key}", number)

    def hand_out(self, release: Release) -> None:
        """Give every port of an app the number that its clients use. Raises ReplicaError if none is free."""
        if release is self._served:
            return
        wanted = {
            listen_key(service.key, name): port.number
            for service in release.services
            for name, port in service.ports.items()
            if not port.is_behind_front
        }
        handed_out = {
            key: fixed or self.numbers.get(key) or self._handed_out.take(f"clients of {key}")
            for key, fixed in wanted.items()
        }
        kept = {**self.numbers, **handed_out}
        if kept != self.numbers:
            self.numbers = kept
            self._saving.save({"app_ports": kept})
        self._served = release

    def whereabouts(self, models_url: str) -> Whereabouts:
        """Return the addresses of the services on this machine. Every model is at `models_url`."""
        return Whereabouts(models_url=models_url, ports=tuple(sorted(self.numbers.items())))
