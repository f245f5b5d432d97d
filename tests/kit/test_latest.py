"""The latest result is used again only for the same inputs."""

import pytest

from bateau.kit.latest import Latest


def test_documents_are_compared_as_objects_and_values_by_value() -> None:
    latest, document, made = Latest[int](), {"replicas": 1}, iter(range(10))

    def make() -> int:
        return next(made)

    assert latest.of(make, same=(document,), equal=("a",)) == 0
    assert latest.of(make, same=(document,), equal=(str(b"a", "ascii"),)) == 0
    assert latest.of(make, same=({"replicas": True},), equal=("a",)) == 1
    assert latest.of(make, same=(document,), equal=("a",)) == 2, "only the latest result is kept"
    assert latest.of(make, same=(document,), equal=("b",)) == 3


def test_a_calculation_that_fails_is_not_remembered() -> None:
    latest = Latest[int]()

    def broken() -> int:
        raise RuntimeError

    assert latest.of(lambda: 1, same=(), equal=(1,)) == 1
    with pytest.raises(RuntimeError):
        latest.of(broken, same=(), equal=(2,))
    assert latest.of(lambda: 2, same=(), equal=(2,)) == 2
