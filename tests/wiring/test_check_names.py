"""`check` names the apps and the environments of each problem, once, and only where they tell it apart."""

import json
from pathlib import Path

from click.testing import CliRunner

from bateau.cli.check import command
from bateau.cli.problems import render
from bateau.wiring.written import check_directory

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {size: %s}\n"


def app(name: str, files: str) -> str:
    return f"---\n{HEAD}kind: App\nmetadata: {{name: {name}}}\nspec: {{manifests: [{files!r}]}}\n"


def environment(name: str, directory: str) -> str:
    return f"---\n{HEAD}kind: Environment\nmetadata: {{name: {name}}}\nspec: {{values: {{directory: {directory}}}}}\n"


def repository(root: Path, specs: str, **values: str) -> Path:
    """Write specs, and a ConfigMap with a value for each directory."""
    (root / "specs.yaml").write_text(specs)
    for directory, value in values.items():
        (root / directory).mkdir()
        (root / directory / "x.yaml").write_text(CONFIG % value)
    return root


def test_apps_of_one_file_and_the_environment_of_the_error_are_named(tmp_path: Path) -> None:
    """F11: of three apps in three environments one error was shown, without any of them."""
    specs = "".join(app(name, "${ values.directory }/x.yaml") for name in ("a", "b"))
    specs += "".join(environment(name, "good" if name != "staging" else "bad") for name in ("dev", "prod", "staging"))
    root = repository(tmp_path, specs, good="'1'", bad="1")
    shown = render(check_directory(root).problems).splitlines()
    twice = "schema, ConfigMap x: 2 manifests describe this object: that of app/a at {0} and that of app/b at {0}"
    wrong = "schema, ConfigMap x: `data.size` must be a string, but is the integer 1"
    assert shown == [
        f"bad/x.yaml:3:18  app/b in staging: {twice.format('bad/x.yaml:3:18')}",
        f"bad/x.yaml:4:14  app/a, app/b in staging: {wrong}",
        f"good/x.yaml:3:18  app/b in dev, prod: {twice.format('good/x.yaml:3:18')}",
    ]


def test_a_problem_of_all_environments_names_none(tmp_path: Path) -> None:
    """F11: folded where it is the same everywhere."""
    specs = app("a", "k/x.yaml") + environment("dev", "k") + environment("prod", "k")
    (problem,) = check_directory(repository(tmp_path, specs, k="1")).problems
    assert (problem.services, problem.environments) == (("app/a",), ())


def test_an_object_that_two_apps_describe_in_one_environment_names_both_and_it(tmp_path: Path) -> None:
    specs = app("a", "k/x.yaml") + app("b", "${ values.directory }/x.yaml")
    specs += environment("dev", "k") + environment("prod", "empty")
    root = repository(tmp_path, specs, k="'1'")
    (root / "empty").mkdir()
    (root / "empty" / "x.yaml").write_text((CONFIG % "'1'").replace("name: x", "name: other"))
    (problem,) = check_directory(root).problems
    assert (problem.services, problem.environments) == (("app/b",), ("dev",))
    assert problem.says.endswith("that of app/a at k/x.yaml:3:18 and that of app/b at k/x.yaml:3:18")


def test_json_names_apps_and_environments(tmp_path: Path) -> None:
    specs = app("a", "${ values.directory }/x.yaml") + environment("dev", "good") + environment("prod", "bad")
    root = repository(tmp_path, specs, good="'1'", bad="1")
    done = CliRunner().invoke(command, ["-C", str(root), "--json"], standalone_mode=False)
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["services"], problem["environments"]) == (["app/a"], ["prod"])


def test_a_remark_says_once_that_an_object_was_not_checked(tmp_path: Path) -> None:
    """F23: `not checked: not checked: no schema of ...`."""
    root = repository(tmp_path, app("a", "boat.yaml"))
    (root / "boat.yaml").write_text("apiVersion: x.dev/v1\nkind: Boat\nmetadata: {name: a, namespace: b}\n")
    assert render(check_directory(root).problems).splitlines() == [
        "boat.yaml:3:18  warning: app/a: schema, Boat a: not checked: no schema of Boat in x.dev/v1 is known"
    ]
