"""Exceptions become one message and an exit code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bateau.cli import edge
from bateau.cli.exit_codes import EXIT_BUG, EXIT_INTERRUPTED, EXIT_WORLD_FAILED
from bateau.domain.errors import ControlError

# Presses Ctrl-C when a module is imported.
INTERRUPTED = """\
import os, sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            import _signal
            os.kill(os.getpid(), _signal.SIGINT)
sys.modules.pop({module!r}, None)
sys.meta_path.insert(0, Interrupted())
"""


def ended(monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(edge.bateau, "main", fail)
    monkeypatch.setattr(sys, "argv", ["bateau", "plan", "--secret=hunter2"])
    with pytest.raises(SystemExit) as caught:
        edge.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_traceback_of_a_bug_is_in_the_file_that_the_message_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, RuntimeError("planted")) == EXIT_BUG
    shown = capsys.readouterr().err
    assert "this is a bug in bateau: RuntimeError: planted" in shown
    assert "Traceback" not in shown
    named = re.search(r"attach (\S+);", shown)
    assert named
    report = Path(named[1])
    text = report.read_text()
    report.unlink()
    assert "Traceback" in text
    assert "hunter2" not in text


def test_an_expected_error_is_one_message_with_its_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, ControlError("port 8080 is in use", hint="use another")) == EXIT_WORLD_FAILED
    assert capsys.readouterr().err == "error: port 8080 is in use\n  hint: use another\n"


@pytest.mark.parametrize(
    "module", ["signal", "click", "bateau.cli.edge", "bateau.cli.completion", "bateau.cli.exit_codes"]
)
def test_ctrl_c_while_a_module_is_imported_shows_no_traceback(tmp_path: Path, module: str) -> None:
    """Issue 8: in the first 0.4 s, Ctrl-C showed the traceback of an import."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED.format(module=module))
    program = "import sys; sys.argv = ['bateau', 'completion', 'bash']; from bateau.cli import main; main()"
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (EXIT_INTERRUPTED, "", "")
