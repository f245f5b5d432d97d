"""`plan` and `apply` of an environment that runs on a cluster, by the real program against a real API server."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.kubectl import Kubectl
from wiring.cluster_specs import SHOP_ON_BERLIN

_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example/web:1"}]}
"""
_CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: %s}\n"


@dataclass
class Project:
    """A directory of specs, and the namespace that they name."""

    directory: Path
    namespace: str
    kubeconfig: Path

    def bateau(self, *words: str, code: int = 0, kubeconfig: Path | None = None) -> str:
        """Run the program, check its exit code, and return everything that it printed."""
        command = [sys.executable, "-m", "bateau", *words]
        environ = {**os.environ, "KUBECONFIG": str(kubeconfig or self.kubeconfig)}
        done = subprocess.run(
            command, cwd=self.directory, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def config(self, name: str, value: str) -> None:
        (self.directory / "objects" / f"{name}.yaml").write_text(_CONFIG % (name, value))

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.kubeconfig, self.namespace)


@pytest.fixture
def project(control_plane: Path, tmp_path: Path) -> Iterator[Project]:
    namespace = f"t-{uuid.uuid4().hex[:10]}"
    kubectl = Kubectl(control_plane)
    context = kubectl("config", "current-context").strip()
    (tmp_path / "objects").mkdir()
    (tmp_path / "specs.yaml").write_text(SHOP_ON_BERLIN % {"namespace": namespace, "context": context})
    made = Project(tmp_path, namespace, control_plane)
    made.config("colours", "red")
    yield made
    kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


def test_a_plan_compares_with_the_cluster_and_apply_makes_it_so(project: Project):
    plan = project.bateau("plan", "--env", "prod")
    assert f"+ ConfigMap {project.namespace}/colours" in plan
    assert f"also created: Namespace {project.namespace}" in plan
    told = project.bateau("apply", "--env", "prod", "--yes")
    assert "app/shop" in told
    assert "every service is healthy" in told
    assert "Namespace" not in project.bateau("plan", "--env", "prod")
    assert project.kubectl.get("configmap", "colours")["data"] == {"a": "red"}
    assert "nothing changes" in project.bateau("plan", "--env", "prod", "--exit-code")
    project.config("colours", "green")
    project.config("more", "blue")
    told = project.bateau("plan", "--env", "prod", "--exit-code", code=4)
    assert "data.a red -> green" in told
    project.bateau("apply", "--env", "prod", "--yes")
    assert project.kubectl.get("configmap", "colours")["data"] == {"a": "green"}


def test_what_is_removed_from_the_specs_goes_and_what_others_made_stays(project: Project):
    project.config("more", "blue")
    project.bateau("apply", "--env", "prod", "--yes")
    project.kubectl("create", "configmap", "by-hand")
    (project.directory / "objects" / "more.yaml").unlink()
    assert f"- ConfigMap {project.namespace}/more" in project.bateau("plan", "--env", "prod")
    project.bateau("apply", "--env", "prod", "--yes")
    names = {each["metadata"]["name"] for each in project.kubectl.get("configmap")["items"]}
    assert "more" not in names
    assert {"colours", "by-hand"} <= names


def test_a_job_without_a_name_is_created_once_for_its_content(project: Project):
    job = (
        "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: migrate-}\nspec:\n  suspend: true\n  template:\n"
        "    spec: {restartPolicy: Never, containers: [{name: run, image: registry.example/run:%s}]}\n"
    )
    path = project.directory / "objects" / "job.yaml"
    path.write_text(job % 1)
    project.bateau("apply", "--env", "prod", "--yes")
    assert len(project.kubectl.get("jobs")["items"]) == 1
    project.kubectl("delete", "jobs", "--all")
    assert "nothing changes" in project.bateau("plan", "--env", "prod"), "it has ended, and is not run again"
    path.write_text(job % 2)
    project.bateau("apply", "--env", "prod", "--yes")
    assert len(project.kubectl.get("jobs")["items"]) == 1


def test_two_repositories_with_one_environment_and_namespace_are_told_apart(project: Project):
    def moved(url: str) -> None:
        subprocess.run(["git", "-C", str(project.directory), "config", "remote.origin.url", url], check=True)

    subprocess.run(["git", "init", "--quiet", str(project.directory)], check=True)
    moved("git@git.example:acme/shop.git")
    project.bateau("apply", "--env", "prod", "--yes")
    moved("git@git.example:acme/cart.git")
    told = project.bateau("plan", "--env", "prod", code=3)
    assert "belongs to the repository git.example/acme/shop, and these specs are from git.example/acme/cart" in told
    # The way out for a repository that has moved.
    words = told.partition("kubectl ")[2].partition("bateau.dev/repository-")[0].split()
    project.kubectl(*words, "bateau.dev/repository-")
    project.bateau("apply", "--env", "prod", "--yes")


