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
    """Return the owners of the keys that exist, by key. Raises ControlError."""
    return {name: key.owner for name, key in Keys(instance, environ).load().by_name.items()}
