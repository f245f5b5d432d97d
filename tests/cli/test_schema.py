"""`bateau schema`: one document is printed, and two at once are refused."""

import yaml
from click.testing import CliRunner

from bateau.cli.schema import command
from bateau.specs import custom_resource_definitions


def test_the_definitions_are_printed_as_yaml() -> None:
    done = CliRunner().invoke(command, ["--crds"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert list(yaml.safe_load_all(done.stdout)) == custom_resource_definitions()


def test_two_documents_at_once_are_refused() -> None:
    done = CliRunner().invoke(command, ["--crds", "--api"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--api and --crds cannot be used together" in done.stderr
