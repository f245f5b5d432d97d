"""Health checks of an environment are CEL, and errors in them are reported where they stand."""

from bateau.specs import read

HEAD = "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\nspec:\n  healthCheckExprs:\n"
CHECK = "    - {apiVersion: a.example/v1, kind: Thing, current: %s}\n"


def test_a_health_check_is_cel_that_is_true_or_false() -> None:
    good, wrong, text = "status.phase == 'Ready'", "stats.phase == 'Ready'", "'Ready'"
    texts = {"prod.yaml": HEAD + "".join(CHECK % f'"{each}"' for each in (good, wrong, text))}
    problems = read(texts).problems
    assert [(each.where.line, each.says) for each in problems if each.where] == [
        (7, "healthCheckExprs[1].current is not valid CEL: undeclared reference to 'stats.phase'"),
        (8, "healthCheckExprs[2].current is not valid CEL: the result has the type STRING, and must be true or false"),
    ]
