"""Wait until what was applied or rolled back is ready, or will not be.

Called by `apply` and `rollback`.
"""

from typing import Any

from bateau.cli.detached import watch
from bateau.cli.presenter import Presenter


def wait_for_rollout(name: str, presenter: Presenter) -> tuple[dict[str, Any], list[str]]:
    """Show progress, and return the last status with the services that fail. Raises ControlError."""
    tree = watch(name, lambda each: each["rolledOut"] or bool(_failing(each)), presenter)
    return tree, [] if tree["rolledOut"] else _failing(tree)


def _failing(tree: dict[str, Any]) -> list[str]:
    """Return the services that have failed, or whose new replicas fall over while the old ones still serve."""
    services = [*tree["services"], tree["gateway"]]
    return [
        service["service"]
        for service in services
        if service["state"] == "Failed" or any(replica["state"] == "BackOff" for replica in service["replicas"])
    ]
