"""Turn the code into the pages of the reference: fields, commands, exit codes, metrics, answers, errors, figures.

Called by conf.py before every build, and by tests/docs.

Invariant: nothing on these pages is written by hand but the sentences around the tables.
Refused: autodoc; people who write specs need fields and commands, and the modules' docstrings stand in the modules.
"""

import asyncio
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from bateau.kit.schema_docs import FieldPage

HELP_WIDTH = 92
ROOT = Path(__file__).parent.parent


def generate(folder: Path) -> None:
    """Write every page into `folder`; what did not change is not touched, so that Sphinx need not read it again."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "fields.md": fields_page(),
        "commands.md": commands_page(),
        "exit-codes.md": exit_codes_page(),
        "metrics.md": metrics_page(),
        "gateway.md": gateway_page(),
        "errors.md": errors_page(),
        "mistakes.md": mistakes_page(ROOT / "tests" / "mistakes"),
        "benchmarks.md": benchmarks_page(ROOT / "bench" / "results"),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def fields_page() -> str:
    """Return every field of every kind, as `bateau explain` documents it."""
    from bateau.domain.spec import API_VERSION, KINDS
    from bateau.specs import explain_field

    parts = [
        "# Fields\n",
        f"Documents have `apiVersion: {API_VERSION}`, a `kind`, `metadata` and a `spec`. "
        "`bateau explain Model.spec.parallel` prints one field, `bateau schema` prints all of it for editors. A scalar "
        "may be an expression in `${ }`. Quantities are written as in Kubernetes (`500m`, `2Gi`), durations as in Go "
        "(`30s`, `1h30m`).\n",
        "A field marked *later* is read and checked, but this version does not act on it: `bateau check` warns.\n",
        "## metadata\n",
        _table(_FIELD_HEADER, _field_rows(explain_field(f"{next(iter(KINDS))}.metadata"), later=False)),
        "",
    ]
    for kind in KINDS:
        page = explain_field(kind)
        note = _KIND_NOTES.get(kind)
        parts += [
            f"## {kind}\n",
            f"{page.doc}{f' {note}' if note else ''}\n",
            _table(_FIELD_HEADER, _field_rows(page, later=False)),
            "",
        ]
    return "\n".join(parts)


_FIELD_HEADER = ("field", "type", "default", "meaning")
_KIND_NOTES = {
    "Environment": "This version reads and checks these documents, and does not hydrate for them.",
    "Policy": "This version reads and checks these documents, and does not judge by them.",
}


def _field_rows(page: "FieldPage", *, later: bool) -> Iterator[tuple[str, str, str, str]]:
    from bateau.specs import explain_field

    for each in page.fields:
        default = "**required**" if each.required else f"`{each.default}`" if each.default is not None else ""
        examples = f" For example {', '.join(f'`{example}`' for example in each.examples)}." if each.examples else ""
        is_later = later or bool(each.unsupported)
        short = each.path.partition(".")[2]
        mark = " *(later)*" if is_later else ""
        yield f"`{short}`{mark}", each.type, default, each.doc + examples
        # The name of a list's item is a number, that of a map's entry any word.
        yield from _field_rows(explain_field(each.path.replace("[]", "[0]")), later=is_later)


def commands_page() -> str:
    """Return the help of every command."""
    from bateau.cli.group import bateau

    parts = [
        "# Commands\n",
        "What `--help` prints. Answers go to standard output, progress to standard error.\n",
    ]
    for context in _contexts(click.Context(bateau, info_name="bateau", **bateau.context_settings)):
        context.terminal_width = HELP_WIDTH
        parts += [f"## {context.command_path}\n", f"```text\n{context.get_help()}\n```\n"]
    return "\n".join(parts)


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield the context of a command and of all below it; arguments would stand in the path of a real call."""
    yield context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, f"{name} is listed and not there"
            yield from _contexts(click.Context(found, parent=context, info_name=name))


def exit_codes_page() -> str:
    """Return the exit codes, as the edge of the command line documents them."""
    from bateau.cli import edge

    paragraph = re.search(r"Exit codes: (.*?)\.\n\n", inspect.getdoc(edge) or "", re.DOTALL)
    assert paragraph, "bateau.cli.edge documents its exit codes"
    listed = re.split(r", (?=\d+ )", " ".join(paragraph[1].split()))
    rows = [tuple(entry.split(" ", 1)) for entry in listed]
    used = {str(value) for name, value in vars(edge).items() if name.startswith("EXIT_")}
    assert used <= {code for code, _ in rows}, "every exit code is documented"
    return "\n".join(
        [
            "# Exit codes\n",
            _table(("code", "meaning"), rows),
            "",
            "`bateau up --detach` ends with 1 where a spec has mistakes and with 3 where a service failed; what could "
            "start runs all the same.\n",
        ]
    )


