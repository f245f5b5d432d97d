"""`bateau completion SHELL`."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a completion script.

    \b
      bash: eval "$(bateau completion bash)" in ~/.bashrc
      zsh:  eval "$(bateau completion zsh)" in ~/.zshrc
      fish: bateau completion fish > ~/.config/fish/completions/bateau.fish
    """
    from bateau.cli.group import bateau

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(found(bateau, {}, "bateau", "_BATEAU_COMPLETE").source())
