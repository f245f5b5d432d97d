"""What an App brings is read from a commit as from a directory; nothing else there has to be readable."""

from pathlib import Path

import pytest

from bateau.control.delivery import Rendered
from bateau.domain.errors import ControlError
from bateau.wiring.delivery import manifests_at, rendered, rendered_at
from bateau.wiring.question import Question
from git.workshop import Workshop
from sources.foreign.programs import helm, kubectl

APP = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: shop}\nspec: {%s}\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: b}\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
CHART = "apiVersion: v2\nname: c\nversion: 1.0.0\n"
OF_FILES = (
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: files}\ndata: {{ (.Files.Glob "files/*").AsConfig | toJson }}\n'
)
PLUGIN = "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: made}\nfiles: [text=more/text.txt]\n"

# A name, the spec of the App, and the files beside it: each has something that lay out of sight before.
LAYOUTS = {
    "env": ("kustomization: k", {
        "k/kustomization.yaml": "configMapGenerator: [{name: e, envs: [.env], files: [.conf/x=.conf/a.txt]}]\n",
        "k/.env": "A=1\n",
        "k/.conf/a.txt": "text",
    }),
    "helmignore": ("chart: {source: c}", {
        "c/Chart.yaml": CHART,
        "c/.helmignore": "files/b.txt\ntemplates/debug.yaml\n",
        "c/files/a.txt": "a",
        "c/files/b.txt": "b",
        "c/templates/a.yaml": OF_FILES,
        "c/templates/debug.yaml": CONFIG % "debug",
    }),
    "hidden-chart": ("chart: {source: .helm, valueFiles: [.values/prod.yaml]}", {
        ".helm/Chart.yaml": CHART,
        ".helm/templates/a.yaml": CONFIG % "{{ .Values.name }}",
        ".values/prod.yaml": "name: from-values\n",
    }),
    "bases": ("kustomization: clusters/prod", {
        "clusters/prod/kustomization.yaml":
            "resources: [../../base, extra.json]\ncomponents: [../../mixin]\ngenerators: [more.yaml]\n"
            "patches: [{path: ../prod/patches/p.yaml, target: {kind: ConfigMap, name: base}}]\n",
        "clusters/prod/extra.json": '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "json"}}',
        "clusters/prod/more.yaml": PLUGIN,
        "clusters/prod/more/text.txt": "text",
        "base/kustomization.yml": "resources: [a.yaml]\n",
        "base/a.yaml": CONFIG % "base",
        "mixin/kustomization.yaml":
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
            "configMapGenerator: [{name: m, literals: [a=b]}]\n",
        "clusters/prod/patches/p.yaml": CONFIG.replace("b}", "patched}") % "base",
    }),
    "globs": ("manifests: [legacy/**/*.yaml, legacy/.hidden/*.json]", {
        "legacy/a.yaml": CONFIG % "one",
        "legacy/b/c.yaml": CONFIG % "two",
        "legacy/.hidden/d.json": '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "three"}}',
    }),
    "linked-chart": ("chart: {source: apps/c}", {
        "apps/c/Chart.yaml": CHART,
        "apps/c/templates/a.yaml": CONFIG % "own",
        "apps/c/templates/_l.tpl@": "../../../shared/l.tpl",
        "apps/c/templates/dir@": "../../../shared/more",
        "shared/l.tpl": '{{ define "l" }}{{ end }}',
        "shared/more/b.yaml": CONFIG % "shared",
    }),
    "flux": ("manifests: [apps/*.yaml]", {
        "apps/a.yaml": CONFIG.replace("a: b", "a: '${cluster}'") % "one",
        "clusters/prod/apps.yaml":
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\n"
            "spec: {postBuild: {substitute: {cluster: a}}}\n",
    }),
    "linked-app": ("chart: {source: current}", {
        "current@": "charts/v2",
        "charts/v1/Chart.yaml": CHART,
        "charts/v2/Chart.yaml": CHART,
        "charts/v2/templates/a.yaml": CONFIG % "two",
    }),
}  # fmt: skip


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "acme")


def write(workshop: Workshop, spec: str, files: dict[str, str]) -> None:
    """Write an App and files beside it; a name that ends with "@" is a link to its text."""
    for name, text in {"app.yaml": APP % spec, **files}.items():
        path = workshop.directory / name.removesuffix("@")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("@"):
            path.symlink_to(text)
        else:
            path.write_text(text)


def both(workshop: Workshop, folder: str = ".") -> tuple[Rendered, Rendered]:
    """Return what the directory and the last commit are rendered to."""
    question = Question(directory=workshop.directory / folder, environment=None)
    return rendered(question), rendered_at(question, "HEAD")


