"""Objects in waves: what the next ones need comes first, and is healthy."""

from hypothesis import given
from hypothesis import strategies as st

from bateau.control.waves import Wave, waves
from bateau.domain.manifest import Manifest
from bateau.domain.process import ProcessTemplate
from bateau.domain.unit import Objects, Unit
from bateau.domain.workload import ServiceKey

KINDS = [
    ("v1", "Namespace"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("v1", "ConfigMap"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("cert-manager.io/v1", "Certificate"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("networking.k8s.io/v1", "Ingress"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
]


def _manifest(version: str, kind: str, name: str = "a") -> Manifest:
    tree = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}}
    return Manifest(service="app/shop", target="kubernetes", tree=tree, origins={})


def _unit(*manifests: Manifest, name: str = "shop") -> Unit:
    return Unit(key=ServiceKey.of("App", name), target="kubernetes", body=Objects(manifests=manifests))


def _kinds(found: Wave) -> set[str]:
    return {each[1] for each in found.own}


def test_definitions_configuration_workloads_and_the_gateway_follow_one_another() -> None:
    found = waves([_unit(*(_manifest(*each) for each in KINDS))])
    assert [each.name for each in found] == [
        "namespaces and definitions",
        "configuration and Services",
        "workloads",
        "the gateway",
    ]
    assert _kinds(found[1]) == {"ConfigMap", "PersistentVolumeClaim", "Service"}
    assert _kinds(found[2]) == {"Deployment", "Certificate", "NetworkPolicy"}
    assert [{each[1] for each in one.awaited} for one in found] == [
        {"Namespace", "CustomResourceDefinition"},
        set(),
        {"Deployment"},
        set(),
    ]


def test_the_configuration_of_all_services_comes_before_the_workload_of_any() -> None:
    first, _ = waves([_unit(_manifest("apps/v1", "Deployment")), _unit(_manifest("v1", "ConfigMap"), name="cart")])
    assert [unit.key for unit in first.units] == ["app/cart"]


def test_what_needs_no_waves_is_one() -> None:
    assert len(waves([])) == 1
    assert len(waves([_unit(_manifest("apps/v1", "Deployment"))])) == 1
    process = Unit(key=ServiceKey.of("App", "x"), target="process", body=ProcessTemplate(revision="1", command=("x",)))
    assert waves([process])[0].units == [process]


@given(st.lists(st.lists(st.sampled_from(KINDS), max_size=6), max_size=4))
def test_every_object_is_in_one_wave_and_the_last_wave_has_all(kinds: list[list[tuple[str, str]]]) -> None:
    units = [
        _unit(*(_manifest(*each, name=f"o{n}-{at}") for at, each in enumerate(one)), name=f"s{n}")
        for n, one in enumerate(kinds)
    ]
    found = waves(units)
    every = [key for wave in found for key in wave.own]
    assert len(every) == len(set(every)) == sum(map(len, kinds))
    last = {m.key for unit in found[-1].units if isinstance(unit.body, Objects) for m in unit.body.manifests}
    assert last == set(every)
