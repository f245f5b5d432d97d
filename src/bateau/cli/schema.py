"""`bateau schema`: print the JSON Schema of specs for editors, or the OpenAPI document of the control API."""

import json

import click


@click.command()
@click.option("--api", is_flag=True, help="Print the OpenAPI document of the control API instead.")
def command(*, api: bool) -> None:
    """Print the JSON Schema of specs.

    Editors with the YAML language server check and complete specs with it:

    \b
      bateau schema > .bateau-schema.json
      # yaml-language-server: $schema=.bateau-schema.json
    """
    if api:
        from bateau.api.openapi import openapi

        click.echo(json.dumps(openapi(), indent=2))
        return
    from bateau.specs import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