def test_without_confirmation_nothing_is_applied(project: Project):
    assert "confirmation needs a terminal" in project.bateau("apply", "--env", "prod", code=2)
    assert f"+ ConfigMap {project.namespace}/colours" in project.bateau("apply", "--env", "prod", "--dry-run")
    assert project.kubectl.run("get", "configmap", "colours").returncode != 0


def test_a_field_of_another_manager_is_not_taken_over_silently(project: Project):
    project.bateau("apply", "--env", "prod", "--yes")
    patch = json.dumps({"data": {"a": "mine"}})
    project.kubectl("patch", "configmap", "colours", f"--patch={patch}", "--type=merge")
    project.config("colours", "green")
    told = project.bateau("apply", "--env", "prod", "--yes", code=3)
    assert 'conflict with "kubectl-patch"' in told
    assert "--force-conflicts" in told
    assert project.kubectl.get("configmap", "colours")["data"] == {"a": "mine"}
    project.bateau("apply", "--env", "prod", "--yes", "--force-conflicts")
    assert project.kubectl.get("configmap", "colours")["data"] == {"a": "green"}


def test_drift_is_shown_with_its_manager_and_repaired_if_the_environment_says_so(project: Project):
    project.bateau("apply", "--env", "prod", "--yes")
    patch = json.dumps({"data": {"a": "mine"}})
    project.kubectl("patch", "configmap", "colours", f"--patch={patch}", "--type=merge")
    told = project.bateau("plan", "--env", "prod")
    assert "data.a mine -> red  (changed by kubectl-patch)" in told
    assert "drift: 1 field changed by kubectl-patch; apply does not take it over without --force-conflicts" in told
    told = project.bateau("status", "--env", "prod")
    assert f"ConfigMap {project.namespace}/colours: data.a was changed by kubectl-patch" in told
    specs = project.directory / "specs.yaml"
    specs.write_text(specs.read_text().replace("{clusters: ", "{drift: repair, clusters: "))
    assert "apply takes it back" in project.bateau("plan", "--env", "prod")
    project.bateau("apply", "--env", "prod", "--yes")
    assert project.kubectl.get("configmap", "colours")["data"] == {"a": "red"}
    assert "nothing changes" in project.bateau("plan", "--env", "prod")


def test_what_someone_has_added_is_told_and_is_no_change(project: Project):
    project.bateau("apply", "--env", "prod", "--yes")
    patch = '{"data": {"b": "added"}}'
    project.kubectl("patch", "configmap", "colours", "--type=merge", f"--patch={patch}")
    plan = project.bateau("plan", "--env", "prod", "--exit-code")
    assert "nothing changes" in plan
    assert "drift: 1 field added by kubectl-patch; apply leaves it" in plan
    assert "ConfigMap" in project.bateau("status", "--env", "prod")
    project.bateau("apply", "--env", "prod", "--yes")
    assert project.kubectl.get("configmap", "colours")["data"] == {"a": "red", "b": "added"}
    (project.directory / "objects" / "colours.yaml").write_text(_CONFIG.replace("{a:", "{c:") % ("colours", "red"))
    plan = project.bateau("plan", "--env", "prod")
    assert f"~ ConfigMap {project.namespace}/colours  data.a - red" in plan, "Bateau has applied it, and removes it"
    assert "data.b" not in plan


def test_an_account_that_may_only_read_plans(project: Project, tmp_path_factory: pytest.TempPathFactory):
    project.bateau("apply", "--env", "prod", "--yes")
    project.kubectl("create", "serviceaccount", "reader")
    account = f"--serviceaccount={project.namespace}:reader"
    project.kubectl("create", "rolebinding", "reader", "--clusterrole=view", account)
    token = project.kubectl("create", "token", "reader").strip()
    reader = project.kubectl.with_token(token, tmp_path_factory.mktemp("kube"))
    project.config("colours", "green")
    assert "red -> green" in project.bateau("plan", "--env", "prod", kubeconfig=reader)
    told = project.bateau("apply", "--env", "prod", "--yes", "--timeout", "5", code=3, kubeconfig=reader)
    assert "cannot patch resource" in told
    assert token not in told


