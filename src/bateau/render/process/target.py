"""Turn one workload into the template of a process.

Called by render.release. The inventory names the programs and models that exist.

Invariant: the same workload, model, capacity and addresses give the same template, hence the same revision: a control
plane that was restarted recognises the running replicas. Held by tests/render/test_process.py.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import assert_never

from bateau.domain.finding import Finding
from bateau.domain.model_file import ModelFile
from bateau.domain.placement import ModelCapacity
from bateau.domain.process import SERVICE_KEY, ProbePlan, ProbeTarget, ProcessTemplate, port_word, withheld_word
from bateau.domain.unit import Address, Whereabouts
from bateau.domain.workload import (
    Command,
    Container,
    Documents,
    External,
    ModelServer,
    VirtualMachine,
    Wasm,
    Workload,
)
from bateau.kit.position import nearest
from bateau.ports.target import Rendering, Surroundings

_PROGRAMS = "bateau.runtimes.programs"
# Clients of gRPC and of tcp take an address without one.
_SCHEMES = {"tcp": "", "grpc": "", "websocket": "ws://"}
_VLLM_STOP_S = 30.0
_OLLAMA_STOP_S = 15.0


class Process:
    """Supervised processes: llama.cpp, vLLM, Ollama and commands."""

    name = "process"

    def address(self, workload: Workload, where: Whereabouts) -> Address | None:
        """Return the URL of the endpoint for models, else that of the first port that has a number."""
        if workload.is_named_in_bodies or isinstance(workload.runs, External):
            return Address(url=where.models_url, says="URL of the endpoint", model=workload.name)
        urls = tuple(
            (name, f"{_SCHEMES.get(port.protocol, 'http://')}127.0.0.1:{number}")
            for name, port in workload.ports.items()
            if (number := where.numbers.get(f"{workload.key}/{name}"))
        )
        if not urls:
            return None
        says = f"loopback port of {workload.key}"
        return Address(url=urls[0][1], says=says, ports=urls if len(urls) > 1 else ())

    def render(self, workload: Workload, around: Surroundings) -> Rendering:
        """Return the template; nothing where it does not run on a machine, a finding where it cannot."""
        runs = workload.runs
        match runs:
            case Command():
                made = _command(workload, runs.words, runs.working_directory, around)
            case Container():
                if runs.command is None:
                    return Rendering()
                made = _command(workload, runs.command, runs.working_directory, around)
            case ModelServer():
                made = _model(workload, runs, around)
            case External() | Wasm() | VirtualMachine() | Documents():
                return Rendering()
            case _:
                assert_never(runs)
        return made if isinstance(made, Rendering) else Rendering(body=_restarted(made, workload.restarted_at))


def _model(workload: Workload, runs: ModelServer, around: Surroundings) -> ProcessTemplate | Rendering:
    match runs.engine:
        case "vllm":
            return _vllm(workload, runs, around)
        case "ollama":
            return _ollama(workload, runs, around)
        case "llama.cpp" | None:
            file = around.inventory.files.get(workload.key)
            capacity = around.inventory.capacities.get(workload.key)
            if file is None or capacity is None:
                return Rendering()  # it is on its way
            return _llamacpp(workload, runs, file, capacity)
        case _:
            assert_never(runs.engine)


def _command(
    workload: Workload, words: tuple[str, ...], working_directory: str | None, around: Surroundings
) -> ProcessTemplate:
    base = (around.inventory.directory or PurePath()) / PurePath(workload.position.file).parent
    environment = _environment(workload, around.addresses)
    has_key = withheld_word(SERVICE_KEY) in environment.values()
    return _revised(
        ProcessTemplate(
            revision="",
            command=words,
            environment=environment,
            withheld={SERVICE_KEY: None} if has_key else {},
            working_directory=str(base / working_directory if working_directory else base),
            port_names=tuple(name for name, port in workload.ports.items() if not port.is_behind_front),
            uses_socket=any(port.is_behind_front for port in workload.ports.values()),
            probe=_port_probe(workload),
            resources=workload.resources,
            drain_timeout_s=workload.drain_timeout_s,
            stop_timeout_s=workload.stop_timeout_s,
            stop_signal=workload.stop_signal,
            restart=workload.restart,
        )
    )


def _environment(workload: Workload, addresses: Mapping[str, Address | None]) -> dict[str, str]:
    environment = dict(workload.env)
    for used in workload.uses:
        name, address = _upper(used.name), addresses.get(used)
        environment.setdefault(f"BATEAU_{name}_URL", address.url if address else "")
        for port, url in address.ports if address else ():
            environment.setdefault(f"BATEAU_{name}_URL_{_upper(port)}", url)
        if address and address.model:
            environment.setdefault(f"BATEAU_{name}_MODEL", address.model)
            environment.setdefault(f"BATEAU_{name}_KEY", withheld_word(SERVICE_KEY))
    own = [name for name, port in workload.ports.items() if not port.is_behind_front]
    for name in own:
        environment.setdefault(f"PORT_{_upper(name)}", port_word(name))
    if own:
        # What most servers look for by themselves.
        environment.setdefault("PORT", port_word(own[0]))
    return environment


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _vllm(workload: Workload, runs: ModelServer, around: Surroundings) -> ProcessTemplate | Rendering:
    program = _installed("vllm", around)
    if program is None:
        return _missing(workload, "vllm", "install vLLM, or set engine: llama.cpp with a GGUF source")
    command = [program, "serve", runs.source.removeprefix("hf://"), "--served-model-name", workload.name]
    command += ["--uds", "{socket}", "--max-num-seqs", str(runs.parallel)]
    if runs.context_length:
        command += ["--max-model-len", str(runs.context_length)]
    return _revised(
        ProcessTemplate(
            revision="",
            command=tuple(command),
            environment=workload.env,
            uses_socket=True,
            probe=_probe(workload, ProbeTarget(kind="http", address="{socket}", path="/health")),
            resources=workload.resources,
            drain_timeout_s=workload.drain_timeout_s,
            stop_timeout_s=_VLLM_STOP_S,
        )
    )


def _ollama(workload: Workload, runs: ModelServer, around: Surroundings) -> ProcessTemplate | Rendering:
    program = _installed("ollama", around)
    if program is None:
        return _missing(workload, "ollama", "install Ollama, or set engine: llama.cpp")
    environment = {"OLLAMA_NUM_PARALLEL": str(runs.parallel), **workload.env}
    if runs.context_length:
        environment.setdefault("OLLAMA_CONTEXT_LENGTH", str(runs.context_length))
    address = f"127.0.0.1:{port_word('http')}"
    return _revised(
        ProcessTemplate(
            revision="",
            command=(
                sys.executable,
                "-m",
                f"{_PROGRAMS}.ollama_server",
                *("--program", program),
                *("--model", runs.source.removeprefix("ollama://")),
                *("--alias", workload.name),
                *("--port", port_word("http")),
            ),
            environment=environment,
            port_names=("http",),
            # Answers 200 only once the model is there under the name that clients use.
            probe=_probe(workload, ProbeTarget(kind="http", address=address, path=f"/v1/models/{workload.name}")),
            resources=workload.resources,
            drain_timeout_s=workload.drain_timeout_s,
            stop_timeout_s=_OLLAMA_STOP_S,
        )
    )


def _installed(program: str, around: Surroundings) -> str | None:
    return around.inventory.machine.programs.get(program) if around.inventory.machine else None


def _missing(workload: Workload, program: str, hint: str) -> Rendering:
    says = f"{workload.name} needs engine {program}, but there is no program `{program}` on PATH. {hint}"
    where = nearest(workload.positions, "spec.engine", workload.position)
    return Rendering(findings=(Finding(rule="render", subject=workload.key, verdict="error", says=says, where=where),))


def _llamacpp(workload: Workload, runs: ModelServer, file: ModelFile, capacity: ModelCapacity) -> ProcessTemplate:
    command = [sys.executable, "-m", f"{_PROGRAMS}.llamacpp_server", "--model", str(file.path)]
    command += ["--alias", workload.name, "--socket", "{socket}", "--parallel", str(capacity.slots)]
    command += ["--context", str(capacity.context)]
    if file.header.task != "generate":
        command += ["--task", file.header.task]
    threads = ("--threads", str(capacity.threads))
    # Threads that nobody wrote follow the number of replicas: no reason to restart those that run.
    path = workload.health.path or "/health"
    template = _revised(
        ProcessTemplate(
            revision="",
            command=(*command, *threads) if runs.threads else tuple(command),
            environment=workload.env,
            uses_socket=True,
            probe=_probe(workload, ProbeTarget(kind="http", address="{socket}", path=path)),
            metrics=ProbeTarget(kind="http", address="{socket}", path="/metrics"),
            resources=workload.resources,
            drain_timeout_s=workload.drain_timeout_s,
            stop_timeout_s=workload.stop_timeout_s,
        )
    )
    return template if runs.threads else dataclasses.replace(template, command=(*template.command, *threads))


def _port_probe(workload: Workload) -> ProbePlan | None:
    health = workload.health
    name = health.port or next(iter(workload.ports), None)
    if name is None:
        return None
    address = "{socket}" if workload.ports[name].is_behind_front else f"127.0.0.1:{port_word(name)}"
    by_protocol = "grpc" if workload.ports[name].protocol == "grpc" else "tcp"
    kind = health.kind or ("http" if health.path else by_protocol)
    return _probe(workload, ProbeTarget(kind=kind, address=address, path=health.path or "/"))


def _probe(workload: Workload, target: ProbeTarget) -> ProbePlan:
    health = workload.health
    return ProbePlan(
        target=target,
        interval_s=health.interval,
        timeout_s=health.timeout,
        failure_threshold=health.failure_threshold,
        start_timeout_s=health.start_timeout,
    )


def _revised(template: ProcessTemplate) -> ProcessTemplate:
    """Name the template by its content. A change of probes or of stopping does not restart a replica."""
    content: dict[str, object] = {
        "command": template.command,
        "environment": dict(template.environment),
        "workingDirectory": template.working_directory,
        "ports": template.port_names,
        "resources": dataclasses.asdict(template.resources),
    }
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return dataclasses.replace(template, revision=_digest(canonical))


def _restarted(template: ProcessTemplate, when: str | None) -> ProcessTemplate:
    """Return the template as another revision after a restart; the revision of a service without one stays."""
    if when is None:
        return template
    return dataclasses.replace(template, revision=_digest(f"{template.revision} restarted at {when}"))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
