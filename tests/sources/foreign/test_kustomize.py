"""Kustomizations: what kubectl builds, each value with the file and the entries that made it; nothing is fetched."""

import os
import subprocess
from pathlib import Path
from shutil import copytree

import pytest

from bateau.domain.manifest import Manifest
from bateau.kit.yaml_go import KUBECTL
from bateau.kit.yaml_tree import read_documents
from bateau.sources.foreign import ForeignDocuments, kustomize_trace
from bateau.sources.foreign.moves import TRIALS_MAX
from sources.foreign.building import chain, expand, service_of, shown, sound, stories, write
from sources.foreign.programs import kubectl

DATA = Path(__file__).parent / "data"
PROD = "  kustomization: ../kustomize/prod\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
UNKNOWN = "set by the kustomization; which of its entries is not known"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"


@pytest.fixture(autouse=True)
def _kubectl() -> None:
    kubectl()


@pytest.fixture(scope="module")
def built() -> dict[str, Manifest]:
    """The example's objects by kind."""
    kubectl()
    return {str(manifest.tree["kind"]): manifest for manifest in sound(expand(DATA, PROD))}


def test_what_comes_out_is_what_kubectl_builds(built: dict[str, Manifest]) -> None:
    done = subprocess.run([kubectl(), "kustomize", str(DATA / "kustomize/prod")], capture_output=True, check=True)
    documents, _ = read_documents("out", done.stdout.decode(), dialect=KUBECTL)
    assert [manifest.tree for manifest in built.values()] == [document.tree for document in documents]


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("Deployment", "spec.template.spec.containers[0].name", ["kustomize/base/web.yaml:15:17 'web'"]),
        ("Deployment", "spec.template.spec.containers[0].args", ["kustomize/base/web.yaml:17:17 []"]),
        ("Deployment", "metadata.annotations.switch", ["kustomize/base/web.yaml:5:25 'on'"]),
        ("Deployment", "spec.template.spec.volumes[0].secret.defaultMode", ["kustomize/base/web.yaml:22:51 288"]),
        (
            "Deployment",
            "spec.replicas",
            ["kustomize/base/web.yaml:7:13 1", "kustomize/prod/kustomization.yaml:12:12 3 set by `replicas[0]`"],
        ),
        (
            "Deployment",
            "spec.template.spec.containers[0].image",
            [
                "kustomize/base/web.yaml:16:18 'nginx:1.27'",
                "kustomize/prod/kustomization.yaml:8:5 'nginx:1.29.3' set by `images[0]`",
            ],
        ),
        (
            "Deployment",
            "spec.template.spec.containers[0].resources.limits.cpu",
            ["kustomize/prod/limits.yaml:11:27 '1' set by `patches[0]`"],
        ),
        (
            "Deployment",
            "spec.template.spec.containers[1].image",
            ["kustomize/mixin/sidecar.yaml:10:18 'envoy:1.40' set by `patches[0]`"],
        ),
        (
            "Deployment",
            "spec.selector.matchLabels.team",
            ["kustomize/base/kustomization.yaml:4:19 'blue' set by `labels[0]`"],
        ),
        (
            "Service",
            "metadata.annotations.exposed",
            ["kustomize/prod/kustomization.yaml:16:12 'yes' set by `patches[1]`"],
        ),
        (
            "Service",
            "metadata.name",
            [
                "kustomize/base/web.yaml:27:9 'web'",
                "kustomize/prod/kustomization.yaml:2:13 'acme-web' set by `namePrefix`",
            ],
        ),
        ("Service", "metadata.namespace", ["kustomize/prod/kustomization.yaml:1:12 'prod' set by `namespace`"]),
        (
            "ConfigMap",
            "data.LEVEL",
            ["kustomize/prod/kustomization.yaml:23:9 'debug' made by `configMapGenerator[0]`"],
        ),
        (
            "ConfigMap",
            "data.greeting",
            ["kustomize/prod/hello.txt:1:1 'Hello\\n' made by `configMapGenerator[0]`, from the whole file"],
        ),
        ("ConfigMap", "data.COLOUR", ["kustomize/prod/settings.env:2:8 'green' made by `configMapGenerator[0]`"]),
        (
            "Secret",
            "metadata.name",
            [
                "kustomize/prod/kustomization.yaml:29:11 'keys' made by `secretGenerator[0]`",
                "kustomize/prod/kustomization.yaml:2:13 'acme-keys' set by `namePrefix`",
            ],
        ),
    ],
)
def test_a_value_names_its_file_and_the_entries_that_changed_it(
    built: dict[str, Manifest], kind: str, path: str, expected: list[str]
) -> None:
    assert chain(built[kind], path) == expected


