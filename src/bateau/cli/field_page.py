"""Format the page of one field, in the style of `kubectl explain`.

Called by cli.explain.
"""

import click

from bateau.kit.schema_docs import FieldPage


def field_page(page: FieldPage) -> str:
    """Return the page for people."""
    lines = [click.style(page.path, bold=True), f"  {_facts(page)}", "", f"  {page.doc}"]
    if page.examples:
        lines.append(f"  For example: {', '.join(page.examples)}")
    if page.unsupported:
        lines.append(f"  This field {page.unsupported}.")
    if page.fields:
        lines += ["", "FIELDS"]
        width = max(len(_name(each)) for each in page.fields)
        for each in page.fields:
            lines += [f"  {_name(each):<{width}}  {_facts(each)}", f"  {'':<{width}}  {each.doc}"]
    return "\n".join(lines)


def _name(page: FieldPage) -> str:
    return page.path.rpartition(".")[2]


def _facts(page: FieldPage) -> str:
    facts = [page.type]
    if page.required:
        facts.append("required")
    elif page.default is not None:
        facts.append(f"default {page.default}")
    return ", ".join(facts)
