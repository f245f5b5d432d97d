"""`bateau graph`: each form, on specs of any shape; DOT is read by a real Graphviz where there is one."""

import asyncio
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bateau.api.server import ApiServer
from bateau.cli.graph_forms import FORMS, as_dot, as_svg, as_text
from bateau.control.snapshots import Snapshots
from bateau.domain.service_graph import Live, ServiceGraph
from bateau.domain.status import ServiceState
from bateau.wiring.paths import paths
from cli.faked import FixedMeter, environ, service, status

# All but those that XML cannot have in any way.
CHARACTERS = st.characters(exclude_characters="\0\ufffe\uffff")
NAMES = st.text(CHARACTERS, min_size=1, max_size=8).map(lambda text: f"app/{text}")
GRAPHS = st.dictionaries(NAMES, st.lists(NAMES, max_size=3, unique=True), max_size=6)
SVG = "{http://www.w3.org/2000/svg}"

needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None and not os.environ.get("CI"), reason="there is no dot: .ci/monitoring installs it"
)


def svg_of(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - made by this test


def made(uses: dict[str, Sequence[str]], live: dict[str, Live] | None = None) -> ServiceGraph:
    every = {name: tuple(sorted(used)) for name, used in uses.items()}
    missing = frozenset(each for used in every.values() for each in used) - every.keys()
    return ServiceGraph(dict(sorted({**every, **dict.fromkeys(missing, ())}.items())), missing, live or {})


SHOP = made(
    {"app/shop": ["model/chat", "app/orders"], "app/orders": ["app/db"], "app/db": [], "model/chat": ["app/db"]},
    {"app/shop": Live("Ready", 2.0), "model/chat": Live("Failed"), "app/db": Live("Ready", 0.0)},
)


def test_the_text_is_a_tree_with_states_and_requests() -> None:
    assert as_text(SHOP).splitlines() == [
        "app/shop        Ready  2.0 req/s",
        "├── app/orders",
        "│   └── app/db  Ready  0 req/s",
        "└── model/chat  Failed",
        "    └── app/db  Ready  0 req/s",
    ]


def test_a_service_that_was_shown_is_not_followed_again() -> None:
    graph = made({"app/a": ["app/b", "app/c"], "app/b": ["app/d"], "app/c": ["app/b"], "app/d": []})
    assert as_text(graph).splitlines()[3:] == ["└── app/c", "    └── app/b  (above)"]


def test_cycles_end_in_every_form() -> None:
    graph = made({"app/a": ["app/b"], "app/b": ["app/a"], "app/me": ["app/me"]})
    assert as_text(graph).splitlines() == [
        "app/me", "└── app/me     (above)", "app/a", "└── app/b", "    └── app/a  (above)",
    ]  # fmt: skip
    assert '"app/me" -> "app/me";' in as_dot(graph)
    assert len(svg_of(as_svg(graph)).findall(f"{SVG}path")) == 2


def test_a_used_service_without_a_document_is_marked() -> None:
    graph = made({"app/shop": ["app/gone"]})
    assert "app/gone  not there" in as_text(graph)
    assert "not there" in as_dot(graph)
    assert "not there" in as_svg(graph)


def test_services_alone_are_in_every_form() -> None:
    graph = made({"app/shop": ["model/chat"], "model/chat": [], **{f"app/alone-{n}": [] for n in range(9)}})
    for form in FORMS.values():
        assert "alone-8" in form(graph)
    places = re.findall(r'<rect x="(\d+)" y="(\d+)"', as_svg(graph))
    assert len(set(places)) == len(places) == 11
    width, height = map(int, re.findall(r'viewBox="0 0 (\d+) (\d+)"', as_svg(graph))[0])
    assert all(int(x) + 172 <= width and int(y) + 40 <= height for x, y in places)


@given(GRAPHS)
def test_odd_names_stay_text_in_every_form(uses: dict[str, list[str]]) -> None:
    graph = made(dict(uses))
    lines = as_text(graph).splitlines()
    assert len(lines) >= len(graph.uses)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", as_text(graph))
    nodes = svg_of(as_svg(graph))
    assert len(nodes.findall(f"{SVG}g")) == len(graph.uses)
    edges = [line for line in as_dot(graph).splitlines() if " -> " in re.sub(r'"(?:[^"\\]|\\.)*"', "x", line)]
    assert len(edges) == len(graph.edges)


@needs_dot
@settings(max_examples=15, deadline=None)
@given(GRAPHS)
def test_graphviz_reads_every_name_as_it_is(uses: dict[str, list[str]]) -> None:
    graph = made(dict(uses))
    done = subprocess.run(["dot", "-Tjson0"], input=as_dot(graph), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    tree = json.loads(done.stdout)
    assert len(tree.get("objects", [])) == len(graph.uses)
    assert len(tree.get("edges", [])) == len(graph.edges)


@needs_dot
def test_graphviz_shows_names_as_they_are() -> None:
    names = ["app/a&lt;b", r"app/a\Nb", 'app/"q"', r"app/end\ ".strip(), "app/<b>x</b>"]
    done = subprocess.run(
        ["dot", "-Tsvg"], input=as_dot(made({name: [] for name in names})), capture_output=True, text=True, check=True
    )
    assert {each.text for each in svg_of(done.stdout).iter(f"{SVG}text")} == set(names)


@needs_dot
def test_graphviz_draws_a_thousand_services() -> None:
    done = subprocess.run(["dot", "-Tsvg"], input=as_dot(thousand()), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('class="node"') == 1000


def thousand() -> ServiceGraph:
    """A thousand services in layers of fifty, with three uses each."""
    return made(
        {f"app/s{n:04}": [f"app/s{n + step:04}" for step in (47, 50, 53) if n + step < 1000] for n in range(1000)}
    )


def test_a_thousand_services_take_seconds_at_most() -> None:
    graph = thousand()
    for form in FORMS.values():
        began = time.process_time()
        text = form(graph)
        assert time.process_time() - began < 5
        assert "s0999" in text


def test_a_chain_of_a_thousand_is_no_recursion() -> None:
    graph = made({f"app/s{n:04}": [f"app/s{n + 1:04}"] if n < 999 else [] for n in range(1000)})
    assert len(as_text(graph).splitlines()) == 1000
    assert "s0999" in as_svg(graph)


SPECS = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec: {command: [sleep, "1"], uses: [model/chat]}
---
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec: {source: smollm2}
"""


def run(home: Path, specs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bateau", "graph", "-C", str(specs), *words],
        env=environ(home), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_without_an_instance_it_is_read_from_the_specs(home: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SPECS)
    done = run(home, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "app/shop\n└── model/chat\n"
    written = run(home, tmp_path, "-o", str(tmp_path / "out.svg"))
    assert (written.returncode, written.stdout) == (0, "")
    assert svg_of((tmp_path / "out.svg").read_text()).tag == f"{SVG}svg"
    assert run(home, tmp_path, "--format", "dot").stdout.startswith("digraph bateau {")


def test_errors_of_the_specs_are_reported_beside_the_graph(home: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SPECS.replace("model/chat", "model/chatt"))
    done = run(home, tmp_path)
    assert done.returncode == 1
    assert "model/chatt" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_without_specs_and_a_file_that_cannot_be_written_are_named(home: Path, tmp_path: Path) -> None:
    empty = run(home, tmp_path)
    assert (empty.returncode, "no specs found below" in empty.stderr) == (2, True)
    (tmp_path / "shop.yaml").write_text(SPECS)
    done = run(home, tmp_path, "-o", str(tmp_path / "none" / "out.svg"))
    assert (done.returncode, "cannot write" in done.stderr) == (3, True)


@pytest.mark.parametrize("same", [True, False], ids=["its directory", "another directory"])
async def test_an_instance_shows_states_and_requests_of_its_own_directory_only(
    home: Path, tmp_path: Path, same: bool
) -> None:
    (tmp_path / "shop.yaml").write_text(SPECS)

    async def metrics() -> str:
        return ""

    snapshots = Snapshots()
    found = status(service("app/shop", ServiceState.FAILED, "exited"), service("model/chat"))
    snapshots.take(dataclasses.replace(found, directory=str(tmp_path) if same else "/elsewhere"))
    socket = paths("default", environ(home)).control_socket
    socket.parent.mkdir(parents=True, exist_ok=True)
    server = ApiServer(socket, snapshots=snapshots, metrics=metrics, stop=asyncio.Event(), meter=FixedMeter())
    await server.open()
    try:
        done = await asyncio.to_thread(run, home, tmp_path)
    finally:
        await server.close()
    assert done.returncode == 0, done.stderr
    if same:
        assert [line.split() for line in done.stdout.splitlines()] == [
            ["app/shop", "Failed"], ["└──", "model/chat", "Ready", "7.0", "req/s"],
        ]  # fmt: skip
    else:
        assert done.stdout == "app/shop\n└── model/chat\n"
        assert "serves /elsewhere, so no states are shown" in done.stderr
