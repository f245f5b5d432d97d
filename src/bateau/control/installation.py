"""The units of Bateau's own installation on a cluster, and the effect of an installation or an upgrade.

Called by cli.install, wiring.installing and the docs. Pure.

Invariant: the definitions and the namespace are units like the others, and no removal includes them: the runtime keeps
these kinds. Held by tests/wiring/test_installing.py.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from bateau import __version__
from bateau.domain.change import Delivery
from bateau.domain.errors import ControlError
from bateau.domain.manifest import Manifest
from bateau.domain.spec import API_VERSION
from bateau.domain.unit import Objects, Unit
from bateau.domain.workload import ServiceKey
from bateau.kit.json_value import JsonObject, ReadObject
from bateau.plan import Limits, compare
from bateau.render.installation.chart import LOGS_PART, chart
from bateau.render.installation.objects import (
    LOGS_HIDDEN,
    Installation,
    controller_objects,
    gateway_objects,
    log_objects,
    namespace_of,
)
from bateau.render.installation.rights import DocumentResource, Right, rights_of_controller
from bateau.specs import custom_resource_definitions
from bateau.specs.kinds import STORED

_VERSION: Final = re.compile(r"v?\d+\.\d+\.\d+\S*").fullmatch
_KIND: Final = "bateau"


def rights() -> tuple[Right, ...]:
    """Return the rights of the controller."""
    group = API_VERSION.partition("/")[0]
    return rights_of_controller(
        [
            DocumentResource(
                group=group,
                plural=each.resource.plural,
                reported=each.to_workload is not None or each.resource.reported,
            )
            for each in STORED
            if each.resource
        ]
    )


def parts_of(settings: Installation) -> Mapping[str, list[JsonObject]]:
    """Return every object of an installation, by its part, in the order in which they can be applied."""
    return {
        "namespace": [namespace_of(settings)],
        "definitions": custom_resource_definitions(),
        "controller": controller_objects(settings, rights()),
        **({} if settings.logs == LOGS_HIDDEN else {LOGS_PART: log_objects()}),
        "gateway": gateway_objects(settings),
    }


def units_of_installation(settings: Installation) -> tuple[Unit, ...]:
    """Return a unit for each part."""
    return tuple(
        Unit(key=key, target="kubernetes", body=Objects(manifests=tuple(_manifest(key, each) for each in trees)))
        for part, trees in parts_of(settings).items()
        for key in [ServiceKey(f"{_KIND}/{part}")]
    )


def chart_files() -> Mapping[str, str]:
    """Return the Helm chart: the text of each file by its path. Helm makes the namespace itself."""
    return chart(lambda settings: {name: each for name, each in parts_of(settings).items() if name != "namespace"})


def changes_of(units: Iterable[Unit], there: Iterable[ReadObject], *, cluster: str) -> Delivery:
    """Return the effect of applying an installation; `there` are its objects as they are now."""
    bodies = [unit.body for unit in units if isinstance(unit.body, Objects)]
    # Counted as objects: nobody knows the parts of Bateau as services.
    manifests = [replace(each, service=None) for body in bodies for each in body.manifests]
    # A person confirms the plan as a whole, and data is in none of its objects.
    found = compare(manifests, there, limits=Limits(removals_min=len(manifests)))
    return replace(found, cluster=cluster)


def upgraded(image: str) -> str:
    """Return the image of this version in the same repository; the same image if its tag is not a version.

    Raises ControlError for an image that is named by its digest.

    >>> upgraded("registry.example/bateau:0.0.1") == f"registry.example/bateau:{__version__}"
    True
    >>> upgraded("registry.example:5000/bateau")
    'registry.example:5000/bateau'
    """
    if "@" in image:
        raise ControlError(f"the installed image is named by its digest: {image}", hint="name the new one with --image")
    repository, _, tag = image.rpartition(":")
    return f"{repository}:{__version__}" if _VERSION(tag) else image


def _manifest(key: ServiceKey, tree: JsonObject) -> Manifest:
    return Manifest(service=key, target="kubernetes", tree=tree, origins={})
