"""The versions in kustomizations and value files are promoted by the smallest edit (F21)."""

from collections.abc import Mapping

from bateau.sources.git import FilePromotion, Files

BASE = "resources: [d.yaml]\n"


def overlay(tag: str, *, more: str = "") -> str:
    return f"# who\nresources: [../base]\nimages:\n  - name: web\n    newTag: {tag}  # pinned\n{more}"


def promoted(
    files: Mapping[str, str], source: Files | None = None, target: Files | None = None
) -> tuple[FilePromotion, Mapping[str, str]]:
    found = FilePromotion()
    found.promote(source or Files(kustomization="staging"), target or Files(kustomization="prod"), files.get)
    return found, {**files, **found.texts}


def overlays(staging: str, prod: str) -> dict[str, str]:
    return {
        "base/kustomization.yaml": BASE,
        "staging/kustomization.yaml": staging,
        "prod/kustomization.yml": prod,
    }


def test_only_the_tag_of_the_overlay_changes() -> None:
    """F21: `prod pins what staging pins: nothing to promote` was reported for other tags."""
    found, files = promoted(overlays(overlay('"2.0"'), overlay('"1.0"')))
    assert files["prod/kustomization.yml"] == overlay('"2.0"')
    assert found.changes == ["prod/kustomization.yml: images[0].newTag: 1.0 -> 2.0"]
    assert set(found.texts) == {"prod/kustomization.yml"}


def test_a_tag_that_yaml_takes_for_a_number_keeps_its_digits() -> None:
    _, files = promoted(overlays(overlay("1.10"), overlay("1.9")))
    assert files["prod/kustomization.yml"] == overlay('"1.10"')


def test_a_digest_beside_the_tag_is_added() -> None:
    digest = f"sha256:{'a' * 64}"
    _, files = promoted(overlays(overlay("v2", more=f"    digest: {digest}\n"), overlay("v1")))
    assert files["prod/kustomization.yml"] == overlay("v2", more=f"    digest: {digest}\n")


def test_a_digest_that_the_source_does_not_have_is_left_and_reported() -> None:
    found, files = promoted(overlays(overlay("v2"), overlay("v1", more="    digest: sha256:0\n")))
    assert found.texts == {}
    says = "prod/kustomization.yml: images[0] has `digest` for web, and staging/kustomization.yaml does not"
    assert found.left == [f"{says}: change it by hand"]
    assert files["prod/kustomization.yml"] == overlay("v1", more="    digest: sha256:0\n")


def test_the_registry_of_the_target_stays() -> None:
    mirror = "    newName: mirror.example/web\n"
    _, files = promoted(overlays(overlay("v2"), overlay("v1", more=mirror)))
    assert files["prod/kustomization.yml"] == overlay("v2", more=mirror)


def test_a_kustomization_that_both_use_is_not_changed() -> None:
    shared = {"base/kustomization.yaml": overlay("v1")}
    found, files = promoted({**overlays(overlay("v2"), "resources: [../base]\n"), **shared})
    assert found.texts == {}
    assert files["base/kustomization.yaml"] == overlay("v1")


def test_an_entry_in_an_intermediate_kustomization_of_the_target_is_changed() -> None:
    files = {
        **overlays(overlay("v2"), "resources: [../live]\n"),
        "live/kustomization.yaml": overlay("v1"),
    }
    found, after = promoted(files)
    assert after["live/kustomization.yaml"] == overlay("v2")
    assert set(found.texts) == {"live/kustomization.yaml"}


def test_kustomizations_that_name_each_other_are_read_once() -> None:
    found, _ = promoted(overlays("resources: [../prod]\n", "resources: [../staging]\n"))
    assert (found.texts, found.pins) == ({}, False)


def test_an_image_that_is_an_alias_is_a_problem_and_nothing_changes() -> None:
    prod = "x: &tag v1\nimages:\n  - {name: web, newTag: *tag}\n"
    found, _ = promoted(overlays(overlay("v2"), prod))
    assert [problem.says for problem in found.problems] == [
        "images[0].newTag cannot be changed: it is an alias, and other values would change too"
    ]
    assert found.texts == {}


def test_value_files_carry_versions_and_nothing_else() -> None:
    """F21: the same for the value files of a chart."""
    files = {
        "values.yaml": "image: {tag: v0}\n",
        "staging.yaml": "image: {tag: v2, repository: a}  # s\nreplicas: 1\nproxy: {version: 3}\n",
        "prod.yaml": "image: {tag: v1, repository: b}  # p\nreplicas: 6\nproxy: {level: 1}\n",
    }
    sides = [Files(value_files=("values.yaml", f"{name}.yaml")) for name in ("staging", "prod")]
    found, after = promoted(files, *sides)
    expected = "image: {tag: v2, repository: b}  # p\nreplicas: 6\nproxy: {level: 1, version: 3}\n"
    assert after["prod.yaml"] == expected
    assert found.changes == ["prod.yaml: image.tag: v1 -> v2", "prod.yaml: proxy.version: nothing -> 3"]
    again, _ = promoted(after, *sides)
    assert (again.texts, again.pins) == ({}, True)
