"""Find the service that an operator names: "chat", or "model/chat" where a name is ambiguous.

Called by control.restarts, control.rollback, wiring.alert_facts, wiring.cluster_alert_facts and wiring.clusters.
"""

from bateau.domain.errors import ControlError
from bateau.domain.release import Release
from bateau.domain.workload import Workload
from bateau.kit.suggest import did_you_mean, listed


def service_named(name: str, release: Release) -> Workload:
    """Return the service with this name or key. Raises ControlError."""
    found = [each for each in release.services if name in (each.key, each.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ControlError(f"{name} may mean {listed(each.key for each in found)}", hint="add the kind to the name")
    keys = [each.key for each in release.services]
    hint = did_you_mean(name, [*keys, *(each.name for each in release.services)]) or f"available: {listed(keys)}"
    raise ControlError(f"there is no service {name}", hint=hint)