def shown(found: Rendered) -> tuple[list[object], list[object], list[str]]:
    """Return the objects with their origins, and all problems and findings."""
    origins = [{path: chain[-1] for path, chain in each.origins.items()} for each in found.manifests]
    problems = [f"{each.where} {each.says} {each.hint}" for each in found.written.problems]
    findings = [f"{each.where} {each.says}" for each in found.findings]
    return [dict(each.tree) for each in found.manifests], [*origins], problems + findings


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_commit_gives_the_objects_of_its_checkout(workshop: Workshop, layout: str) -> None:
    """F3."""
    kubectl()
    helm()
    write(workshop, *LAYOUTS[layout])
    workshop.commit("one")
    directory, commit = both(workshop)
    assert directory.manifests
    assert shown(commit) == shown(directory)


def unreadable(workshop: Workshop) -> None:
    """Commit everything that stopped a plan, beside what Apps name."""
    files = {
        "docs/a.png": POINTER,
        "data/pointer.yaml": POINTER,
        "dump.sql": "#" * (8 * 2**20 + 1),
        "vendor/out@": "/etc/passwd",
        "docs/up@": "../../../secrets.yaml",
    }
    write(workshop, "image: x", files)
    for number in range(2_100):
        (workshop.directory / f"docs/{number}.yaml").write_text("a: 1\n")
    workshop.git("add", "--all")
    workshop.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},modules/other")
    workshop.git("commit", "-q", "-m", "much else")


def test_files_that_no_app_names_do_not_have_to_be_readable(workshop: Workshop) -> None:
    """F7."""
    kubectl()
    unreadable(workshop)
    write(workshop, *LAYOUTS["bases"])
    workshop.commit("the app")
    directory, commit = both(workshop)
    assert shown(commit) == shown(directory)
    assert directory.manifests
    assert [problem.severity for problem in commit.written.problems] == ["warning"]
    assert "data/pointer.yaml:1:1 the file is a pointer of Git LFS, so it is not read" in shown(commit)[2][0]


NAMED = {
    "lfs": ("manifests: [data/pointer.yaml]", "data/pointer.yaml is a pointer of Git LFS, and not the file itself"),
    "link": ("manifests: [vendor/out]", "`vendor/out` is outside the directory of the specs"),
    "link in a glob": ("manifests: [docs/u*]", "`docs/u*` matches no YAML or JSON file"),
    "submodule": ("manifests: [modules/other/a.yaml]", "modules/other/a.yaml is in the submodule modules/other, whose"),
    "chart in a submodule": ("chart: {source: modules/other}", "modules/other is a submodule, whose files are not in"),
    "kustomization in a submodule": ("kustomization: modules/other", "modules/other is a submodule, whose files are"),
    "too large": ("manifests: [large.yaml]", "large.yaml has 17,000,000 bytes; more than 16,777,216 are not read"),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_file_that_an_app_names_and_that_cannot_be_read_is_named_with_the_fix(workshop: Workshop, case: str) -> None:
    """F7: the message was without the file, and its hint about a #subdirectory=."""
    unreadable(workshop)
    spec, says = NAMED[case]
    write(workshop, spec, {"large.yaml": "#" * 17_000_000})
    workshop.git("add", "app.yaml", "large.yaml")
    workshop.git("commit", "-q", "-m", "the app")
    _, commit = both(workshop)
    (problem,) = [each for each in commit.written.problems if each.severity == "error"]
    assert says in problem.says
    assert problem.hint
    assert problem.where
    assert problem.where.file == "app.yaml"
    assert "#subdirectory" not in problem.hint


def test_many_files_in_one_app_are_accepted(workshop: Workshop) -> None:
    """F29."""
    write(workshop, "manifests: [many/*.yaml]", {f"many/{n}.yaml": CONFIG % f"c{n}" for n in range(2_100)})
    workshop.commit("one")
    directory, commit = both(workshop)
    assert len(directory.manifests) == len(commit.manifests) == 2_100


def test_a_directory_below_the_top_is_read_by_itself(workshop: Workshop) -> None:
    write(workshop, "image: x", {f"deploy/{name}": text for name, text in LAYOUTS["bases"][1].items()})
    (workshop.directory / "deploy/app.yaml").write_text(APP % LAYOUTS["bases"][0])
    workshop.commit("one")
    directory, commit = both(workshop, "deploy")
    assert directory.manifests
    assert shown(commit) == shown(directory)


def test_a_directory_that_is_named_like_a_manifest_is_not_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "out/odd.yaml").mkdir(parents=True)
    (tmp_path / "out/odd.yaml/a.yaml").write_text(CONFIG % "a")
    (found,) = manifests_at(tmp_path / "out", None)
    assert isinstance(found, dict)
    assert found["metadata"] == {"name": "a"}
    (tmp_path / "out/gone.yaml").symlink_to("nowhere")
    with pytest.raises(ControlError, match=r"cannot read .*gone\.yaml: No such file"):
        manifests_at(tmp_path / "out", None)
