"""`bateau schema`: print the JSON Schema for editors."""

import json

import click


@click.command()
def command() -> None:
    """Print the JSON Schema of specs.

    Editors with the YAML language server check and complete specs with it:

    \b
      bateau schema > .bateau-schema.json
      # yaml-language-server: $schema=.bateau-schema.json
    """
    from bateau.specs import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
