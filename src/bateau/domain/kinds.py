"""The names of Bateau's kinds. `specs.kinds` has their schemas; other packages need only the names.

Called by cli.explain, hydrate and policy.

Invariant: these are the kinds of `specs.kinds`, and the services are those that become workloads. Held by
tests/specs/test_kinds.py.
"""

from typing import Final

SERVICE_KINDS: Final = frozenset({"App", "Model"})
KINDS: Final = SERVICE_KINDS | {"Cluster", "Environment", "Key", "Policy"}
