"""Turn a bundle into the units of a cluster, as `control.declared` does with texts.

Called by wiring.declaring and wiring.followed_bundle. Pure.

Invariant: a bundle of another environment, namespace or repository than the first one gives no units, and neither does
one that a policy forbids. Held by tests/control/test_bundled.py.
Invariant: a service that a rollback holds stays as it is until its spec changes, because the bundle does not have the
earlier commit. Held by tests/control/test_bundled.py.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bateau.control.bundle import about_in, manifests_in, reading_of
from bateau.control.declared import Declared
from bateau.control.deliveries import Deliveries
from bateau.control.destinations import Terms, units_from
from bateau.control.served import FILE, served_in
from bateau.domain.errors import ControlError
from bateau.domain.release import Release
from bateau.kit.archive import files_in
from bateau.kit.json_value import JsonObject, array_at, named_texts_at, text_at, texts_at
from bateau.specs.kinds.environment import HealthCheck

_FOR_AGENTS = ("namespace", "repository", "drift", "healthChecks", "digests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a bundle comes from, and what it says about the cluster. `repository` is "" if it is not known."""

    environment: str | None
    repository: str
    commit: str | None
    terms: Terms


def origin_of(data: bytes, name: str, environment: str | None) -> Origin:
    """Return where the bundle with this `name` comes from.

    Raises ControlError, also if it is for another environment than `environment`.
    """
    with reading_of(name):
        found = _origin(about_in(files_in(data), name), name)
    if environment is not None and found.environment != environment:
        raise ControlError(f"{name} is a bundle of {found.environment}, not of {environment}")
    return found


def declared_by(data: bytes, name: str, deliveries: Deliveries, first: Origin) -> Declared:
    """Return the units of a bundle, except for the services that a rollback of `deliveries` holds.

    `first` is the origin of the bundle that was followed first. Raises ControlError.
    """
    with reading_of(name):
        files = files_in(data)
        about = about_in(files, name)
        origin = _origin(about, name)
        _refuse_other(origin, first, name)
        if forbidden := _forbidden(files):
            return Declared(wrong=forbidden, commit=origin.commit)
        digests = named_texts_at(about, "digests")
        services = texts_at(about, "services")
        units = units_from(each for service in services for each in manifests_in(files, service))
        release, keys = served_in(files[FILE]) if FILE in files else (None, ())
    holds = deliveries.lasting(digests)
    return Declared(
        units=tuple(each for each in units if each.key not in holds),
        refused={
            key: f"{key} is rolled back to revision {hold.revision}, which the bundle does not have: its objects stay "
            "as they are until its spec changes"
            for key, hold in holds.items()
        },
        pins={key: hold.revision for key, hold in holds.items()},
        digests=digests,
        commit=origin.commit,
        release=release or Release(),
        keys=keys,
        names_models=release is not None,
    )


def _origin(about: JsonObject, name: str) -> Origin:
    if missing := [each for each in _FOR_AGENTS if each not in about]:
        hint = "render it again with this version"
        raise ControlError(f"{name} was made by an older Bateau: it does not have {missing[0]}", hint=hint)
    drifts: dict[str, Literal["repair", "report"]] = {"repair": "repair", "report": "report"}
    return Origin(
        environment=text_at(about, "environment") or None,
        repository=text_at(about, "repository"),
        commit=text_at(about, "commit") or None,
        terms=Terms(
            namespace=str(about["namespace"]),
            drift=drifts.get(text_at(about, "drift")),
            health_checks=tuple(
                HealthCheck(
                    api_version=text_at(each, "apiVersion"),
                    kind=text_at(each, "kind"),
                    current=text_at(each, "current"),
                    failed=text_at(each, "failed") or None,
                    in_progress=text_at(each, "inProgress") or None,
                )
                for each in array_at(about, "healthChecks")
            ),
        ),
    )


def _refuse_other(origin: Origin, first: Origin, name: str) -> None:
    """Raise ControlError for a bundle whose objects have another owner than those of the first one."""
    told, before = origin.terms.namespace, first.terms.namespace
    if (origin.environment, told) != (first.environment, before):
        says = f"{name} is a bundle of {origin.environment} in namespace {told}"
        hint = "to follow that one instead, restart the controller; it leaves the objects of the one before as they are"
        raise ControlError(f"{says}, not of {first.environment} in {before}", hint=hint)
    if origin.repository and first.repository and origin.repository != first.repository:
        says = f"{name} is a bundle of the repository {origin.repository}, not of {first.repository}"
        raise ControlError(says, hint="push the bundles of another repository to another tag")


def _forbidden(files: Mapping[str, bytes]) -> str | None:
    """Return the reason why a bundle must not be applied; None if nothing forbids it."""
    found = [each for each in array_at(json.loads(files["findings.json"])) if text_at(each, "verdict") == "error"]
    if not found:
        return None
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{text_at(found[0], 'subject')}: {text_at(found[0], 'says')}{more}"
