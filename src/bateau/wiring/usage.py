"""Where the ledger of an instance is, and who answers for its keys.

Called by cli.usage and wiring.local.
"""

from collections.abc import Mapping

from bateau.store.ledger import Ledger
from bateau.wiring.keys import Keys
from bateau.wiring.paths import paths


def ledger_of(instance: str, environ: Mapping[str, str]) -> Ledger:
    """Return the ledger of an instance, whether it runs or not."""
    return Ledger(paths(instance, environ).state / "usage")


def owners_of(instance: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the owners of the keys that exist, by key: a service owns its own. Raises ControlError."""
    keys = Keys(instance, environ)
    return {key.name: key.owner for key in (*keys.of_services(), *keys.load().by_name.values())}