def test_a_name_with_the_hash_of_its_content_moves_with_the_generator(built: dict[str, Manifest]) -> None:
    path = "spec.template.spec.containers[0].envFrom[0].configMapRef.name"
    origins = built["Deployment"].origins[path]
    assert [origin.says for origin in origins] == [None, "set by `configMapGenerator[0]`", "set by `namePrefix`"]


def test_annotations_that_the_user_asks_for_are_kept_and_ours_are_not(tmp_path: Path) -> None:
    files = {"shop/web.yaml": CONFIG % "web", "shop/kustomization.yaml": "resources: [web.yaml]\n"}
    write(tmp_path, files)
    (plain,) = sound(expand(tmp_path, "  kustomization: .\n"))
    assert plain.tree["metadata"] == {"name": "web"}
    write(tmp_path, {"shop/kustomization.yaml": "resources: [web.yaml]\nbuildMetadata: [originAnnotations]\n"})
    (asked,) = sound(expand(tmp_path, "  kustomization: .\n"))
    assert asked.tree["metadata"]["annotations"] == {"config.kubernetes.io/origin": "path: web.yaml\n"}
    (origin,) = asked.origins["metadata.annotations['config.kubernetes.io/origin']"]
    assert origin.says == UNKNOWN


def test_two_objects_of_one_name_come_from_their_own_bases(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path, {
            f"{name}/web.yaml": f"{CONFIG % 'web'}data: {{from: x}}\n",
            f"{name}/kustomization.yaml": f"resources: [web.yaml]\nnamePrefix: {name}-\n",
        })  # fmt: skip
    write(tmp_path, {"shop/kustomization.yaml": "resources: [../a, ../b]\ncommonAnnotations: {c: d}\n"})
    one, two = sound(expand(tmp_path, "  kustomization: .\n"))
    assert chain(one, "metadata.name") == [
        "a/web.yaml:3:18 'web'",
        "a/kustomization.yaml:2:13 'a-web' set by `namePrefix`",
    ]
    assert chain(two, "data.from") == ["b/web.yaml:4:14 'x'"]
    assert chain(two, "metadata.annotations.c") == [
        "shop/kustomization.yaml:2:24 'd' set by `commonAnnotations.c`"
    ]  # fmt: skip


def test_where_the_bounds_end_the_search_the_chain_says_so(tmp_path: Path) -> None:
    images = "".join(f"  - {{name: image{n}, newTag: x}}\n" for n in range(3))
    write(tmp_path, {
        "shop/web.yaml": f"{POD}spec: {{containers: [{{name: a, image: image2}}]}}\n",
        "shop/kustomization.yaml": f"resources: [web.yaml]\nimages:\n{images}",
    })  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kustomize_trace, "TRIALS_MAX", 2)
        (manifest,) = sound(expand(tmp_path, "  kustomization: .\n"))
        assert chain(manifest, "spec.containers[0].image") == [
            "None None the search ended early, so other entries or values may have set it",
            "shop/web.yaml:4:38 'image2'",
            f"shop/kustomization.yaml:1:1 'image2:x' {UNKNOWN}",
        ]
    assert TRIALS_MAX > 2


def test_through_links_the_search_does_not_go_and_says_it_does_not_know(tmp_path: Path) -> None:
    write(tmp_path, {"base/web.yaml": CONFIG % "web", "base/kustomization.yaml": "resources: [web.yaml]\n"})
    write(tmp_path, {"shop/kustomization.yaml": "resources: [linked]\n"})
    (tmp_path / "shop/linked").symlink_to("../base")
    (manifest,) = sound(expand(tmp_path, "  kustomization: .\n"))
    assert chain(manifest, "metadata.name") == [f"shop/kustomization.yaml:1:1 'web' {UNKNOWN}"]