def metrics_page() -> str:
    """Return every metric family of `/metrics`: what the page's own code says of them."""
    text = asyncio.run(_sample_metrics())
    rows: list[tuple[str, ...]] = []
    says, kinds = _by_family(text, "HELP"), _by_family(text, "TYPE")
    for family, meaning in says.items():
        labels = sorted(
            {
                label
                for line in text.splitlines()
                if re.match(rf"{family}(_bucket|_sum|_count)?[{{ ]", line)
                for label in re.findall(r"[{,](\w+)=", line)
                if label != "le"
            }
        )
        rows.append((f"`{family}`", kinds[family], ", ".join(f"`{label}`" for label in labels), meaning))
    return "\n".join(
        [
            "# Metrics\n",
            "`GET /metrics` at the endpoint, in Prometheus' text format. Counters are read when someone scrapes; "
            "nothing is measured in Python on the way of a request. A replica that cannot be read is left out, and "
            "`bateau_scrape_failures` counts it.\n",
            _table(("name", "type", "labels", "meaning"), rows),
            "",
        ]
    )


async def _sample_metrics() -> str:
    """Feed the page with one sample of everything it knows, and return what it makes of it."""
    from bateau.domain.process import ProcessTemplate
    from bateau.observe import metrics
    from bateau.testing import FakeEngine
    from bateau.wiring.metrics import metrics_page as page_of_instance

    known = set(re.findall(r'"(envoy_\w+|llamacpp:\w+)"', inspect.getsource(metrics)))
    labels = '{route="chat",code="200",envoy_cluster_name="model/chat"}'
    histograms = {"envoy_bateau_request_duration", "envoy_bateau_time_to_first_token"}
    envoy = [f"{name}{labels} 1" for name in sorted(known - histograms) if name.startswith("envoy_")]
    for name in sorted(histograms & known):
        envoy += [f'{name}_bucket{{route="chat",le="+Inf"}} 1', f"{name}_sum{labels} 1", f"{name}_count{labels} 1"]
    engine = FakeEngine()
    await engine.start("app.shop.0", "app/shop", ProcessTemplate(revision="1", command=("true",)))
    instance = await page_of_instance(cast("Any", _Instance(engine)), cast("Any", _Plane("\n".join(envoy))))
    models = metrics.Page()
    llamacpp = "\n".join(f"{name} 1" for name in sorted(known) if name.startswith("llamacpp:"))
    metrics.add_llamacpp(models, llamacpp, model="chat", replica="model.chat.0")
    return instance + models.text()


class _Instance:
    """As much of a control plane as the metrics page reads."""

    def __init__(self, engine: object) -> None:
        self.ports = self
        self.engine = engine


class _Plane:
    """As much of a plane as the metrics page reads."""

    def __init__(self, text: str) -> None:
        self.admin = self
        self._text = text

    async def text(self, _path: str) -> str:
        return self._text


def _by_family(text: str, word: str) -> dict[str, str]:
    return dict(sorted(re.findall(rf"^# {word} (\S+) (.*)$", text, re.MULTILINE)))


def gateway_page() -> str:
    """Return what the endpoint answers by itself, from the very configuration that Envoy gets."""
    from bateau.domain.endpoint import Backend
    from bateau.traffic.envoy.listener import BODY_BYTES_MAX, RETRY_AFTER_S, front_listener
    from bateau.traffic.envoy.routes import front_routes

    routes = front_routes([Backend(service="model/chat", name="chat", protocol="openai")])
    rows: list[tuple[str, str, str, str]] = []
    for host in routes["virtual_hosts"]:
        for route in host["routes"]:
            where = _match(route["match"]) + (" of another `Host`" if host["domains"] == ["*"] else "")
            if "direct_response" not in route:
                target = "the control plane" if route["match"].get("path") == "/metrics" else "a replica of `chat`"
                rows.append((where, "", "", f"goes to {target}"))
                continue
            status = str(route["direct_response"]["status"])
            body = json.loads(route["direct_response"]["body"]["inline_string"])
            error: Mapping[str, Any] = body.get("error", {})
            code = f"`{error['code']}`" if error else ""
            rows.append((where, status, code, error.get("message") or _short(body)))
    manager = front_listener("127.0.0.1", 8080)["filter_chains"][0]["filters"][0]["typed_config"]
    own: list[tuple[str, str, str]] = []
    for mapper in manager["local_reply_config"]["mappers"]:
        error = mapper["body_format_override"]["json_format"]["error"]
        message = re.sub(r" ?\(%\w+%\)", "", error["message"]).replace("%ROUTE_NAME%", "chat")
        own.append((str(_status(mapper["filter"])), f"`{error['code']}`", message))
    return "\n".join(
        [
            "# The endpoint\n",
            "One address for all models, by default `http://127.0.0.1:8080`. Requests are matched from top to bottom, "
            "as shown here for one model named `chat`. Errors have the shape of OpenAI's API, so its clients raise "
            "their own exceptions.\n",
            _table(("request", "status", "code", "answer"), rows),
            "",
            "Everything below `/v1/` that names a model in its body is passed on as it is. Which paths exist there is "
            "the engine's matter; with llama.cpp these are, among others, `/v1/chat/completions`, `/v1/completions`, "
            "`/v1/embeddings`, `/v1/messages` and `/v1/responses`.\n",
            "## Errors of the way\n",
            _table(("status", "code", "answer"), own),
            "",
            f"A body may have {BODY_BYTES_MAX // 2**20} MiB. The gateway's own answers 503 and 504 "
            f"carry `Retry-After: {RETRY_AFTER_S}`. The codes in parentheses in a message are Envoy's response flags.\n",
            "## The control API\n",
            "The commands ask the control plane over a unix socket that only its user can open: "
            "`control.sock` below `$XDG_RUNTIME_DIR/bateau/NAME/`.\n",
            _table(("request", "answer"), list(_control_api())),
            "",
        ]
    )


