"""The types of the control API's JSON."""

import dataclasses
from typing import get_type_hints, is_typeddict

import pytest

from bateau.api import trees
from bateau.api.encoding import encode
from bateau.control.preview import Effect
from bateau.domain.figures import Figures, ServiceFigures
from bateau.domain.placement import ModelCapacity
from bateau.domain.replica import Replica
from bateau.domain.status import AffinityStatus, GatewayFilters, ServiceStatus, Status


@pytest.mark.parametrize(
    ("tree", "cls"),
    [
        (trees.AffinityTree, AffinityStatus),
        (trees.CapacityTree, ModelCapacity),
        (trees.EffectTree, Effect),
        (trees.FigureTree, ServiceFigures),
        (trees.FiguresTree, Figures),
        (trees.FiltersTree, GatewayFilters),
        (trees.ReplicaTree, Replica),
        (trees.ServiceTree, ServiceStatus),
        (trees.StatusTree, Status),
    ],
)
def test_a_type_has_the_fields_of_its_dataclass(tree: type, cls: type) -> None:
    assert is_typeddict(tree)
    assert list(get_type_hints(tree)) == [_camel(each.name) for each in dataclasses.fields(cls)]


def test_a_value_without_a_form_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no form in JSON"):
        encode({"a": [object()]})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