def test_lists_among_the_resources_are_unpacked(tmp_path: Path) -> None:
    listed = "apiVersion: v1\nkind: List\nitems:\n  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n"
    write(tmp_path, {"shop/all.yaml": listed, "shop/kustomization.yaml": "resources: [all.yaml]\nnameSuffix: -x\n"})
    (manifest,) = sound(expand(tmp_path, "  kustomization: .\n"))
    assert chain(manifest, "metadata.name") == [
        "shop/all.yaml:4:56 'a'",
        "shop/kustomization.yaml:2:13 'a-x' set by `nameSuffix`",
    ]


def test_the_same_files_give_the_same_objects(built: dict[str, Manifest]) -> None:
    again = sound(expand(DATA, PROD))
    assert [each.tree for each in again] == [each.tree for each in built.values()]
    assert [dict(each.origins) for each in again] == [dict(each.origins) for each in built.values()]


@pytest.mark.parametrize(("text", "expected"), stories("not-kustomized.txt"))
def test_what_is_not_built_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    root = tmp_path / "root"
    function = "annotations: {config.kubernetes.io/function: 'exec: {path: x}'}"
    write(tmp_path, {"out.yaml": CONFIG % "out", "out/kustomization.yaml": "resources: []\n"})
    write(root, {
        "shop/web.yaml": CONFIG % "web",
        "shop/folder/readme": "",
        "shop/patch.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other}\n",
        "shop/plugin.yaml": f"apiVersion: builtin\nkind: Labelled\nmetadata: {{name: x, {function}}}\n",
        "shop/kustomization.yaml": text,
    })  # fmt: skip
    (root / "shop/link.yaml").symlink_to(tmp_path / "out.yaml")
    (root / "shop/linked").symlink_to(tmp_path / "out")
    expansion = expand(root, "  kustomization: .\n")
    assert shown(expansion.problems) == expected
    assert expansion.manifests == ()


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (
            "https://example.org/shop",
            "`https://example.org/shop` is fetched from elsewhere, and nothing is fetched here",
        ),
        ("../../..", "`../../..` is outside of the directory that the specs are read from"),
        ("kustomization.yaml", "`kustomization.yaml` is a file"),
        ("overlay", "`overlay` is no directory"),
        ("overlays", "the directory shop/overlays has no kustomization.yaml"),
    ],
)
def test_what_is_named_wrong_is_told_in_the_spec(tmp_path: Path, named: str, expected: str) -> None:
    write(tmp_path, {"shop/kustomization.yaml": "", "shop/overlays/kustomisation.yaml": ""})
    (problem,) = expand(tmp_path, f"  kustomization: {named}\n").problems
    assert (str(problem.where), problem.says) == ("shop/app.yaml:5:18", expected)
    assert problem.hint


def test_kustomizations_that_name_each_other_are_refused_and_not_walked_for_ever(tmp_path: Path) -> None:
    write(tmp_path, {"shop/kustomization.yaml": "resources: [../base]\n"})
    write(tmp_path, {"base/kustomization.yaml": "resources: [../shop]\n"})
    (problem,) = expand(tmp_path, "  kustomization: .\n").problems
    assert "cycle detected" in problem.says


def test_without_a_program_nothing_is_checked_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    copytree(DATA / "kustomize", tmp_path / "kustomize")
    expansion = expand(tmp_path, PROD, environ={"PATH": "/nowhere"})
    assert (expansion.manifests, expansion.problems) == ((), ())
    (finding,) = expansion.findings
    assert (finding.rule, finding.subject, finding.verdict) == ("foreign", "app/shop", "not checked")
    assert finding.says.startswith("the kustomization is not expanded: neither kubectl nor kustomize is installed")
    assert str(finding.where) == "shop/app.yaml:5:18"


def test_kustomize_by_itself_does_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/kustomize"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1" = build ] && shift && exec {kubectl()} kustomize "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    environ = {"PATH": f"{program.parent}:/bin:/usr/bin"}
    if not (Path("/bin/kubectl").exists() or Path("/usr/bin/kubectl").exists()):
        assert len(sound(expand(DATA, PROD, environ=environ))) == 4


def test_what_was_asked_before_is_not_built_again(tmp_path: Path) -> None:
    copytree(DATA / "kustomize", tmp_path / "kustomize")
    foreign = ForeignDocuments(tmp_path, environ={"PATH": os.environ["PATH"]})
    assert foreign.expand(service_of(PROD), namespace="a") is foreign.expand(service_of(PROD), namespace="a")
