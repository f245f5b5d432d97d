"""The cyclic collector is disabled during some work, and only then."""

import gc

import pytest

from bateau.kit.garbage import no_collections


def test_the_collector_is_enabled_again_even_if_the_work_fails() -> None:
    with no_collections():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError), no_collections():
        raise RuntimeError("planted")
    assert gc.isenabled()


def test_a_disabled_collector_stays_disabled() -> None:
    gc.disable()
    try:
        with no_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
