"""`bateau schema`: print the JSON Schema of specs, the definitions of the kinds, or the OpenAPI of the control API."""

import json

import click


@click.command()
@click.option("--api", is_flag=True, help="Print the OpenAPI document of the control API instead.")
@click.option("--crds", is_flag=True, help="Print the CustomResourceDefinitions of all kinds instead, as YAML.")
def command(*, api: bool, crds: bool) -> None:
    """Print the JSON Schema of specs.

    Editors with the YAML language server check and complete specs with it:

    \b
      bateau schema > .bateau-schema.json
      # yaml-language-server: $schema=.bateau-schema.json

    With the definitions, an API server stores and checks Bateau's documents:

    \b
      bateau schema --crds | kubectl apply --server-side -f -
    """
    if api and crds:
        raise click.UsageError("--api and --crds cannot be used together")
    if crds:
        from bateau.kit.yaml_writer import write
        from bateau.specs import custom_resource_definitions

        click.echo(write(custom_resource_definitions()), nl=False)
        return
    if api:
        from bateau.api.openapi import openapi

        click.echo(json.dumps(openapi(), indent=2))
        return
    from bateau.specs import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
