"""How each engine runs as a process on this machine.

Called by control.path through ports.templates. Pure but for looking up whether a program is installed.

Invariant: the same service, model, capacity and addresses give the same template, hence the same revision: a control
plane that was restarted recognises what runs.
"""

import dataclasses
import hashlib
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath

from bateau.domain.errors import ReplicaError
from bateau.domain.model_file import ModelFile
from bateau.domain.placement import ModelCapacity
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.release import Service
from bateau.domain.spec import AppSpec, Health, ModelSpec


class LocalTemplates:
    """Templates for llama.cpp, vLLM, Ollama and commands. `directory` is where specs lie."""

    def __init__(self, directory: PurePath, *, find_program: Callable[[str], str | None] = shutil.which) -> None:
        self._directory = directory
        self._find_program = find_program

    def template(
        self,
        service: Service,
        *,
        file: ModelFile | None,
        capacity: ModelCapacity | None,
        addresses: Mapping[str, str],
    ) -> ProcessTemplate:
        """Return how to run one replica of `service`. Raises ReplicaError where its program is not installed."""
        if isinstance(service.spec, AppSpec):
            return self._app(service, service.spec, addresses)
        if service.spec.engine == "vllm":
            return self._vllm(service, service.spec)
        if service.spec.engine == "ollama":
            return self._ollama(service, service.spec)
        if file is None or capacity is None:
            raise ReplicaError(f"the model of {service.name} is not here yet")
        return _llamacpp(service, service.spec, file, capacity)

    def _app(self, service: Service, spec: AppSpec, addresses: Mapping[str, str]) -> ProcessTemplate:
        environment = dict(spec.env)
        for used in spec.uses:
            name = used.partition("/")[2].upper().replace("-", "_")
            environment.setdefault(f"BATEAU_{name}_URL", addresses.get(used, ""))
            if used.startswith("model/"):
                environment.setdefault(f"BATEAU_{name}_MODEL", used.partition("/")[2])
        for name in spec.ports:
            environment.setdefault(f"PORT_{name.upper().replace('-', '_')}", f"{{port:{name}}}")
        if spec.ports:
            # What most servers look for by themselves.
            environment.setdefault("PORT", f"{{port:{next(iter(spec.ports))}}}")
        base = self._directory / PurePath(service.position.file).parent
        return _revised(
            ProcessTemplate(
                revision="",
                command=spec.command or (),
                environment=environment,
                working_directory=str(base / spec.working_directory if spec.working_directory else base),
                port_names=tuple(spec.ports),
                probe=_app_probe(spec),
                resources=spec.resources,
                stop_timeout_s=spec.stop_timeout,
            )
        )

    def _vllm(self, service: Service, spec: ModelSpec) -> ProcessTemplate:
        program = self._installed(service, "vllm", "install vLLM, or set engine: llama.cpp with a GGUF source")
        command = [program, "serve", spec.source.removeprefix("hf://"), "--served-model-name", service.name]
        command += ["--uds", "{socket}", "--max-num-seqs", str(spec.parallel)]
        if spec.context_length:
            command += ["--max-model-len", str(spec.context_length)]
        return _revised(
            ProcessTemplate(
                revision="",
                command=tuple(command),
                environment=spec.env,
                uses_socket=True,
                probe=_probe(spec.health, ProbeTarget(kind="http", address="{socket}", path="/health")),
                resources=spec.resources,
                stop_timeout_s=30.0,
            )
        )

    def _ollama(self, service: Service, spec: ModelSpec) -> ProcessTemplate:
        program = self._installed(service, "ollama", "install Ollama, or set engine: llama.cpp")
        environment = {"OLLAMA_NUM_PARALLEL": str(spec.parallel), **spec.env}
        if spec.context_length:
            environment.setdefault("OLLAMA_CONTEXT_LENGTH", str(spec.context_length))
        return _revised(
            ProcessTemplate(
                revision="",
                command=(
                    sys.executable,
                    "-m",
                    "bateau.runtimes.programs.ollama_server",
                    *("--program", program),
                    *("--model", spec.source.removeprefix("ollama://")),
                    *("--alias", service.name),
                    *("--port", "{port:http}"),
                ),
                environment=environment,
                port_names=("http",),
                # Answers 200 only once the model is there under the name that clients use.
                probe=_probe(
                    spec.health,
                    ProbeTarget(kind="http", address="127.0.0.1:{port:http}", path=f"/v1/models/{service.name}"),
                ),
                resources=spec.resources,
                stop_timeout_s=15.0,
            )
        )

    def _installed(self, service: Service, program: str, hint: str) -> str:
        found = self._find_program(program)
        if found is None:
            raise ReplicaError(
                f"{service.name} wants engine {program}, but there is no program `{program}` on PATH",
                hint=hint,
            )
        return found


def _llamacpp(service: Service, spec: ModelSpec, file: ModelFile, capacity: ModelCapacity) -> ProcessTemplate:
    command = [sys.executable, "-m", "bateau.runtimes.programs.llamacpp_server", "--model", str(file.path)]
    command += ["--alias", service.name, "--socket", "{socket}", "--parallel", str(capacity.slots)]
    command += ["--context", str(capacity.context)]
    if file.header.embedding:
        command.append("--embedding")
    threads = ("--threads", str(capacity.threads))
    # Threads that nobody wrote follow the number of replicas: no reason to restart those that run.
    template = _revised(
        ProcessTemplate(
            revision="",
            command=(*command, *threads) if spec.threads else tuple(command),
            environment=spec.env,
            uses_socket=True,
            probe=_probe(spec.health, ProbeTarget(kind="http", address="{socket}", path=spec.health.path or "/health")),
            resources=spec.resources,
            stop_timeout_s=10.0,
        )
    )
    return template if spec.threads else dataclasses.replace(template, command=(*template.command, *threads))


def _app_probe(spec: AppSpec) -> ProbePlan | None:
    name = spec.health.port or next(iter(spec.ports), None)
    if name is None:
        return None
    address = f"127.0.0.1:{{port:{name}}}"
    if spec.health.path:
        return _probe(spec.health, ProbeTarget(kind="http", address=address, path=spec.health.path))
    kind = "grpc" if spec.ports[name].protocol == "grpc" else "tcp"
    return _probe(spec.health, ProbeTarget(kind=kind, address=address))


def _probe(health: Health, target: ProbeTarget) -> ProbePlan:
    return ProbePlan(
        target=target,
        interval_s=health.interval,
        timeout_s=health.timeout,
        failure_threshold=health.failure_threshold,
        start_timeout_s=health.start_timeout,
    )


def _revised(template: ProcessTemplate) -> ProcessTemplate:
    """Name the template by its content. How it is probed and stopped is no reason to restart it."""
    content = repr(
        (
            template.command,
            sorted(template.environment.items()),
            template.working_directory,
            template.port_names,
            template.resources,
        )
    )
    revision = hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
    return dataclasses.replace(template, revision=revision)
