"""The tables of the reference hold everything that they are tables of."""

import re
from collections.abc import Callable
from pathlib import Path

from bateau.cli.group import COMMANDS
from bateau.kit.schema import fields_of
from bateau.specs.kinds import KINDS


def test_every_field_of_the_schema_is_in_the_reference(generated: Path):
    text = (generated / "fields.md").read_text()
    for kind, definition in KINDS.items():
        cls = definition.schema
        section = text.partition(f"## {kind}\n")[2].partition("\n## ")[0]
        assert [name for name in fields_of(cls) if f"| `spec.{name}`" not in section] == []


def test_every_command_is_in_the_reference(generated: Path):
    text = (generated / "commands.md").read_text()
    assert [name for name in COMMANDS if f"## bateau {name}\n" not in text] == []
    assert "## bateau models pull\n" in text


def test_every_answer_of_the_gateway_is_in_the_reference(generated: Path):
    routes, errors = (generated / "gateway-routes.md").read_text(), (generated / "gateway-errors.md").read_text()
    for code in ("model_not_found", "missing_model", "invalid_json", "unknown_path", "host_not_allowed"):
        assert code in routes
    for code in ("no_ready_replica", "control_plane_down", "request_too_large"):
        assert code in errors


def test_exit_codes_in_the_reference_are_those_of_the_edge(generated: Path):
    text = (generated / "exit-codes.md").read_text()
    assert re.findall(r"^\| (\d+) ", text, re.MULTILINE) == ["0", "1", "2", "3", "4", "5", "130", "70"]


def test_every_spec_error_that_has_a_test_is_in_the_reference(generated: Path):
    text = (generated / "spec-errors.md").read_text()
    tested = list((Path(__file__).parents[1] / "mistakes").glob("*.yaml"))
    assert tested
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(tested)


def test_a_second_build_touches_nothing_that_did_not_change(generate: Callable[[Path], None], generated: Path):
    before = {path: path.stat().st_mtime_ns for path in generated.iterdir()}
    generate(generated)
    assert {path: path.stat().st_mtime_ns for path in generated.iterdir()} == before
