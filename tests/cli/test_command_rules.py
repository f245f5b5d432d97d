"""Every command takes the same thing in the same way (issue Part 1, item 14)."""

import re

import click
import pytest
from click.testing import CliRunner

from bateau.cli.group import COMMANDS, bateau
from bateau.cli.plan import command as plan
from bateau.cli.up import command as up


def every_command() -> dict[str, click.Command]:
    """Return every command and subcommand by its words."""
    context = click.Context(bateau)
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = bateau.get_command(context, name)
        assert command is not None
        found[name] = command
        if isinstance(command, click.Group):
            found |= {f"{name} {each}": sub for each, sub in command.commands.items()}
    return found


COMMANDS_BY_WORDS = every_command()


@pytest.mark.parametrize("words", sorted(COMMANDS_BY_WORDS))
def test_the_directory_of_the_specs_is_always_the_option_c_as_in_git_and_make(words: str) -> None:
    parameters = COMMANDS_BY_WORDS[words].params
    assert not [each for each in parameters if isinstance(each, click.Argument) and each.name in {"directory", "place"}]
    directories = [each for each in parameters if each.name == "directory"]
    assert all(sorted(each.opts) == ["--directory", "-C"] for each in directories)
    assert not [each for each in parameters if "-C" in each.opts and each.name != "directory"]


@pytest.mark.parametrize("words", ["admission", "apply", "check", "explain", "plan", "promote", "render", "up"])
def test_every_command_that_reads_specs_has_it(words: str) -> None:
    assert "directory" in {each.name for each in COMMANDS_BY_WORDS[words].params}


@pytest.mark.parametrize("words", sorted(COMMANDS_BY_WORDS))
def test_the_environment_is_always_the_option_env(words: str) -> None:
    parameters = COMMANDS_BY_WORDS[words].params
    arguments = [each.name or "" for each in parameters if isinstance(each, click.Argument)]
    assert not [name for name in arguments if name.startswith("environment")]
    assert all(each.opts == ["--env"] for each in parameters if (each.name or "").startswith("environment"))
    assert not [each for each in parameters if "--env" in each.opts and not (each.name or "").startswith("environment")]


@pytest.mark.parametrize("words", ["admission", "apply", "explain", "history", "plan", "render", "rollback", "up"])
def test_every_command_that_works_on_one_environment_has_it(words: str) -> None:
    """`check` is for every environment; `promote` names a source and a target, as `cp` does."""
    assert "--env" in {name for each in COMMANDS_BY_WORDS[words].params for name in each.opts}


def test_an_environment_as_an_argument_of_plan_is_answered_with_the_option() -> None:
    done = CliRunner().invoke(plan, ["prod"])
    assert done.exit_code == 2
    assert "prod is not a range of commits; write A..B, or --env prod for an environment" in done.output


def test_a_directory_as_an_argument_is_answered_with_the_option() -> None:
    done = CliRunner().invoke(up, ["deploy"])
    assert done.exit_code == 2
    assert "deploy is not a Git URL (git+https://... or git+file://...); a directory is -C deploy" in done.output


def test_a_git_url_and_a_directory_are_not_given_together() -> None:
    done = CliRunner().invoke(up, ["git+file:///srv/acme.git", "-C", "."])
    assert done.exit_code == 2
    assert "a Git URL has a directory of its own" in done.output


@pytest.mark.parametrize("words", sorted(COMMANDS_BY_WORDS))
def test_no_help_has_a_range_as_mathematics(words: str) -> None:
    """Issue 8, part 1, item 14: `--to [1<=x<=9223372036854775807]`."""
    command = COMMANDS_BY_WORDS[words]
    shown = command.get_help(click.Context(command, info_name=words))
    assert not re.search(r"[<>]=|\d{10}", shown)
