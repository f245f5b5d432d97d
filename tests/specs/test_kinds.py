"""The names of kinds that other packages know are those of the registry."""

from bateau.domain.kinds import KINDS, SERVICE_KINDS
from bateau.specs.kinds import KINDS as REGISTRY


def test_the_names_of_kinds_are_those_of_the_registry() -> None:
    assert frozenset(REGISTRY) == KINDS
    assert frozenset(name for name, kind in REGISTRY.items() if kind.to_workload) == SERVICE_KINDS
