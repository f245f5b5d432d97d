"""Turn texts into the units of a cluster: all of a commit or nothing, or each document by itself.

Called by control and wiring. Pure, except for the files that `foreign` reads.

Invariant: a commit with an error gives no units. Held by
tests/control/test_declared.py::test_a_commit_with_an_error_gives_nothing.
Invariant: among documents that stand by themselves, an error affects its own document and those that need it. Held by
tests/control/test_declared.py::test_an_error_stays_with_its_document.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bateau.control.deliveries import digests_of
from bateau.control.delivery import Rendered, deliver
from bateau.control.destinations import units_of
from bateau.control.holding import Held
from bateau.control.object_checks import Rules
from bateau.domain.api_key import ApiKey
from bateau.domain.problem import Severity
from bateau.domain.release import Release
from bateau.domain.unit import Objects, Unit
from bateau.kit.position import Position
from bateau.policy import Policy
from bateau.ports.foreign import Foreign
from bateau.specs import read

_POLICY: Final = "policy/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excepted:
    """An exception from a policy, which `owner` has until a day, such as "2026-11-30"."""

    policy: str
    owner: str
    until: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The units of an environment on a cluster.

    `refused` has the reason for each document that is not applied: its objects stay as they are. `elsewhere` has the
    reason for each service without objects on a cluster. With `wrong`, nothing at all is applied, for this reason.
    `pins` are the revisions at which a rollback holds services. `digests` are those of the services as written.
    `commit` is the commit that they come from, if it is known. `keys` are the API keys of a followed environment.
    Unless it `names_models`, as old bundles do not, `release` and `keys` are not known. `exceptions` are those from
    the policies; None where policies are judged elsewhere, as those of a bundle are.
    """

    units: tuple[Unit, ...] = ()
    release: Release = field(default_factory=Release)
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    elsewhere: Mapping[str, str] = field(default_factory=dict[str, str])
    wrong: str | None = None
    pins: Mapping[str, int] = field(default_factory=dict[str, int])
    digests: Mapping[str, str] = field(default_factory=dict[str, str])
    commit: str | None = None
    keys: tuple[ApiKey, ...] = ()
    names_models: bool = True
    exceptions: tuple[Excepted, ...] | None = None


def declare(
    texts: Mapping[str, str],
    environment: str | None,
    rules: Rules,
    *,
    namespace: str | None = None,
    variables: Mapping[str, str] | None = None,
    foreign: Foreign | None = None,
    hold: Callable[[Rendered], Held] | None = None,
) -> Declared:
    """Return the units of a repository's texts; none if there is any error in them.

    `hold` puts in the services that a rollback holds. One that cannot be read leaves its service as it is.
    """
    made = deliver(read(texts), environment, rules, variables=variables, namespace=namespace, foreign=foreign)
    if made.absent:
        return Declared(wrong=f"there is no Environment {environment}")
    errors = [*_errors(made)]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        place = f"{errors[0].where}: " if errors[0].where else ""
        return Declared(wrong=f"{place}{errors[0].says}{more}")
    if hold is None:
        return _declared(made)
    held = hold(made)
    unread = {key: f"{each.says} ({each.hint})" for each in held.problems for key in each.services}
    declared = _declared(held.made)
    return replace(
        declared,
        units=tuple(each for each in declared.units if each.key not in unread),
        refused={**declared.refused, **unread},
        pins=held.pins,
        digests=digests_of(made),
    )


def declare_each(texts: Mapping[str, str], rules: Rules, *, namespace: str) -> Declared:
    """Return the units of documents that stand by themselves. Each text has one, and is named by its key.

    A service key names a service's text, and "policy/NAME" that of a policy. While a policy has an error, every
    document is refused: nobody knows what the policy would forbid.
    """
    sound = dict(texts)
    refused: dict[str, str] = {}
    while True:
        made = deliver(read(sound), None, rules, namespace=namespace)
        errors = [*_errors(made)]
        if not errors:
            declared = _declared(made)
            return replace(declared, refused={**refused, **declared.refused})
        blamed = {each.key: each.says for each in reversed(errors) if each.key in sound}
        unread = next((e.says for e in errors if e.key not in sound or e.key.startswith(_POLICY)), None)
        if unread is not None:
            return Declared(refused={**dict.fromkeys(texts, unread), **refused, **blamed})
        refused |= blamed
        for key in blamed:
            del sound[key]


def _declared(made: Rendered) -> Declared:
    units = tuple(replace(each, body=_without_origins(each)) for each in units_of(made))
    have = {each.key for each in units}
    says = {each.subject: each.says for each in reversed(made.unrendered)}
    return Declared(
        units=units,
        release=made.written.release,
        keys=made.written.keys,
        exceptions=excepted(made.written.policies),
        elsewhere={
            str(each.key): says.get(each.key, "it has no objects on a cluster")
            for each in made.written.release.services
            if each.key not in have
        },
    )


def excepted(policies: Iterable[Policy]) -> tuple[Excepted, ...]:
    """Return the exceptions from some policies."""
    return tuple(
        Excepted(policy=policy.name, owner=each.owner, until=each.until, reason=each.reason)
        for policy in policies
        for each in policy.spec.exceptions
    )


def _without_origins(unit: Unit) -> Objects:
    """Return the objects alone: between processes, their origins are most of the bytes, and nobody here reads them."""
    manifests = unit.body.manifests if isinstance(unit.body, Objects) else ()
    return Objects(manifests=tuple(replace(each, origins={}) for each in manifests))


@dataclass(frozen=True, slots=True)
class _Error:
    """An error, and the text that it is about, "" if that is not known."""

    key: str
    where: Position | None
    says: str


def _errors(made: Rendered) -> Iterator[_Error]:
    for problem in made.written.problems:
        if problem.severity is Severity.ERROR:
            says = f"{problem.says} ({problem.hint})" if problem.hint else problem.says
            file = problem.where.file if problem.where else ""
            for key in problem.services or (file,):
                yield _Error(key, problem.where, says)
    for finding in made.findings:
        if finding.verdict == "error":
            key = finding.service or (finding.where.file if finding.where else finding.subject)
            yield _Error(key, finding.where, f"{finding.subject}: {finding.says}")
