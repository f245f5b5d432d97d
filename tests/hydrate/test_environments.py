"""What an environment makes of the same documents, and where every value of it came from."""

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.domain.release import Release
from bateau.hydrate import hydrate
from bateau.specs import read

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
CHAT = HEAD + (
    "kind: Model\nmetadata: {name: chat, labels: {team: search}}\n"
    "spec:\n  source: smollm2\n  replicas: 1\n  env: {REGION: '${ values.region }-${ environment.name }'}\n"
)
BASE = HEAD + "kind: Environment\nmetadata: {name: base}\nspec:\n  values: {region: eu, chat: {replicas: 4, tier: a}}\n"
PROD = HEAD + (
    "kind: Environment\nmetadata: {name: prod}\nspec:\n  from: [base]\n  values: {chat: {replicas: 6}}\n  patches:\n"
    "    - match: {kind: Model, name: chat}\n      set:\n        spec.replicas: '${ values.chat.replicas }'\n"
)


def hydrated(*texts: str, environment: str | None = "prod", **variables: str) -> tuple[Release, list[str]]:
    reading = read({f"{index}.yaml": text for index, text in enumerate(texts)})
    assert [p.says for p in reading.problems if p.severity == "error"] == []
    release, problems = hydrate(reading.specs, environment, variables)
    return release, [problem.says for problem in problems]


def environment(name: str, body: str) -> str:
    return f"{HEAD}kind: Environment\nmetadata: {{name: {name}}}\nspec:\n{body}"


def spec_of(release: Release) -> Any:
    (service,) = release.services
    return service


def test_values_merge_deep_along_from_and_expressions_keep_their_type():
    release, problems = hydrated(CHAT, BASE, PROD)
    assert problems == []
    assert spec_of(release).replicas == 6
    assert spec_of(release).env == {"REGION": "eu-prod"}


def test_every_step_of_a_value_is_kept():
    release, _ = hydrated(CHAT, BASE, PROD)
    chain = release.services[0].origins["spec.replicas"]
    assert [(step.how, str(step.at), step.value) for step in chain] == [
        ("written", "0.yaml:6:13", 1),
        ("expression", "2.yaml:10:24", 6),
        ("value", "2.yaml:6:29", 6),
    ]


def test_every_leaf_of_a_service_has_an_origin():
    release, _ = hydrated(CHAT, BASE, PROD)
    service = release.services[0]

    def leaves(value: Any, path: str) -> list[str]:
        if isinstance(value, dict):
            return [
                leaf
                for key, each in cast("dict[str, Any]", value).items()
                for leaf in leaves(each, f"{path}.{key}" if path else key)
            ]
        if isinstance(value, list):
            return [
                leaf for index, each in enumerate(cast("list[Any]", value)) for leaf in leaves(each, f"{path}[{index}]")
            ]
        return [path]

    tree = {"metadata": service.tree["metadata"], "spec": service.tree["spec"]}
    assert [leaf for leaf in leaves(tree, "") if not service.origins.get(leaf)] == []


def test_the_more_exact_match_wins_whatever_the_order_of_files():
    exact = environment(
        "prod", "  patches: [{match: {name: chat}, set: {spec.replicas: 2}}, {set: {spec.replicas: 3}}]\n"
    )
    release, problems = hydrated(
        CHAT.replace("  env: {REGION: '${ values.region }-${ environment.name }'}\n", ""), exact
    )
    assert (spec_of(release).replicas, problems) == (2, [])


def test_two_patches_of_equal_rank_are_a_mistake_with_both_places():
    twice = environment(
        "prod",
        "  patches:\n    - {match: {name: chat}, set: {spec.replicas: 2}}\n"
        "    - {match: {name: chat}, set: {spec.replicas: 3}}\n",
    )
    reading = read({"a.yaml": CHAT.replace("${ values.region }-", ""), "b.yaml": twice})
    _, problems = hydrate(reading.specs, "prod")
    (problem,) = problems
    assert problem.says == "two patches of equal rank set spec.replicas of Model chat"
    assert (str(problem.where), "b.yaml:6:50" in str(problem.hint)) == ("b.yaml:7:50", True)
    assert problem.environments == ("prod",)


