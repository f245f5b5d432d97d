"""A control plane that ends while it starts in the background."""

import sys
from pathlib import Path

import click
import pytest

from bateau.cli.detached import start_detached
from bateau.cli.presenter import Presenter
from bateau.domain.errors import ControlError


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a script that is run in place of the control plane."""
    for name in ("STATE_HOME", "CACHE_HOME", "RUNTIME_DIR"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path))
    found = tmp_path / "python"
    found.touch(mode=0o700)
    monkeypatch.setattr(sys, "executable", str(found))
    return found


def test_a_control_plane_that_a_signal_ends_is_reported_with_the_signal(program: Path) -> None:
    """Only the lines of its log were printed, as if nothing had happened."""
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    with pytest.raises(ControlError, match=r"killed by signal 11 \(SIGSEGV\)") as caught:
        start_detached("default", [], Presenter())
    assert "`bateau up` adopts them" in (caught.value.hint or "")


def test_the_reason_of_an_exit_is_printed_without_the_events_before_it(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.write_text(
        "#!/bin/sh\n"
        "echo '2026-11-28 23:18:51,625 INFO gateway/envoy Starting'\n"
        "echo 'error: port 8488 is taken'\n"
        "exit 3\n"
    )
    with pytest.raises(click.exceptions.Exit) as caught:
        start_detached("default", [], Presenter())
    assert caught.value.exit_code == 3
    assert capsys.readouterr().err == "error: port 8488 is taken\n"
