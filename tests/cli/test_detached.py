"""A control plane that ends while it starts in the background."""

import sys
from pathlib import Path

import pytest

from bateau.cli.detached import start_detached
from bateau.cli.presenter import Presenter
from bateau.domain.errors import ControlError


def test_a_control_plane_that_a_signal_ends_is_reported_with_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the lines of its log were printed, as if nothing had happened."""
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ControlError, match=r"killed by signal 11 \(SIGSEGV\)") as caught:
        start_detached("default", [], Presenter())
    assert "`bateau up` adopts them" in (caught.value.hint or "")
