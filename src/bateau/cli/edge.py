"""Run a command, and convert an exception into one message and an exit code.

Called by cli.

Invariant: users never see a traceback; the traceback of a bug goes to a file that the message names. Held by
tests/cli/test_edge.py.
"""

import io
import os
import sys

import click

from bateau.cli.exit_codes import EXIT_BUG, EXIT_INTERRUPTED, EXIT_WORLD_FAILED
from bateau.cli.group import bateau
from bateau.domain.errors import BateauError, bug
from bateau.kit.visible import visible


def main() -> None:
    """Run the command line and exit with its code."""
    color = False if "NO_COLOR" in os.environ else None
    try:
        code = bateau.main(standalone_mode=False, color=color)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(visible(shown.getvalue()), nl=False, err=True)
        sys.exit(error.exit_code)
    except BateauError as error:
        show_error(error)
        sys.exit(EXIT_WORLD_FAILED)
    except BrokenPipeError:
        # The reader of the output has exited (`| head`). This is not an error, but no more output can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the edge: a bug must not show its traceback
        _report_bug(error)
        sys.exit(EXIT_BUG)


def show_error(error: BateauError) -> None:
    """Print the error and its hint."""
    color = False if "NO_COLOR" in os.environ else None
    click.echo(f"{click.style('error:', fg='red', bold=True)} {visible(error.message)}", err=True, color=color)
    if error.hint:
        click.echo(f"  hint: {visible(error.hint)}", err=True)


def _report_bug(error: Exception) -> None:
    import platform
    import tempfile
    import traceback

    from bateau import __version__

    with tempfile.NamedTemporaryFile("w", prefix="bateau-bug-", suffix=".txt", delete=False) as report:
        report.write(f"bateau {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        report.write(f"command: {sys.argv[1:2]}\n")
        traceback.print_exception(error, file=report)
    click.echo(f"error: {bug(error)}", err=True)
    click.echo(f"  hint: please report it and attach {report.name}; read the file first", err=True)