def test_a_patch_that_matches_nothing_is_named_although_another_sets_the_same_path():
    both = environment(
        "prod",
        "  patches:\n    - {match: {name: nobody}, set: {spec.replicas: 2}}\n"
        "    - {match: {name: chat}, set: {spec.replicas: 3}}\n",
    )
    _, problems = hydrated(CHAT.replace("${ values.region }-", ""), both)
    assert problems == ["the patch matches no document"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("  patches: [{match: {name: nobody}, set: {spec.replicas: 2}}]\n", "the patch matches no document"),
        (
            "  patches: [{set: {spec.replicas: [1]}}]\n",
            "spec.replicas is a list; expected a whole number",
        ),
        ("  patches: [{set: {spec.replcias: 2}}]\n", "unknown field `replcias` in spec"),
        ("  patches: [{set: {kind: App}}]\n", "the path `kind` cannot be set"),
        (
            "  patches: [{set: {'spec.source.x': 1}}]\n",
            "the patch cannot be applied: spec.source is not a mapping, so it has no `x`",
        ),
        (
            "  patches: [{match: {when: 'spec.nothing'}, set: {spec.replicas: 2}}]\n",
            'the patch\'s `when` fails for Model chat: Key not found in map : "nothing"',
        ),
    ],
)
def test_a_patch_that_cannot_be_is_named(body: str, says: str):
    _, problems = hydrated(CHAT.replace("${ values.region }-", ""), environment("prod", body))
    assert says in problems


def test_when_sees_a_document_without_its_patches():
    patched = environment(
        "prod",
        "  patches:\n    - {set: {spec.replicas: 5}}\n"
        "    - {match: {when: 'spec.replicas == 1'}, set: {spec.parallel: 2}}\n"
        "    - {match: {when: 'spec.replicas == 5'}, set: {spec.parallel: 3}}\n",
    )
    release, problems = hydrated(CHAT.replace("${ values.region }-", ""), patched)
    assert problems == ["the patch matches no document"]
    assert (spec_of(release).replicas, spec_of(release).runs.parallel) == (5, 2)


def test_a_value_that_one_environment_lacks_is_named_with_it():
    reading = read({"a.yaml": CHAT, "b.yaml": environment("prod", "  values: {}\n")})
    _, (problem,) = hydrate(reading.specs, "prod")
    assert (problem.says, problem.environments) == ("spec.env.REGION: values has no `region`", ("prod",))


def test_environments_in_a_circle_are_named():
    texts = [
        environment("a", "  from: [b]\n"),
        environment("b", "  from: [a]\n"),
        CHAT.replace("${ values.region }-", ""),
    ]
    _, problems = hydrated(*texts, environment="a")
    assert problems == ["environments build on each other in a circle: a -> b -> a"]


def test_only_declared_variables_can_be_read():
    text = CHAT.replace("${ values.region }", '${ env("REGION") }')
    declared, problems = hydrated(text, environment("prod", "  env: [REGION]\n"), REGION="eu")
    assert (spec_of(declared).env, problems) == ({"REGION": "eu-prod"}, [])
    _, problems = hydrated(text, environment("prod", "  env: []\n"), REGION="eu")
    assert "env('REGION') is not available" in problems[0]


@given(st.permutations([CHAT, BASE, PROD]))
def test_the_order_of_files_never_changes_the_release(texts: list[str]):
    def plain(release: Release) -> Any:
        return [(s.key, s.tree, s.runs) for s in release.services]

    assert plain(hydrated(*texts)[0]) == plain(hydrated(CHAT, BASE, PROD)[0])


def test_hydrating_what_was_hydrated_changes_nothing():
    release, _ = hydrated(CHAT, BASE, PROD)
    again = read({"again.yaml": json.dumps(release.services[0].tree)})
    second, problems = hydrate(again.specs)
    assert problems == ()
    assert second.services[0].tree == release.services[0].tree


ZED = HEAD + (
    "kind: App\nmetadata: {name: zed, labels: {tier: '${ values.tier }'}}\nspec:\n  replicas: 1\n"
    "  image: 'r/zed:${ spec.env.VERSION }'\n"
    "  env: {N: '${ string(spec.replicas) }', A: '${ spec.env.B }', B: '${ metadata.labels.tier }', VERSION: '1.0'}\n"
)


def test_an_expression_that_reads_the_document_sees_its_final_values():
    patch = "  patches: [{match: {name: zed}, set: {spec.replicas: 5, spec.env.VERSION: '${ values.tag }'}}]"
    release, problems = hydrated(ZED, environment("prod", f"  values: {{tier: web, tag: '2.0'}}\n{patch}\n"))
    assert problems == []
    assert spec_of(release).runs.image == "r/zed:2.0"
    assert spec_of(release).env == {"N": "5", "A": "web", "B": "web", "VERSION": "2.0"}


def test_expressions_that_read_each_other_in_a_circle_are_named():
    patch = "  patches: [{match: {name: zed}, set: {metadata.labels.tier: '${ spec.env.A }'}}]"
    _, problems = hydrated(ZED, environment("prod", f"{patch}\n"))
    assert [problem.partition(": it reads a field")[0] for problem in problems] == [
        "metadata.labels.tier",
        "spec.env.A",
        "spec.env.B",
    ]


