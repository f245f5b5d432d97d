"""Packing has the same results as delivery, and a memo of earlier runs changes no byte."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, cast

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bateau.control.bundle import bundle, manifests_of, read_bundle
from bateau.control.delivery import deliver
from bateau.control.destinations import Terms
from bateau.control.object_checks import Rules
from bateau.control.packing import Occasion, Packed, pack, read_sources
from bateau.domain.change import object_name
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.workload import Workload
from bateau.kit.archive import decompressed
from bateau.kit.packed import unpacked
from bateau.kit.position import leaves
from bateau.kit.yaml_writer import write
from bateau.ports.foreign import Expansion
from bateau.ports.memo import Memo
from bateau.specs import read
from bateau.wiring.schemas import load_schemas

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
RULES = Rules(schemas=load_schemas(), today=date(2026, 11, 24))
NAMES = ("a", "b", "c", "d")


class DictMemo:
    """Satisfies `ports.memo.Memo`. With `damage`, every value comes back cut."""

    def __init__(self, *, damage: bool = False) -> None:
        self.entries: dict[bytes, bytes] = {}
        self._damage = damage

    def get(self, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        return {key: self.entries[key][: -1 if self._damage else None] for key in keys if key in self.entries}

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        self.entries.update(entries)


def packed(texts: Mapping[str, str], memo: Memo, environment: str | None = "prod", **more: Any) -> Packed:
    variables = more.get("variables", {})
    occasion = Occasion(rules=RULES, namespace=more.get("namespace"), variables=variables, program=b"p")
    return pack(read_sources(texts, memo, b"p"), environment, occasion, memo)


def bundled(found: Packed) -> bytes:
    terms = Terms(namespace=found.namespace, drift=None, health_checks=())
    return bundle(found, terms, version="1", kubernetes="1.37", commit=None, repository="", served={})


def app(name: str, **spec: Any) -> str:
    body = {"image": f"r.example/{name}:1", "ports": {"http": {"protocol": "http"}}, **spec}
    tree = {"kind": "App", "metadata": {"name": name, "labels": {"team": "t"}}, "spec": body}
    return HEAD + yaml.safe_dump(tree)


@st.composite
def apps(draw: st.DrawFn) -> dict[str, str]:
    """Draw apps that use each other, one a file."""
    texts: dict[str, str] = {}
    for name in draw(st.sets(st.sampled_from(NAMES), min_size=1)):
        spec: dict[str, Any] = {
            "replicas": draw(st.sampled_from([1, 2, "${ values.n }"])),
            "env": draw(st.sampled_from([{}, {"A": "1"}, {"A": "${ values.region }"}, {"A": "${ env('N') }"}])),
            "uses": [f"app/{used}" for used in draw(st.sets(st.sampled_from(NAMES), max_size=2)) if used != name],
            "ports": {draw(st.sampled_from(["http", "web"])): {"protocol": draw(st.sampled_from(["http", "grpc"]))}},
        }
        texts[f"{name}.yaml"] = app(name, **spec)
    return texts


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, str]:
    """Draw the texts of a directory: apps, an environment that patches them, and a policy."""
    patches: list[Any] = draw(
        st.lists(
            st.sampled_from(
                [
                    {"match": {"name": "a"}, "set": {"spec.replicas": 3}},
                    {"match": {"kind": "Deployment"}, "set": {"spec.minReadySeconds": 5}},
                    {"match": {"kind": "Service", "name": "b"}, "set": {"metadata.labels.x": "${ values.region }"}},
                    {"match": {"name": "zzz"}, "set": {"spec.replicas": 3}},
                    {
                        "match": {"kind": "Deployment", "name": "a"},
                        "set": {
                            "spec.template.spec.containers[name=extra]": {"image": "r.example/x:1"},
                            "spec.template.spec.containers[0]": None,
                            "spec.progressDeadlineSeconds": None,
                        },
                    },
                ]
            ),
            max_size=2,
            unique_by=str,
        )
    )
    values = {"n": draw(st.sampled_from([1, 2, "no number"])), "region": draw(st.sampled_from(["eu", "us"]))}
    environment = {
        "kind": "Environment",
        "metadata": {"name": "prod"},
        "spec": {"values": values, "patches": patches, "env": ["N"]},
    }
    policy = {
        "kind": "Policy",
        "metadata": {"name": "house"},
        "spec": {
            "match": draw(st.sampled_from([{"kinds": ["App"]}, {"kinds": ["Deployment"], "stage": "manifest"}])),
            "rules": [
                {"name": "few", "check": f"spec.replicas < {draw(st.sampled_from([2, 3]))}", "message": "'too many'"}
            ],
        },
    }
    texts = draw(apps())
    texts["prod.yaml"] = HEAD + yaml.safe_dump(environment)
    texts["policy.yaml"] = HEAD + yaml.safe_dump(policy)
    if draw(st.booleans()):
        texts["foreign.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
    return texts


def said(found: Packed) -> tuple[Any, ...]:
    """All that can be seen of it."""
    return found.problems, found.findings, found.pieces, found.wrong, found.mistaken, bundled(found)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[dict[str, str], dict[str, str]]]:
    """Draw texts and variables that turn into others step by step: one file, or one variable, at a time."""
    first, last = draw(worlds()), draw(worlds())
    steps: list[tuple[dict[str, str], dict[str, str]]] = [(first, {"N": "1"})]
    for name in draw(st.permutations(sorted({*first, *last, "N"}))):
        texts, variables = dict(steps[-1][0]), dict(steps[-1][1])
        if name == "N":
            variables = draw(st.sampled_from([{"N": "2"}, {}]))
        else:
            texts.pop(name, None)
            texts |= {name: last[name]} if name in last else {}
        steps.append((texts, variables))
    return steps


@settings(deadline=None, max_examples=50)
@given(histories())
def test_warm_equals_cold_whatever_was_there_before(history: list[tuple[dict[str, str], dict[str, str]]]) -> None:
    memo, damaged = DictMemo(), DictMemo(damage=True)
    for texts, variables in history:
        cold = said(packed(texts, DictMemo(), variables=variables))
        assert said(packed(texts, memo, variables=variables)) == cold
        assert said(packed(texts, damaged, variables=variables)) == cold
        assert said(packed(dict(reversed(texts.items())), memo, variables=variables)) == cold


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_what_is_packed_says_what_delivery_says(texts: dict[str, str]) -> None:
    found, memo = deliver(read(texts), "prod", RULES, variables={"N": "2"}), DictMemo()
    one = packed(texts, memo, variables={"N": "2"})
    assert set(one.findings) == {*found.written.findings, *found.findings}
    of_policies = {f"policy {each.rule}" for each in found.written.findings}
    others = [each for each in found.written.problems if each.says.partition(",")[0] not in of_policies]
    assert list(one.problems) == others
    assert (one.wrong, one.mistaken) == (found.wrong, found.mistaken)
    texts_of = b"".join(text for _, text in manifests_of(one)).decode()
    assert texts_of == write(manifest.tree for manifest in found.manifests)


@settings(deadline=None, max_examples=30)
@given(worlds())
def test_a_bundle_explains_every_leaf_as_it_was_explained_where_it_was_made(texts: dict[str, str]) -> None:
    found = deliver(read(texts), "prod", RULES, variables={"N": "2"})
    back = read_bundle(bundled(packed(texts, DictMemo(), variables={"N": "2"})), "it")
    live = {object_name(manifest.key): manifest for manifest in found.manifests}
    assert {object_name(manifest.key) for manifest in back} == live.keys()
    for manifest in back:
        other = live[object_name(manifest.key)]
        assert manifest.tree == other.tree
        for path, _ in leaves(manifest.tree, ""):
            assert manifest.origins[path] == other.origins[path], path


def test_one_change_works_out_one_service_and_its_neighbours_only() -> None:
    memo = DictMemo()
    texts = {f"{name}.yaml": app(name, uses=["app/a"] if name == "b" else []) for name in NAMES}
    packed(texts, memo, None)
    before = {key for key in memo.entries if key.startswith(b"piece")}
    packed({**texts, "c.yaml": app("c", replicas=4)}, memo, None)
    after = {key for key in memo.entries if key.startswith(b"piece")}
    assert len(after - before) == 1
    packed({**texts, "a.yaml": app("a", ports={"http": {"port": 9000}})}, memo, None)
    last = {key for key in memo.entries if key.startswith(b"piece")}
    assert len(last - after) == 2  # a itself, and b, which contains the address of a


def test_another_namespace_day_or_program_is_another_result() -> None:
    memo = DictMemo()
    texts = {"a.yaml": app("a")}
    one = bundled(packed(texts, memo, None))
    assert bundled(packed(texts, memo, None, namespace="shop")) != one
    assert bundled(packed(texts, memo, None)) == one


class NoProgram:
    """Satisfies `ports.foreign.Foreign` on a machine without Helm."""

    def expand(self, service: Workload, *, namespace: str, api_versions: tuple[str, ...] = ()) -> Expansion:
        del api_versions
        says = f"not checked: helm is not installed, so nothing of it is in {namespace}"
        return Expansion(findings=(Finding(rule="foreign", subject=service.key, verdict="not checked", says=says),))


def test_a_patch_of_what_could_not_be_made_is_not_checked_and_no_mistake() -> None:
    texts = {
        "a.yaml": HEAD + "kind: App\nmetadata: {name: a}\nspec: {chart: {source: charts/a}}\n",
        "prod.yaml": HEAD + "kind: Environment\nmetadata: {name: prod}\nspec:\n"
        "  patches: [{match: {kind: Deployment}, set: {spec.replicas: 3}}]\n",
    }
    found = deliver(read(texts), "prod", RULES, foreign=NoProgram())
    memo = DictMemo()
    occasion = Occasion(rules=RULES, namespace="default", variables={}, program=b"p")
    one = pack(read_sources(texts, memo, b"p"), "prod", occasion, memo, foreign=NoProgram())
    for problems, wrong in ((found.written.problems, found.wrong), (one.problems, one.wrong)):
        assert [problem.severity for problem in problems] == ["warning"]
        assert "not checked: the patch matches none" in problems[0].says
        assert not wrong


class Crd:
    """Satisfies `ports.foreign.Foreign` with an App that brings one CRD of a scope."""

    def __init__(self, scope: str) -> None:
        self.tree: dict[str, Any] = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "boats.acme.dev"},
            "spec": {
                "group": "acme.dev",
                "names": {"kind": "Boat", "plural": "boats"},
                "scope": scope,
                "versions": [{"name": "v1", "served": True, "storage": True}],
            },
        }

    def expand(self, service: Workload, *, namespace: str, api_versions: tuple[str, ...] = ()) -> Expansion:
        del namespace, api_versions
        return Expansion(
            manifests=(Manifest(service=service.key, target="foreign", tree=self.tree, origins={}),),
        )


def test_results_are_kept_by_the_crds_of_the_environment() -> None:
    """F16: schemas come from CRDs, so another CRD is another key."""
    memo, texts = DictMemo(), {"a.yaml": app("a")}
    texts["crd.yaml"] = HEAD + "kind: App\nmetadata: {name: crd}\nspec: {manifests: [x.yaml]}\n"
    occasion = Occasion(rules=RULES, namespace="default", variables={}, program=b"p")
    kept: list[set[bytes]] = []
    for scope in ("Cluster", "Cluster", "Namespaced"):
        pack(read_sources(texts, memo, b"p"), None, occasion, memo, foreign=Crd(scope))
        kept.append({key for key in memo.entries if key.startswith(b"piece")})
    assert [len(each) for each in kept] == [1, 1, 2]


def everything(value: Any) -> Iterator[bytes]:
    """Yield every text in what a memo holds, compressed as it may be."""
    if isinstance(value, bytes):
        yield decompressed(value) if value.startswith(ZSTD_MAGIC) else value
    elif isinstance(value, str):
        yield value.encode()
    elif isinstance(value, tuple | list):
        for each in cast("list[Any]", value):
            yield from everything(each)


ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
PLANTED = "tr0ub4dor-and-3"
EXTERNAL = "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: m}\n"
PATCH = {"match": {"kind": "Deployment", "name": "c"}, "set": {"metadata.annotations.token": "${ env('N') }"}}


@pytest.mark.parametrize(
    "texts",
    [
        {"a.yaml": app("a", env={"A": "${ env('N') }"})},
        {"a.yaml": app("a", env={"A": "${ env('N') }", "B": "${ spec.env.A.split('-')[1] + spec.env.A }"})},
        {"a.yaml": app("a", image="r.example/${ env('N') }:1")},
        {
            "m.yaml": EXTERNAL + "spec: {engine: external, source: \"https://h.example/${ env('N') }/v1\"}",
            "a.yaml": app("a", uses=["model/m"]),
        },
        {"c.yaml": app("c")},
    ],
)
def test_what_env_has_read_is_kept_in_no_memo_and_everything_else_is(texts: dict[str, str]) -> None:
    """Issue 8, part 1, item 13."""
    environment = {"kind": "Environment", "metadata": {"name": "prod"}, "spec": {"env": ["N"], "patches": [PATCH]}}
    texts = {**texts, "b.yaml": app("b"), "e.yaml": HEAD + yaml.safe_dump(environment)}
    if "c.yaml" not in texts:
        texts = {**texts, "c.yaml": app("c")}
    memo = DictMemo()
    first = packed(texts, memo, variables={"N": PLANTED})
    assert any(PLANTED.encode() in text for _, text in manifests_of(first))
    found = list(everything([unpacked(value) for value in memo.entries.values()]))
    assert not [text for text in found if PLANTED.encode() in text]
    assert any(b"r.example/b:1" in text for text in found)
    again = packed(texts, memo, variables={"N": PLANTED})
    assert bundled(again) == bundled(first)
    assert bundled(packed(texts, memo, variables={"N": "other-value"})) != bundled(first)
