"""Give each service that uses a model a key for it, so that it works the same with keys on.

Called by control.loop.

Invariant: the key is in no record, argument or log: a template has a placeholder for it. Held by
tests/local/test_service_keys.py::test_an_app_may_ask_the_models_that_it_uses_and_no_other.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from bateau.domain.process import SERVICE_KEY, ProcessTemplate
from bateau.domain.release import Release
from bateau.domain.unit import Unit
from bateau.ports.service_keys import ServiceKeyring


def models_of(release: Release) -> Mapping[str, Sequence[str]]:
    """Return the names of the models that each service may ask, by service key; a service without any is left out."""
    names = {
        service.key: (service.name, *service.served_names) for service in release.services if service.is_named_in_bodies
    }
    found = {
        service.key: sorted(name for used in service.uses for name in names.get(used, ()))
        for service in release.services
    }
    return {str(key): used for key, used in found.items() if used}


def follow_keys(keyring: ServiceKeyring | None, release: Release) -> None:
    """Admit the keys of the services of a release, and no others. Raises BateauError."""
    if keyring is not None:
        keyring.follow(models_of(release))


def with_keys(units: Mapping[str, Unit], keyring: ServiceKeyring | None, *, but_for: Collection[str]) -> list[Unit]:
    """Return the units to apply; those that ask for the key of their service have it.

    Services in `but_for` are left out: their endpoints cannot be listed, so their replicas would be replaced without
    their clients being sent to the new ones.
    """
    return [_with_key(unit, keyring) for key, unit in units.items() if key not in but_for]


def _with_key(unit: Unit, keyring: ServiceKeyring | None) -> Unit:
    body = unit.body
    if keyring is None or not isinstance(body, ProcessTemplate) or SERVICE_KEY not in body.withheld:
        return unit
    return replace(unit, body=replace(body, withheld={**body.withheld, SERVICE_KEY: keyring.secret(unit.key)}))