def test_the_status_shows_services_with_the_reason_of_their_pods(project: Project):
    assert "nothing of prod is applied" in project.bateau("status", "--env", "prod")
    (project.directory / "objects" / "web.yaml").write_text(_DEPLOYMENT)
    project.bateau("apply", "--env", "prod", "--yes", "--timeout", "3", code=3)
    told = project.bateau("status", "--env", "prod")
    assert "app/shop" in told
    assert "Starting" in told
    assert "0/1" in told
    tree = json.loads(project.bateau("status", "--env", "prod", "--json"))
    (service,) = tree["clusters"][0]["services"]
    assert service["replicas"][0]["id"].startswith(f"{project.namespace}/web-")
    # Without a node nothing is scheduled; with one, the image does not exist.
    assert "not scheduled" in told or "web" in service["reason"]
    assert f"{project.namespace}/web-" in project.bateau("logs", "shop", "--env", "prod")
    assert "no pod of nothing runs" in project.bateau("logs", "nothing", "--env", "prod", code=2)


def test_the_timeline_has_the_revisions_and_the_events_of_the_cluster(project: Project):
    assert "no event was recorded" in project.bateau("timeline", "--env", "prod")
    (project.directory / "objects" / "web.yaml").write_text(_DEPLOYMENT)
    project.bateau("apply", "--env", "prod", "--yes", "--timeout", "3", code=3)
    told = json.loads(project.bateau("timeline", "shop", "--env", "prod", "--json"))
    assert {entry["service"] for entry in told} == {"app/shop"}
    assert {entry["fields"]["cluster"] for entry in told} == {"berlin"}
    reasons = [entry["reason"] for entry in told]
    # The times of Kubernetes' events are whole seconds, so one may stand before the release that has caused it.
    assert [entry["says"] for entry in told if entry["reason"] == "Released"] == ["revision 1 adds it"]
    assert "ScalingReplicaSet" in reasons, "an event of the Deployment"
    assert "SuccessfulCreate" in reasons, "an event of its ReplicaSet"
    lines = project.bateau("timeline", "app/shop", "--env", "prod").splitlines()
    assert any("revision 1 adds it, by " in line for line in lines)
    assert "no event of nothing" in project.bateau("timeline", "nothing", "--env", "prod")
    assert "--follow is for this machine" in project.bateau("timeline", "--env", "prod", "--follow", code=2)


def test_a_kind_that_the_cluster_does_not_serve_is_named_before_anything_is_applied(project: Project):
    project.bateau("apply", "--env", "prod", "--yes")
    (project.directory / "objects" / "boat.yaml").write_text(
        "apiVersion: boats.example.org/v1\nkind: Boat\nmetadata: {name: ferry}\n"
    )
    told = project.bateau("plan", "--env", "prod")
    assert "warning: cluster berlin does not serve boats.example.org/v1 Boat" in told
    assert "install its CRD first" in told
    told = project.bateau("status", "--env", "prod")
    assert "berlin  app/shop: not on the cluster: Boat ferry" in told


def test_a_cluster_that_is_away_is_named_and_the_others_are_compared(project: Project, tmp_path: Path):
    specs = (project.directory / "specs.yaml").read_text()
    away = "---\napiVersion: bateau.dev/v1alpha1\nkind: Cluster\nmetadata: {name: paris}\nspec: {kubeconfig: %s}\n"
    config = tmp_path / "paris"
    config.write_text(
        "clusters: [{name: p, cluster: {server: 'https://127.0.0.1:9'}}]\nusers: [{name: p, user: {token: t}}]\n"
        "contexts: [{name: paris, context: {cluster: p, user: p}}]\n"
    )
    (project.directory / "specs.yaml").write_text(specs.replace("[berlin]", "[paris, berlin]") + away % config)
    told = project.bateau("plan", "--env", "prod", code=3)
    assert "paris: not compared: cannot reach paris at https://127.0.0.1:9" in told
    assert f"+ ConfigMap {project.namespace}/colours" in told
    told = project.bateau("apply", "--env", "prod", "--yes", code=3)
    assert "berlin: applied" in told
    told = project.bateau("status", "--env", "prod", code=3)
    assert "paris: unknown: cannot reach paris" in told
    assert "app/shop" in told


def _second(project: Project, name: str = "paris", **spec: str) -> None:
    """Add a cluster after berlin; without `spec` it is the same API server."""
    path = project.directory / "specs.yaml"
    fields = json.dumps(spec or {"context": Kubectl(project.kubeconfig)("config", "current-context").strip()})
    more = f"---\napiVersion: bateau.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {name}}}\nspec: {fields}\n"
    path.write_text(path.read_text().replace("[berlin]", f"[berlin, {name}]") + more)


