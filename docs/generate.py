# ruff: noqa: INP001 - docs is not a package; Sphinx's configuration finds this file beside itself
"""Turn the code into the tables of the reference: fields, commands, exit codes, metrics, answers, errors, figures.

Called by conf.py before every build, and by tests/docs. The text around the tables is in docs/reference.

Invariant: every table is derived from the code; nothing in it is written by hand a second time.
Refused: autodoc; people who write specs need fields and commands, and modules are documented in their own files.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from generate_alerts import alerts
from generate_gateway import control_api, gateway_errors, gateway_routes
from generate_metrics import metrics

if TYPE_CHECKING:
    from bateau.kit.schema_docs import FieldPage

HELP_WIDTH = 92
ROOT = Path(__file__).parent.parent


def generate(folder: Path) -> None:
    """Write every table into `folder`; unchanged files are not touched, so that Sphinx need not read them again."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "fields.md": fields(),
        "commands.md": commands(),
        "exit-codes.md": table(("code", "meaning"), exit_codes()),
        "alerts.md": alerts(),
        "metrics.md": table(("name", "type", "labels", "meaning"), metrics()),
        "gateway-routes.md": table(("request", "status", "code", "answer"), gateway_routes()),
        "gateway-errors.md": table(("status", "code", "answer"), gateway_errors()),
        "control-api.md": table(("request", "answered by"), control_api()),
        "errors.md": errors(),
        "rights.md": table(("resources", "verbs", "used for"), rights()),
        "spec-errors.md": spec_errors(ROOT / "tests" / "mistakes"),
        "benchmarks.md": benchmarks(ROOT / "bench" / "results"),
    }
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def fields() -> str:
    """Return every field of every kind, as `bateau explain` documents it."""
    from bateau.specs import explain_field
    from bateau.specs.kinds import KINDS

    header = ("field", "type", "default", "meaning")
    pages = {
        "metadata": explain_field(f"{next(iter(KINDS))}.metadata"),
        **{kind: explain_field(kind) for kind in KINDS},
    }
    return "\n".join(
        f"## {title}\n\n{page.doc}\n\n{table(header, _field_rows(page, later=False))}" for title, page in pages.items()
    )


def _field_rows(page: "FieldPage", *, later: bool) -> Iterator[tuple[str, str, str, str]]:
    from bateau.specs import explain_field

    for each in page.fields:
        default = "**required**" if each.required else f"`{each.default}`" if each.default is not None else ""
        examples = f" For example {', '.join(f'`{example}`' for example in each.examples)}." if each.examples else ""
        is_later = later or bool(each.unsupported)
        mark = " *(later)*" if is_later else ""
        yield f"`{each.path.partition('.')[2]}`{mark}", each.type, default, each.doc + examples
        # The name of a list's item is a number, that of a map's entry any word.
        yield from _field_rows(explain_field(each.path.replace("[]", "[0]")), later=is_later)


def commands() -> str:
    """Return the help of every command."""
    from bateau.cli.group import bateau

    parts: list[str] = []
    for context in _contexts(click.Context(bateau, info_name="bateau", **bateau.context_settings)):
        context.terminal_width = HELP_WIDTH
        parts.append(f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n")
    return "\n".join(parts)


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield the context of a command and of all below it."""
    yield context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if found := command.get_command(context, name):
                yield from _contexts(click.Context(found, parent=context, info_name=name))


def exit_codes() -> list[tuple[str, str]]:
    """Return (code, meaning) as the command line documents them.

    Raises LookupError if a code is used but not documented.
    """
    from bateau.cli import exit_codes as module

    paragraph = re.search(r"Exit codes: (.*?)\.\n\n", inspect.getdoc(module) or "", re.DOTALL)
    listed = re.split(r", (?=\d+ )", " ".join(paragraph[1].split())) if paragraph else []
    rows = [(code, meaning) for code, _, meaning in (entry.partition(" ") for entry in listed)]
    used = {str(value) for name, value in vars(module).items() if name.startswith("EXIT_")}
    if missing := used - {code for code, _ in rows}:
        raise LookupError(f"bateau.cli.exit_codes does not document {', '.join(sorted(missing))}")
    return rows


def errors() -> str:
    """Return the tree of errors. Raises LookupError if the module does not draw it."""
    from bateau.domain import errors as module

    tree = re.search(r"```\n(.*?)```", inspect.getdoc(module) or "", re.DOTALL)
    if tree is None:
        raise LookupError("bateau.domain.errors does not draw its tree")
    return f"```text\n{tree[1]}```\n"


def rights() -> Iterator[tuple[str, str, str]]:
    """Yield each right of the controller in a cluster, with its use."""
    from bateau.control.installation import rights as rights_of_controller

    for each in rights_of_controller():
        group = f" ({each.group})" if each.group else ""
        names = f", only {', '.join(f'`{name}`' for name in each.names)}" if each.names else ""
        own = ", in its own namespace" if each.own_namespace else ""
        says = each.says[:1].upper() + each.says[1:]
        yield f"{', '.join(each.resources)}{group}{names}{own}", ", ".join(each.verbs), says


def spec_errors(folder: Path) -> str:
    """Return every spec error that has a test, with its exact message."""
    parts: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        said = path.with_suffix(".txt")
        if said.exists():
            title = path.stem.replace("-", " ").replace("_", " ")
            # As plain text: some are invalid YAML on purpose.
            texts = [each.read_text(encoding="utf-8", errors="replace").rstrip() for each in (path, said)]
            parts.append(f"## {title[:1].upper()}{title[1:]}\n\n" + "\n".join(f"````text\n{t}\n````\n" for t in texts))
    return "\n".join(parts)


def benchmarks(folder: Path) -> str:
    """Return the results of `make bench` as they were written, in the order of their names."""
    results = [path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob("*.md"))]
    # Each result has its own title; on the page they are sections.
    sections = [re.sub(r"^(#+ )", r"#\1", text, flags=re.MULTILINE) for text in results]
    return "\n\n".join(sections or ["There are no results yet: run `make bench`."]) + "\n"
