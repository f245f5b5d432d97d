"""Print the problems of plans, and the clusters that cannot be reached, to stderr.

Called by cli.cluster_apply, cli.installing and cli.plan.
"""

from collections.abc import Sequence

import click

from bateau.cli.problems import render
from bateau.domain.change import Delivery
from bateau.kit.visible import visible
from bateau.plan.words import headline


def show_problems(plans: Sequence[Delivery]) -> None:
    """Print each problem once, although several clusters may have it."""
    if problems := dict.fromkeys(problem for each in plans for problem in each.problems):
        click.echo(render(problems), err=True)
    for each in plans:
        if each.unreachable:
            click.echo(visible(headline(each)), err=True)
            if each.unreachable.hint:
                click.echo(visible(f"  hint: {each.unreachable.hint}"), err=True)