def test_every_form_of_a_plan_compares_with_the_clusters(project: Project, tmp_path: Path):
    """The directory is no repository: a comparison with Git would fail."""
    project.bateau("apply", "--env", "prod", "--yes")
    project.config("colours", "green")
    config = tmp_path / "away"
    config.write_text(
        "clusters: [{name: p, cluster: {server: 'https://127.0.0.1:9'}}]\nusers: [{name: p, user: {token: t}}]\n"
        "contexts: [{name: paris, context: {cluster: p, user: p}}]\n"
    )
    _second(project, kubeconfig=str(config))
    told = project.bateau("plan", "--env", "prod", "--markdown", code=3)
    assert "### berlin: prod: 1 service changes" in told
    assert "### paris: not compared: cannot reach paris" in told
    assert "data.a red -> green" in told
    told = project.bateau("plan", "--env", "prod", "--sarif", code=3)
    (run,) = json.loads(told[: told.rindex("}") + 1])["runs"]
    assert [each["ruleId"] for each in run["results"] if each["level"] == "error"] == ["bateau/not-compared"]
    told = project.bateau("plan", "--env", "prod", "--json", code=3)
    trees = json.loads(told[: told.rindex("}") + 1])["clusters"]
    assert [(each["cluster"], each.get("pending"), "unreachable" in each) for each in trees] == [
        ("berlin", True, False),
        ("paris", None, True),
    ]


def test_a_cluster_that_does_not_become_healthy_pauses_those_after_it(project: Project):
    project.bateau("apply", "--env", "prod", "--yes")
    patch = json.dumps({"data": {"a": "mine"}})
    project.kubectl("patch", "configmap", "colours", f"--patch={patch}", "--type=merge")
    project.config("colours", "green")
    _second(project)
    told = project.bateau("apply", "--env", "prod", "--yes", "--json", code=3)
    assert "paused: berlin is not healthy, so paris was not changed" in told
    assert "paris  app/shop" not in told
    trees = json.loads(next(line for line in told.splitlines() if line.startswith("{")))["clusters"]
    assert [(each["cluster"], each["applied"], "paused" in each) for each in trees] == [
        ("berlin", False, False),
        ("paris", False, True),
    ]


def test_an_unknown_cluster_is_an_error_of_the_specs(project: Project):
    specs = (project.directory / "specs.yaml").read_text()
    (project.directory / "specs.yaml").write_text(specs.replace("[berlin]", "[berlni]"))
    told = project.bateau("check", code=1)
    assert "clusters `berlni`, but there is no such Cluster" in told
    assert "berlin" in told


def test_a_rollback_holds_a_service_until_its_spec_changes(project: Project):
    def git(*words: str) -> str:
        command = ["git", "-C", str(project.directory), "-c", "user.name=Ada", "-c", "user.email=a@b.example", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(colour: str) -> None:
        project.config("colours", colour)
        git("add", "--all")
        git("commit", "--quiet", "--message", colour)

    git("init", "--quiet")
    (project.directory / ".gitignore").write_text("paris\n")
    commit("red")
    red = git("rev-parse", "HEAD")
    project.bateau("apply", "--env", "prod", "--yes")
    commit("green")
    project.bateau("apply", "--env", "prod", "--yes")
    told = project.bateau("rollback", "shop", "--env", "prod")
    assert f"berlin: app/shop is rolled back to revision 1, commit {red[:12]}, until its spec changes" in told
    assert project.kubectl.get("configmap", "colours")["data"] == {"a": "red"}
    told = project.bateau("plan", "--env", "prod")
    assert "nothing changes" in told
    assert f"app/shop is rolled back to revision 1, commit {red[:12]}, until its spec changes" in told
    project.bateau("apply", "--env", "prod", "--yes")
    assert project.kubectl.get("configmap", "colours")["data"] == {"a": "red"}
    told = project.bateau("history", "--env", "prod")
    outcomes = [line.split()[4] for line in told.splitlines() if line.startswith("berlin")]
    assert outcomes == ["healthy", "rolled", "healthy"], told
    assert "held: app/shop at 1" in told
    commit("blue")
    assert "rolled back" not in project.bateau("apply", "--env", "prod", "--yes")
    assert project.kubectl.get("configmap", "colours")["data"] == {"a": "blue"}


def test_a_cluster_without_metrics_is_named(project: Project):
    told = project.bateau("top", "--env", "prod", code=3)
    assert "berlin: unknown:" in told
    assert "does not serve metrics.k8s.io" in told