@pytest.mark.parametrize(
    "by", ["values: {tier: 3}", "values: {tier: x}, patches: [{match: {}, set: {metadata.labels.a: 5}}]"]
)
def test_a_label_that_becomes_no_text_is_a_mistake(by: str):
    text = HEAD + f"kind: Environment\nmetadata: {{name: prod}}\nspec: {{{by}}}\n"
    _, problems = hydrated(ZED, text)
    assert problems
    assert all(problem.endswith("; expected a string") for problem in problems)


@pytest.mark.parametrize(
    "sets",
    [
        ("{spec.resources: {cpu: 1}}", "{spec.resources.cpu: 2}"),
        ("{spec.resources.cpu: 2}", "{spec.resources: {cpu: 1}}"),
        ("{spec.env.X: a}", "{\"spec.env['X']\": b}"),
        ("{spec.replicas: 1}", "{spec.replicas: true}"),
    ],
)
def test_patches_of_equal_rank_that_overlap_are_a_mistake(sets: tuple[str, str]):
    patches = "".join(f"    - {{match: {{name: chat}}, set: {each}}}\n" for each in sets)
    _, problems = hydrated(CHAT, environment("prod", f"  values: {{region: eu}}\n  patches:\n{patches}"))
    assert any("two patches of equal rank set" in problem for problem in problems)


@pytest.mark.parametrize(
    ("expression", "read"),
    [
        ("values.a['b'].c", ["values.a.b.c"]),
        ('values["a"].b.c', ["values.a.b.c"]),
        ("values.l[1]", ["values.l"]),
        ("values.a.b.c.upperAscii()", ["values.a.b.c"]),
        ("string(size(values.a))", ["values.a.b.c", "values.a.d"]),
    ],
)
def test_every_way_to_read_a_value_is_in_the_chain(expression: str, read: list[str]):
    values = "  values: {region: eu, a: {b: {c: x}, d: z}, l: [p, q]}\n"
    patch = f"  patches: [{{match: {{name: chat}}, set: {{spec.env.X: {json.dumps(f'${{ {expression} }}')}}}}}]\n"
    release, problems = hydrated(CHAT, environment("prod", values + patch))
    assert problems == []
    chain = release.services[0].origins["spec.env.X"]
    assert [step.says for step in chain if step.how == "value"] == [f"{each} of prod" for each in read]


def test_a_patch_of_a_key_with_a_dot_is_in_the_chain_of_its_leaf():
    patch = "  patches: [{match: {name: chat}, set: {\"metadata.annotations['a.b/c']\": x, \"spec.env['a.b']\": z}}]\n"
    release, problems = hydrated(CHAT, environment("prod", f"  values: {{region: eu}}\n{patch}"))
    assert problems == []
    for path in ("metadata.annotations['a.b/c']", "spec.env['a.b']"):
        assert release.services[0].origins[path][-1].how == "patch"


def test_a_fault_beside_a_value_that_may_be_missing_is_what_is_told():
    text = CHAT.replace("${ values.region }", "${ has(values.x) ? values.x : string(1 / 0) }")
    _, problems = hydrated(text, environment("prod", "  values: {}\n"))
    assert problems == ["spec.env.REGION: divide by zero"]


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ("{spec.health.port: nope}", "health.port is `nope`, but there is no such port"),
        ("{spec.uses: [bogus]}", "uses `bogus`, but there is no such service"),
        ("{spec.uses: ['${ values.used }']}", "uses `model/gone`, but there is no such service"),
        ("{spec.image: null}", "the app has nothing to run"),
        ("{spec.health.path: '/x/${ ports.http }'}", "`ports` is available in spec.command, spec.env and"),
    ],
)
def test_a_reference_to_nothing_that_a_patch_makes_is_a_mistake(sets: str, says: str):
    shop = HEAD + "kind: App\nmetadata: {name: shop}\nspec: {image: x, ports: {http: {}}}\n"
    patch = f"  values: {{used: model/gone}}\n  patches: [{{match: {{name: shop}}, set: {sets}}}]\n"
    _, problems = hydrated(shop, environment("prod", patch))
    assert any(says in problem for problem in problems), problems


@pytest.mark.parametrize("value", ["5", "x", "[{a: b}]", "{a: b}", "null", "[5]"])
@pytest.mark.parametrize("path", ["uses", "health", "ports", "health.port", "image", "env", "command"])
def test_a_patch_of_any_shape_is_a_mistake_or_a_value(path: str, value: str):
    shop = HEAD + "kind: App\nmetadata: {name: shop}\nspec: {image: x, ports: {http: {}}}\n"
    patch = f"  patches: [{{match: {{name: shop}}, set: {{spec.{path}: {value}}}}}]\n"
    release, problems = hydrated(shop, environment("prod", patch))
    assert bool(release.services) is not bool(problems)
