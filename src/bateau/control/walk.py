"""The one walk from workloads to units: place, render, and check, for every target.

Called by control.

Invariant: a service that has no unit yet, or cannot be placed or rendered, expected or by a bug, is reported with the
reason; all others get their units. Held by tests/control/test_contained.py.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TypeVar

from bateau.control.assembly import Assembled, Assembly, failed
from bateau.control.neighbourhood import Neighbourhood, member_of
from bateau.control.path import runs_here
from bateau.domain.inventory import Inventory, Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.offers import Offers
from bateau.domain.placement import Placement
from bateau.domain.release import Release
from bateau.domain.unit import Unit, Whereabouts
from bateau.domain.workload import Workload
from bateau.place import place
from bateau.render import Surroundings

logger = logging.getLogger(__name__)

_Made = TypeVar("_Made")


@dataclass(frozen=True, kw_only=True)
class World:
    """The current state of a site. `files` are keyed by service key; `where` says how services are reached there.

    Without a `machine`, services are not placed: the site places them itself. `offers` are the accelerators of a
    cluster, None if they are not known.
    """

    where: Whereabouts = Whereabouts()  # noqa: RUF009 - frozen
    machine: Machine | None = None
    directory: PurePath = PurePath()  # noqa: RUF009 - frozen
    files: Mapping[str, ModelFile] = field(default_factory=dict[str, ModelFile])
    offers: Offers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that the unit of a service depends on, beside checks."""

    service: Workload
    around: Surroundings
    doubled: bool

    def are(self, others: "Inputs | None") -> bool:
        """Whether a unit made from the others is the same. Documents are not compared: in them, `1` equals `true`."""
        if others is None or self.service is not others.service:
            return False
        return (self.around, self.doubled) == (others.around, others.doubled)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The units of a release on a site: `assembled` has every service, with its unit if it has one, and its findings.

    `refused` says why a service has no unit. A service in `held` may get a unit later, so its replicas stay.
    `inventory` and `inputs` are those that the units were made from.
    """

    placement: Placement
    assembled: Mapping[str, Assembled]
    refused: Mapping[str, str]
    held: frozenset[str]
    inventory: Inventory = Inventory()  # noqa: RUF009 - frozen
    inputs: Mapping[str, Inputs] = field(default_factory=dict[str, Inputs])

    @functools.cached_property
    def units(self) -> Mapping[str, Unit]:
        """The units, by service key."""
        return {key: each.unit for key, each in self.assembled.items() if each.unit is not None}


def walk(release: Release, world: World, assembly: Assembly, *, before: Outcome | None = None) -> Outcome:
    """Turn a release into the units of a site.

    `before` is an earlier outcome of an assembly without checks: a service whose inputs are unchanged keeps its unit.
    """
    assembled: dict[str, Assembled] = {}
    placement = _placed(release, world, assembled)
    refused: dict[str, str] = {key: problem.says for key, problem in placement.refused.items()}
    members = _contained(release, assembled, lambda each: member_of(each, world.where, assembly.target))
    around = Neighbourhood(members.values(), release.environment)
    inventory = Inventory(
        machine=world.machine,
        directory=world.directory,
        files=world.files,
        capacities=placement.capacities,
        offers=world.offers,
    )
    if before and before.inventory == inventory:
        inventory = before.inventory  # the same object, so that it is not compared for each service
    services = [each for each in release.services if each.key in members and each.key not in refused]
    assembly.include_crds((each, around.of(each.key)) for each in services)
    inputs: dict[str, Inputs] = {}
    for service in services:
        key = service.key
        made_from = Inputs(service=service, around=around.of(key, inventory), doubled=around.doubles(key))
        inputs[key] = made_from
        if before and made_from.are(before.inputs.get(key)) and before.assembled[key].unit:
            assembled[key] = before.assembled[key]
        else:
            assembled[key] = assembly.unit(service, made_from.around, doubled=made_from.doubled)
    refused |= {key: each.refusal for key, each in assembled.items() if each.refusal}
    units = {key for key, each in assembled.items() if each.unit is not None}
    held = frozenset(str(service.key) for service in release.services if runs_here(service)) - units
    return Outcome(
        placement=placement, assembled=assembled, refused=refused, held=held, inventory=inventory, inputs=inputs
    )


def _contained(
    release: Release, assembled: dict[str, Assembled], make: Callable[[Workload], _Made]
) -> dict[str, _Made]:
    """Call `make` for each service that has not failed, and return the results. A bug fails that service alone."""
    found: dict[str, _Made] = {}
    for service in release.services:
        if service.key in assembled:
            continue
        try:
            found[service.key] = make(service)
        except Exception as error:  # noqa: BLE001 - `failed` logs it
            assembled[service.key] = failed(service, error)
    return found


def _placed(release: Release, world: World, assembled: dict[str, Assembled]) -> Placement:
    """Place all services together. If a bug prevents that, place each one alone to find the service that causes it."""
    machine = world.machine
    if machine is None:
        return Placement()
    try:
        return place(release, world.files, machine)
    except Exception:  # noqa: BLE001 - it is raised again below, where it is reported with its service
        alone = _contained(
            release, assembled, lambda service: place(replace(release, services=(service,)), world.files, machine)
        ).values()
        return Placement(
            capacities={key: capacity for each in alone for key, capacity in each.capacities.items()},
            refused={key: problem for each in alone for key, problem in each.refused.items()},
            problems=tuple(problem for each in alone for problem in each.problems),
        )
