"""Which filters the gateway has, and why."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bateau.domain.errors import ControlError
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.filters import FULL_LEDGER, VARIABLE, Filters, chosen_filters
from traffic.gateway import native_library

BINARY = envoy_binary(os.environ)


def test_the_native_filter_is_used_where_envoy_loads_it(tmp_path: Path) -> None:
    library = native_library()
    for environ in ({}, {VARIABLE: "native"}):
        found = chosen_filters(BINARY, tmp_path, environ)
        assert (found.library, found.name) == (library, "native")
    assert len([*tmp_path.iterdir()]) == 1, "the answer is kept"


def test_the_variable_forces_envoys_own_filters(tmp_path: Path) -> None:
    assert chosen_filters(BINARY, tmp_path, {VARIABLE: "stock"}) == Filters(library=None, why="BATEAU_FILTERS=stock")
    with pytest.raises(ControlError, match="BATEAU_FILTERS is other"):
        chosen_filters(BINARY, tmp_path, {VARIABLE: "other"})


def test_a_full_ledger_refuses_requests_only_with_the_native_filter(tmp_path: Path) -> None:
    ledger = tmp_path / "requests.jsonl"
    for named, refuses in (("", False), ("count", False), ("refuse", True)):
        found = chosen_filters(BINARY, tmp_path, {FULL_LEDGER: named}).gate(ledger)
        assert found is not None
        assert found.refuses_unwritten == refuses
    with pytest.raises(ControlError, match="BATEAU_FULL_LEDGER is other"):
        chosen_filters(BINARY, tmp_path, {FULL_LEDGER: "other"})
    with pytest.raises(ControlError, match="needs the native filter, which is not used: BATEAU_FILTERS=stock"):
        chosen_filters(BINARY, tmp_path, {FULL_LEDGER: "refuse", VARIABLE: "stock"})


def test_without_the_package_envoys_own_filters_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bateau_gate", None)
    found = chosen_filters(BINARY, tmp_path, {})
    assert (found.name, found.why) == ("stock", "the package bateau_gate is not installed")
    with pytest.raises(ControlError, match="is not installed"):
        chosen_filters(BINARY, tmp_path, {VARIABLE: "native"})


def test_a_library_that_envoy_refuses_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "wrong.so"
    wrong.write_bytes(b"not a library")
    monkeypatch.setitem(sys.modules, "bateau_gate", SimpleNamespace(library=lambda: wrong, ENVOY="1.40"))
    found = chosen_filters(BINARY, tmp_path / "cache", {})
    assert found.name == "stock"
    assert "Failed to load dynamic module" in found.why


def test_a_library_for_another_envoy_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "other.so"
    library.write_bytes(b"for another version")
    monkeypatch.setitem(sys.modules, "bateau_gate", SimpleNamespace(library=lambda: library, ENVOY="1.39"))
    found = chosen_filters(BINARY, tmp_path / "cache", {})
    assert (found.name, found.why.startswith("it is for Envoy 1.39, and this is ")) == ("stock", True)
    assert "1.40" in found.why


def test_a_library_that_cannot_be_read_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "closed.so"
    library.write_bytes(b"x")

    def closed(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setitem(sys.modules, "bateau_gate", SimpleNamespace(library=lambda: library, ENVOY="1.40"))
    monkeypatch.setattr(Path, "read_bytes", closed)
    found = chosen_filters(BINARY, tmp_path / "cache", {})
    assert (found.name, found.why.startswith("it cannot be read: ")) == ("stock", True)


def test_another_format_of_the_configuration_is_another_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    native_library()
    assert chosen_filters(BINARY, tmp_path, {}).name == "native"
    monkeypatch.setattr("bateau.traffic.envoy.gate._FORMAT", 2)
    found = chosen_filters(BINARY, tmp_path, {})
    assert (found.name, "Failed to initialize dynamic module" in found.why) == ("stock", True), found.why
