"""Progress of `bateau models pull`."""

import logging

import pytest

from bateau.cli.pull_bar import PullBar
from bateau.domain.model_file import Progress


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_and_log_go_to_stderr(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bateau.cli.pull_bar.is_terminal_err", lambda: is_terminal)
    monkeypatch.setattr("bateau.cli.pull_bar._PLAIN_EVERY_S", 0.0)
    with PullBar("hf://org/repo/m.gguf") as bar:
        bar.show(Progress(reference="hf://org/repo/m.gguf", bytes_done=1, bytes_total=2))
        logging.getLogger("bateau.sources").info("the server asks to wait")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "hf://org/repo/m.gguf" in shown.err
    assert "the server asks to wait" in shown.err
