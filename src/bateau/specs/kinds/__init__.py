"""The kinds of Bateau's documents: one module and one row here for each."""

from collections.abc import Mapping
from typing import Final

from bateau.domain.spec import Kind
from bateau.specs.kinds import app, cluster, environment, key, model, policy

KINDS: Final[Mapping[str, Kind]] = {
    each.name: each for each in (model.KIND, app.KIND, environment.KIND, cluster.KIND, policy.KIND, key.KIND)
}
# Those that a controller reads in its cluster.
STORED: Final = tuple(each for each in KINDS.values() if each.to_workload or each.name in {"Policy", "Key"})
