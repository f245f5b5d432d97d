"""Render with one library in this process: `python in_process.py LIBRARY FOLDER OUTPUT` prints the seconds it took.

Called by bench.peers, with the Python that has the library: nothing of Bateau is imported here but for Bateau itself.

Invariant: imports are not counted, reading the inputs is; each run is a first one, so that nothing is warm.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

Render = Callable[[], str]


def main() -> None:
    """Render, say how long it took, and keep the output for whoever compares it."""
    library, folder, output = sys.argv[1:]
    os.chdir(folder)
    render = LIBRARIES[library]()
    started = time.perf_counter()
    text = render()
    print(time.perf_counter() - started)
    Path(output).write_text(text, encoding="utf-8")


def _bateau() -> Render:
    """Read, hydrate, render, hold to schemas and 20 rules, write; loading the schemas is counted."""
    from bateau.control.delivery import deliver
    from bateau.control.object_checks import Rules
    from bateau.kit.yaml_writer import write
    from bateau.specs import read
    from bateau.wiring.schemas import load_schemas

    def render() -> str:
        rules = Rules(schemas=load_schemas(), today=date(2026, 11, 24))
        reading = read({str(path): path.read_text(encoding="utf-8") for path in Path().rglob("*.yaml")})
        texts: list[str] = []
        for path in sorted(Path("environments").iterdir()):
            found = deliver(reading, path.stem, rules)
            assert not found.wrong, (found.written.problems[:1], found.findings[:1])
            texts.append(write(manifest.tree for manifest in found.manifests))
        return "".join(texts)

    return render


def _jsonnet(module: str) -> Callable[[], Render]:
    """Evaluate the one program that gives all environments; its answer is JSON, which needs no writer of YAML."""

    def prepare() -> Render:
        evaluate: Callable[[str], str] = importlib.import_module(module).evaluate_file
        return lambda: evaluate("main.jsonnet")

    return prepare


def _helm() -> Render:
    """Load the chart once and render it for each environment."""
    library: Any = importlib.import_module("helm_python")

    def render() -> str:
        texts: list[str] = []
        with library.Chart.load(".") as chart:
            for path in sorted(Path("environments").iterdir()):
                values = json.loads(path.read_text(encoding="utf-8"))
                texts += chart.render(values, name="services", namespace="default").values()
        return "".join(texts)

    return render


def _kcl() -> Render:
    """Run the program once for each environment."""
    library: Any = importlib.import_module("kcl_lib.api")

    def render() -> str:
        texts: list[str] = []
        for path in sorted(Path().glob("e*.k")):
            arguments = library.ExecProgramArgs(k_filename_list=["services.k", str(path)], path_selector=["objects"])
            done = library.API().exec_program(arguments)
            assert not done.err_message, done.err_message
            texts.append(f"---\n{done.yaml_result}\n")
        return "".join(texts)

    return render


LIBRARIES: dict[str, Callable[[], Render]] = {
    "bateau": _bateau,
    "jsonnet": _jsonnet("_jsonnet"),
    "gojsonnet": _jsonnet("_gojsonnet"),
    "rjsonnet": _jsonnet("rjsonnet"),
    "helm": _helm,
    "kcl": _kcl,
}

if __name__ == "__main__":
    main()
