"""Environment: a context to hydrate for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from bateau.domain.api_resources import resources_of
from bateau.domain.dns_label import DNS_LABEL, DNS_LABEL_SAYS
from bateau.domain.problem import Problem, Severity
from bateau.domain.resource import Column, Resource, Validation
from bateau.domain.spec import Kind, Names, Spec
from bateau.kit.cel_text import OPEN, expressions
from bateau.kit.json_value import ReadJson, ReadObject, array_at, is_object, object_at, text_at
from bateau.kit.position import leaves
from bateau.kit.schema import described
from bateau.kit.suggest import did_you_mean, suggestion
from bateau.specs.kinds.wrong import at

_CHECK_HINT: Final = "write one like status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"
# The fields of an object that a health check sees, also where an object lacks them.
OBJECT_FIELDS: Final = ("apiVersion", "data", "kind", "metadata", "spec", "status")


@dataclass(frozen=True, kw_only=True)
class Match:
    """The objects that a patch applies to."""

    kind: str | None = described(
        "Kind of the object. `Model`, `App` or absent: Bateau's own documents. Any other kind: Kubernetes manifests, "
        "rendered by Bateau or from a chart or other foreign documents.",
        default=None,
        examples=("Model", "App", "Deployment"),
    )
    name: str | None = described("Name, or a glob of names.", default=None, examples=("chat", "shop-*"))
    labels: Mapping[str, str] = described("Labels that the object must have.", default_factory=dict)
    when: str | None = described(
        "CEL expression that must be true. It can use `metadata`, `spec`, `kind`, `values` and `environment`, and for "
        "manifests also the whole object as `object`.",
        default=None,
        examples=("has(spec.accelerator)",),
    )


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A change to the objects that match."""

    match: Match = described("The objects to change.", default_factory=Match)
    set: Mapping[str, ReadJson] = described(
        "Values by path: `spec.replicas`, `spec.command[0]`, `spec.containers[name=web].image`. `null` removes a field "
        "or an item; a mapping at `[name=NEW]` adds an item.",
        default_factory=dict,
    )


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """CEL expressions that judge the health of the objects of one kind.

    They see the fields of the object (`metadata`, `spec`, `status`, `data`) and are evaluated in this order:
    `inProgress`, `failed`, `current`. If none is true, the object is in progress.
    """

    api_version: str = described("API version of the kind.", examples=("cert-manager.io/v1",))
    kind: str = described("Kind of the objects.", examples=("Certificate",))
    current: str = described(
        "CEL expression that is true for a healthy object.",
        examples=("status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",),
    )
    failed: str | None = described("CEL expression that is true for an object that has failed.", default=None)
    in_progress: str | None = described("CEL expression that is true while the object changes.", default=None)


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec:
    """A context to hydrate for."""

    from_: tuple[str, ...] = described(
        "Environments whose values and patches this one builds on, in order. Its own take precedence.",
        default=(),
        examples=(("base",),),
    )
    labels: Mapping[str, str] = described(
        "Labels, available to expressions as `environment.labels`.", default_factory=dict
    )
    env: tuple[str, ...] = described(
        "Environment variables that expressions can read with `env(name)`. They cannot read any others.", default=()
    )
    after: tuple[str, ...] = described("Environments that precede this one in the order of promotion.", default=())
    clusters: tuple[str, ...] = described(
        "Clusters that the environment runs on, in the order in which they are changed. Absent: this machine.",
        default=(),
        examples=(("berlin", "paris"),),
    )
    namespace: str | None = described(
        "Namespace on clusters for services whose documents name none. `--namespace` overrides it.",
        default=None,
        pattern=DNS_LABEL,
        pattern_says=DNS_LABEL_SAYS,
        examples=("shop-prod",),
    )
    drift: Literal["repair", "report"] | None = described(
        "What `apply` and the controller do with a field that someone else has changed on a cluster. `repair` takes it "
        "back, on objects that Bateau has created; `report` shows it and leaves it. Absent: `report`, or the value of "
        "the environments that this one builds on.",
        default=None,
    )
    health_check_exprs: tuple[HealthCheck, ...] = described(
        "Health of third-party kinds, in the form of Flux' `healthCheckExprs`. Without one, an object is judged by its "
        "condition Ready, and is `unknown` if it has none.",
        default=(),
    )
    exclude: tuple[str, ...] = described(
        "Services to exclude from this environment and from those that build on it: keys, or globs of keys.",
        default=(),
        examples=(("app/debug", "model/*"),),
    )
    values: Mapping[str, ReadJson] = described("Values, available to expressions as `values`.", default_factory=dict)
    patches: tuple[Patch, ...] = described("Changes to documents and manifests.", default=())