def _match(match: Mapping[str, Any]) -> str:
    path = match.get("path") or f"{match['prefix']}*"
    method = next((h["string_match"]["exact"] for h in match.get("headers", ()) if h["name"] == ":method"), "any")
    model = next((h["string_match"]["exact"] for h in match.get("headers", ()) if h["name"] != ":method"), None)
    body = {
        None: "",
        "-missing-": ", body without `model`",
        "-invalid-": ", body that is no JSON",
    }
    method = f"{method} other" if "prefix" in match and "headers" not in match else method
    return f"{method} `{path}`" + body.get(model, f', body with `"model": "{model}"`')


def _short(body: Any) -> str:
    text = json.dumps(body)
    return f"`{text}`"


def _status(condition: Mapping[str, Any]) -> int:
    parts: Sequence[Mapping[str, Any]] = condition["and_filter"]["filters"] if "and_filter" in condition else [condition]
    return next(p["status_code_filter"]["comparison"]["value"]["default_value"] for p in parts if "status_code_filter" in p)


def _control_api() -> Iterator[tuple[str, str]]:
    from bateau.api import server

    says = {
        "/v1/status": "Everything that `bateau status --json` prints.",
        "/metrics": "The page that the endpoint shows.",
        "/v1/stop": "202, then every replica, the gateway and the control plane end.",
    }
    for method, path in re.findall(r'web\.(get|post)\("([^"]+)"', inspect.getsource(server)):
        yield f"{method.upper()} `{path}`", says[path]


def errors_page() -> str:
    """Return the tree of what may fail in the world."""
    from bateau.domain import errors

    tree = re.search(r"```\n(.*?)```", inspect.getdoc(errors) or "", re.DOTALL)
    assert tree, "bateau.domain.errors draws its tree"
    return "\n".join(
        [
            "# Errors\n",
            "What people wrote wrong is collected and shown with its place, all of it at once: see "
            "[Mistakes in specs](mistakes.md). What fails in the world is one of these, each with a sentence and, "
            "where there is one, a hint:\n",
            f"```text\n{tree[1]}```\n",
            "A command that ends with such an error prints it and leaves with exit code 3. A service that meets one "
            "is shown as `Failed` with the same words in `bateau status`, and hinders no other. A source that was "
            "unreachable and a full disk are tried again by themselves, after 5, 10, 20, 40 and then every 60 "
            "seconds; a start that failed is tried again every 10 seconds; all others wait for a changed spec.\n",
        ]
    )


def mistakes_page(folder: Path) -> str:
    """Return every mistake that has a test, with the very message that it gets."""
    parts = [
        "# Mistakes in specs\n",
        "Each of these is a test: the file as someone might write it, and what `bateau check` says to it.\n",
    ]
    for path in sorted(folder.glob("*.yaml")):
        said = path.with_suffix(".txt")
        if not said.exists():
            continue
        title = path.stem.replace("-", " ").replace("_", " ")
        text = path.read_text(encoding="utf-8", errors="replace")
        # As plain text: some are no YAML, which is their mistake.
        parts += [
            f"## {title[:1].upper()}{title[1:]}\n",
            f"````text\n{text.rstrip()}\n````\n",
            f"````text\n{said.read_text(encoding='utf-8').rstrip()}\n````\n",
        ]
    return "\n".join(parts)


def benchmarks_page(folder: Path) -> str:
    """Return the results of `make bench` as they were written, in the order of their names."""
    results = [path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob("*.md"))]
    # Each result has its own title; on the page they are sections.
    sections = [re.sub(r"^(#+ )", r"#\1", text, flags=re.MULTILINE) for text in results]
    return "\n\n".join(sections or ["There are no results yet: run `make bench`."]) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)
