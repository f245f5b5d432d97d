"""Bundles and admission policies through the real commands: the same bytes, and explained without the specs."""

import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from backports import zstd

from bateau.domain.manifest import Manifest
from bateau.render import validate
from bateau.wiring.schemas import load_schemas

SPECS = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop, labels: {team: sales}}
spec:
  image: "r.example/shop:${ values.tag }"
  ports: {http: {protocol: http}}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: old, labels: {team: sales}}
spec: {manifests: [legacy/*.yaml]}
---
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec:
  values: {tag: "1"}
  patches:
    - match: {kind: ConfigMap, name: old}
      set: {"data.y": "on"}
---
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec:
  values: {tag: "2"}
---
apiVersion: bateau.dev/v1alpha1
kind: Policy
metadata: {name: house}
spec:
  match: {kinds: [Deployment], stage: manifest}
  rules:
    - {name: few, check: "spec.replicas < 5", message: "'too many'"}
"""
LEGACY = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\ndata: {x: 'y', count: '1e3'}\n"


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "specs" / "legacy").mkdir(parents=True)
    (tmp_path / "specs" / "a.yaml").write_text(SPECS)
    (tmp_path / "specs" / "legacy" / "old.yaml").write_text(LEGACY)
    return tmp_path / "specs"


def bateau(specs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "XDG_CACHE_HOME": str(specs.parent / "cache"), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "bateau", *words]
    return subprocess.run(command, cwd=specs, env=environ, check=False, capture_output=True, text=True, timeout=60)


def test_a_bundle_is_the_same_to_the_bit_with_a_cache_and_without(specs: Path) -> None:
    one, two, three = (specs.parent / f"{each}.tar.zst" for each in (1, 2, 3))
    for path, more in ((one, []), (two, []), (three, ["--no-cache"])):
        done = bateau(specs, "render", "--env", "prod", "--bundle", str(path), *more)
        assert done.returncode == 0, done.stderr
    assert one.read_bytes() == two.read_bytes() == three.read_bytes()
    with zstd.open(one) as whole, tarfile.open(fileobj=BytesIO(whole.read())) as archive:
        names = archive.getnames()
    assert names == [
        *("bundle.json", "findings.json", "gateway.json", "manifests/app/old.yaml", "provenance/app/old.json"),
        *("manifests/app/shop.yaml", "provenance/app/shop.json"),
    ]


def test_a_bundle_explains_without_the_specs(specs: Path) -> None:
    bundle = specs.parent / "b.tar.zst"
    assert bateau(specs, "render", "--env", "prod", "--bundle", str(bundle)).returncode == 0
    image = ("Deployment/shop", "spec.template.spec.containers[0].image")
    live = bateau(specs, "explain", *image, "--env", "prod").stdout
    (specs / "a.yaml").unlink()
    assert bateau(specs, "explain", *image, "--bundle", str(bundle)).stdout == live
    assert "values.tag of prod" in live
    patched = bateau(specs, "explain", "configmap/old", "data.y", "--bundle", str(bundle)).stdout
    assert patched.splitlines()[0] == "on"
    assert "patch of prod" in patched
    assert "legacy/old.yaml:4:11" in bateau(specs, "explain", "configmap/old", "data.x", "--bundle", str(bundle)).stdout


def test_a_plan_against_a_bundle_shows_the_edit_alone(specs: Path) -> None:
    bundle = specs.parent / "b.tar.zst"
    assert bateau(specs, "render", "--env", "prod", "--bundle", str(bundle)).returncode == 0
    same = bateau(specs, "plan", "--env", "prod", "--against", str(bundle), "--exit-code")
    assert same.returncode == 0, same.stdout
    (specs / "a.yaml").write_text(SPECS.replace('{tag: "1"}', '{tag: "7"}'))
    changed = bateau(specs, "plan", "--env", "prod", "--against", str(bundle), "--exit-code")
    assert changed.returncode == 4
    assert "r.example/shop:1 -> r.example/shop:7" in changed.stdout
    bundle.write_bytes(bundle.read_bytes()[:300])
    damaged = bateau(specs, "plan", "--env", "prod", "--against", str(bundle))
    assert damaged.returncode == 3
    assert "is not a bundle, or is damaged" in damaged.stderr


def test_several_environments_are_rendered_side_by_side(specs: Path) -> None:
    done = bateau(specs, "render", "--env", "prod", "--env", "staging", "-o", str(specs.parent / "out"))
    assert done.returncode == 0, done.stderr
    for name, tag in (("prod", "1"), ("staging", "2")):
        text = (specs.parent / "out" / name / "app-shop.yaml").read_text()
        images = [
            tree["spec"]["template"]["spec"]["containers"][0]["image"]
            for tree in yaml.safe_load_all(text)
            if tree["kind"] == "Deployment"
        ]
        assert images == [f"r.example/shop:{tag}"]


def test_a_mistake_writes_nothing(specs: Path) -> None:
    (specs / "a.yaml").write_text(SPECS.replace("kind: ConfigMap, name", "kind: ConfgMap, name"))
    done = bateau(specs, "render", "--env", "prod", "--bundle", str(specs.parent / "b.tar.zst"))
    assert done.returncode == 1
    assert "a.yaml:19:7  the patch matches no manifest\n  hint: did you mean `ConfigMap`?" in done.stderr
    assert not (specs.parent / "b.tar.zst").exists()


def test_policies_become_what_an_api_server_takes(specs: Path) -> None:
    done = bateau(specs, "admission", "--env", "prod", "--starter")
    assert done.returncode == 0, done.stderr
    trees = list(yaml.safe_load_all(done.stdout))
    assert {tree["kind"] for tree in trees} == {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    assert "house" in {tree["metadata"]["name"] for tree in trees}
    manifests = [Manifest(service=None, target="admission", tree=tree, origins={}) for tree in trees]
    assert validate(manifests, load_schemas()) == ()
    assert "not checked" in done.stderr  # the starter set speaks of services, too


def test_every_form_of_a_plan_tells_mistakes_with_places_from_the_top_of_the_repository(specs: Path) -> None:
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "one")):
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", "-C", str(specs.parent), *identity, *words], check=True)
    (specs / "a.yaml").write_text(SPECS.replace("kind: App", "kind: Ap", 1))
    done = bateau(specs, "plan", "--env", "prod", "--sarif")
    assert done.returncode == 1
    results = json.loads(done.stdout)["runs"][0]["results"]
    places = {
        place["physicalLocation"]["artifactLocation"]["uri"]
        for result in results
        if result["level"] == "error"
        for place in result["locations"]
    }
    assert places == {"specs/a.yaml"}
    assert (
        "which is not known"
        in json.loads(bateau(specs, "plan", "--env", "prod", "--json").stdout)["problems"][0]["says"]
    )
    markdown = bateau(specs, "plan", "--env", "prod", "--markdown").stdout
    assert "1 not compared" in markdown
    assert "which is not known" in markdown


def test_explain_shows_no_secret(specs: Path) -> None:
    (specs / "legacy" / "secret.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {word: hunter2}\n"
    )
    text = SPECS.replace("  ports: {http", "  env: {DB_PASSWORD: hunter2, LOG: info}\n  ports: {http", 1)
    (specs / "a.yaml").write_text(text)
    for words in (("shop",), ("shop", "spec.env"), ("shop", "spec.env.DB_PASSWORD"), ("Secret/login",)):
        for form in ((), ("--json",)):
            done = bateau(specs, "explain", *words, "--env", "prod", *form)
            assert done.returncode == 0, done.stderr
            assert "hunter2" not in done.stdout
            assert "(secret)" in done.stdout


def test_a_bundle_names_a_commit_only_where_all_that_it_is_made_of_is_committed(specs: Path) -> None:
    def commit_in_bundle() -> str | None:
        assert bateau(specs, "render", "--env", "prod", "--bundle", str(specs.parent / "b")).returncode == 0
        with zstd.open(specs.parent / "b") as whole, tarfile.open(fileobj=BytesIO(whole.read())) as archive:
            about = archive.extractfile("bundle.json")
            assert about
            return json.load(about)["commit"]

    def git(*words: str) -> str:
        who = [f"-c user.{key}={value}" for key, value in (("name", "Ada"), ("email", "ada@example.org"))]
        command = ["git", *" ".join(who).split(), *words]
        return subprocess.run(command, cwd=specs, check=True, capture_output=True, text=True).stdout.strip()

    assert commit_in_bundle() is None
    git("init", "-q")
    git("add", "--all")
    git("commit", "-q", "-m", "one")
    assert commit_in_bundle() == git("rev-parse", "HEAD")
    (specs / "legacy" / "old.yaml").write_text(LEGACY.replace("'y'", "'n'"))
    assert commit_in_bundle() is None
    git("checkout", "-q", "--", ".")
    (specs / "legacy" / "new.yaml").write_text(LEGACY.replace("name: old", "name: new"))
    assert commit_in_bundle() is None


def test_files_of_services_that_are_no_more_go_and_those_of_others_stay(specs: Path) -> None:
    out = specs.parent / "out"
    assert bateau(specs, "render", "--env", "prod", "-o", str(out)).returncode == 0
    (out / "kustomization.yaml").write_text("resources: [app-shop.yaml, app-old.yaml]\n")
    assert {path.name for path in out.glob("*.yaml")} == {"app-shop.yaml", "app-old.yaml", "kustomization.yaml"}
    (specs / "a.yaml").write_text(SPECS.replace("name: old", "name: older"))
    (specs / "legacy" / "old.yaml").write_text(LEGACY.replace("name: old", "name: older"))
    done = bateau(specs, "render", "--env", "prod", "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert f"removed {out / 'app-old.yaml'}" in done.stderr
    assert {path.name for path in out.glob("*.yaml")} == {"app-shop.yaml", "app-older.yaml", "kustomization.yaml"}


def test_a_bundle_cannot_steer_the_terminal_or_fill_the_memory(specs: Path) -> None:
    path = specs.parent / "b.tar.zst"
    assert bateau(specs, "render", "--env", "prod", "--bundle", str(path)).returncode == 0
    with zstd.open(path) as whole, tarfile.open(fileobj=BytesIO(whole.read())) as archive:
        members = [(each.name, archive.extractfile(each)) for each in archive]
        files = {name: content.read() for name, content in members if content}
    old = files["manifests/app/old.yaml"]
    files["manifests/app/old.yaml"] = old.replace(b"1e3", b"\\e[2Jgone\\u009b2J")
    assert files["manifests/app/old.yaml"].count(b"\\") == 2
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
        sparse = tarfile.TarInfo("manifests/large")
        sparse.pax_headers = {"GNU.sparse.size": str(2**40), "GNU.sparse.map": "0,0", "GNU.sparse.name": "large"}
        archive.addfile(sparse)
    path.write_bytes(zstd.compress(made.getvalue()))
    for words in (
        ("plan", "--env", "prod", "--against", str(path)),
        ("explain", "ConfigMap/old", "data.count", "--bundle", str(path)),
        ("explain", "ConfigMap/old\x1b[2J", "--bundle", str(path)),
    ):
        done = bateau(specs, *words)
        assert done.returncode in {0, 2}, done.stderr
        assert "old" in done.stdout + done.stderr
        assert not {"\x1b", "\x9b"} & {*done.stdout, *done.stderr}
