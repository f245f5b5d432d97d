"""The options of `bateau up` as a value: as the arguments of a detached control plane, and what goes together."""

from dataclasses import fields
from pathlib import Path

import click
import pytest

from bateau.cli.up import command
from bateau.cli.up_options import UpOptions

NAMES = {each.name for each in fields(UpOptions)}


def options(*words: str) -> UpOptions:
    found = command.make_context("up", [*words]).params
    return UpOptions(**{name: found[name] for name in NAMES})


def every_option(tmp_path: Path) -> list[list[str]]:
    """Return arguments that set each option, apart from those of the command itself."""
    (tmp_path / "file").write_text("")
    file = str(tmp_path / "file")
    return [
        ["-C", str(tmp_path), "--name", "other", "--listen", "0.0.0.0:1234"],
        ["--memory", "8Gi", "--open", "--plain-http", "--env", "prod"],
        ["--require-keys", "--tls-cert", file, "--tls-key", file, "--host", "a", "--host", "b"],
        ["--origin", "https://a.example.org", "--origin", "https://b.example.org"],
        ["--prometheus", "http://127.0.0.1:9090", "--prometheus-label", "a=b", "--prometheus-label", "c=d"],
        ["git+https://example.org/a.git", "--allowed-signers", file, "--allow-rewritten-history"],
    ]


def test_a_detached_control_plane_gets_the_same_options(tmp_path: Path) -> None:
    changed, default = set[str](), options()
    for words in every_option(tmp_path):
        made = options(*words)
        assert options(*made.words()) == made
        changed |= {name for name in NAMES if getattr(made, name) != getattr(default, name)}
    assert changed == NAMES, "each option was tried"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--open", "--require-keys"], "--open and --require-keys exclude each other"),
        (["--tls-cert", "FILE"], "--tls-cert and --tls-key belong together"),
        (["--tls-cert", "FILE", "--tls-key", "FILE", "--plain-http"], "--plain-http has no use for --tls-cert"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, words: list[str], says: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(click.UsageError, match=says):
        options(*(str(tmp_path / "file") if each == "FILE" else each for each in words)).check()