def references(spec: Spec, fields: ReadObject, names: Names) -> list[Problem]:
    """Report unknown names, and expressions in places where they are not evaluated."""
    return [
        *_plain_texts(spec, fields),
        *_misspelt_kinds(spec, fields, names),
        *_unknown_names(spec, fields, "after", "Environment", names.environments - {spec.name}, names.doubtful),
        *_unknown_names(spec, fields, "clusters", "Cluster", names.clusters, names.doubtful),
        *_nothing_excluded(spec, fields, names),
        *_wrong_checks(spec, fields),
    ]


def _plain_texts(spec: Spec, fields: ReadObject) -> list[Problem]:
    hint = "move the expression to the field that uses the value, or to a patch"
    plain = [
        at(spec, path, f"`${{ }}` in {path} is plain text and not evaluated", hint, severity=Severity.WARNING)
        for path, value in leaves(fields.get("values"), "spec.values")
        if isinstance(value, str) and expressions(value)
    ]
    namespace = fields.get("namespace")
    if isinstance(namespace, str) and OPEN in namespace:
        says = "spec.namespace is an expression, but expressions in an Environment are not evaluated"
        plain.append(at(spec, "spec.namespace", says, "write the namespace itself"))
    return plain


def _nothing_excluded(spec: Spec, fields: ReadObject, names: Names) -> list[Problem]:
    found: list[Problem] = []
    for index, pattern in enumerate(array_at(fields, "exclude")):
        if not isinstance(pattern, str) or any(fnmatchcase(key, pattern) for key in names.services):
            continue
        if pattern.partition("/")[2] in names.doubtful or (any(each in pattern for each in "*?[") and names.doubtful):
            continue
        meant = [f"`{key}`" for key in sorted(names.services) if key.partition("/")[2] == pattern]
        hint = suggestion(pattern, names.services, none="no Model and no App is defined")
        hint = f"write {' or '.join(meant)}" if meant else hint
        says = f"exclude names `{pattern}`, but there is no such service"
        found.append(at(spec, f"spec.exclude[{index}]", says, hint))
    return found


def _wrong_checks(spec: Spec, fields: ReadObject) -> Iterator[Problem]:
    """Report health checks that are not valid CEL expressions."""
    for index, check in enumerate(array_at(fields, "healthCheckExprs")):
        for field in ("current", "failed", "inProgress"):
            expression = text_at(check, field) if is_object(check) else ""
            if expression and (says := _flaw(expression)):
                path = f"spec.healthCheckExprs[{index}].{field}"
                yield at(spec, path, f"{path.removeprefix('spec.')} is not valid CEL: {says}", _CHECK_HINT)


def _flaw(expression: str) -> str | None:
    from bateau.kit.cel import CelError, result_type  # most environments have no such check

    try:
        kind = result_type(expression, OBJECT_FIELDS)
    except CelError as error:
        return str(error)
    return None if kind in ("BOOL", "DYN") else f"the result has the type {kind}, and must be true or false"


def _unknown_names(
    spec: Spec, fields: ReadObject, field: str, kind: str, known: frozenset[str], doubtful: frozenset[str]
) -> list[Problem]:
    """Report the items of a field that name no document of a kind."""
    none = f"no {'other ' if kind == spec.kind else ''}{kind} is defined"
    return [
        at(
            spec,
            f"spec.{field}[{index}]",
            f"{field} `{name}`, but there is no such {kind}",
            suggestion(name, sorted(known), none=none),
        )
        for index, name in enumerate(array_at(fields, field))
        if isinstance(name, str) and "${" not in name and name not in known and name not in doubtful
    ]


def _misspelt_kinds(spec: Spec, fields: ReadObject, names: Names) -> Iterator[Problem]:
    """Report kinds in patches that are unknown to Kubernetes and close to the kind of a service.

    Such a patch would match no manifest and change nothing.
    """
    services = sorted(names.service_kinds.values())
    for index, patch in enumerate(array_at(fields, "patches")):
        kind = object_at(patch, "match").get("kind")
        if not isinstance(kind, str) or kind in services or resources_of(kind):
            continue
        if hint := did_you_mean(kind, services):
            yield at(spec, f"spec.patches[{index}].match.kind", f"there is no kind `{kind}`", hint)


_RESOURCE = Resource(
    plural="environments",
    short_name="benv",
    columns=(
        Column(name="Clusters", path=".spec.clusters"),
        Column(name="Namespace", path=".spec.namespace"),
        Column(name="From", path=".spec.from", wide=True),
        Column(name="After", path=".spec.after", wide=True),
    ),
    validations=(
        Validation(
            on="",
            rule="!has(self.spec) || !has(self.spec.after) || !(self.metadata.name in self.spec.after)",
            message="an Environment cannot come after itself: remove its own name from after",
            field="spec.after",
        ),
    ),
    limits={"spec.after": {"maxItems": 256}, "spec.after[]": {"maxLength": 253}},
)

KIND = Kind(name="Environment", schema=EnvironmentSpec, resource=_RESOURCE, references=references)
