"""`bateau dev` outside of a source checkout."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bateau.cli import dev
from bateau.domain.errors import ControlError


@pytest.mark.parametrize("words", [["cluster", "up"], ["cluster", "status"], ["image", "app"]])
def test_an_installed_package_says_that_a_checkout_is_needed(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dev, "_CHECKOUT", tmp_path)
    error = CliRunner().invoke(dev.command, words).exception
    assert isinstance(error, ControlError)
    assert error.message == "`bateau dev` needs a source checkout of Bateau, and this is an installed package"
