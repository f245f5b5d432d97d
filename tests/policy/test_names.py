"""Names in a policy that refer to something: a misspelling is an error, another unknown name a warning."""

from collections.abc import Sequence

import pytest

from bateau.policy import understand
from bateau.specs import read

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
OTHERS = "".join(
    f"---\n{HEAD}kind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    for kind, name, spec in (
        ("Environment", "prod", "{}"),
        ("Environment", "staging", "{}"),
        ("App", "assistant", "{image: a}"),
        ("Model", "chat", "{source: smollm2}"),
    )
)
CUSTOM = "for a custom resource of this name, write its group in spec.match.groups"


def _said(
    match: str, waiver: str = "", *, check: str = "'true'", others: str = OTHERS
) -> Sequence[tuple[str, str, str | None]]:
    """Return severity, message and hint of each problem of a policy with this match and this exception."""
    lines = [
        *("kind: Policy", "metadata: {name: house}", "spec:", f"  match: {{{match}}}", "  params: {min: 1}"),
        f"  rules: [{{name: owner, check: {check}, message: broken}}]",
        f"  exceptions: [{{owner: me, reason: later, until: '2999-01-01', {waiver}}}]" if waiver else "",
    ]
    reading = read({"house.yaml": HEAD + "\n".join(lines) + f"\n{others}"})
    assert [each.says for each in reading.problems if each.severity == "error"] == []
    policies, problems = understand(reading.specs, doubtful=reading.doubtful)
    assert len(policies) == (0 if any(each.severity == "error" for each in problems) else 1)
    assert all(each.where and 5 <= each.where.line <= 8 for each in problems)
    return [(str(each.severity), each.says, each.hint) for each in problems]


@pytest.mark.parametrize(
    ("match", "says", "hint"),
    [
        ("kinds: [Modle]", "there is no kind `Modle`", f"did you mean `Model`? {CUSTOM}"),
        ("kinds: [Deplyoment]", "there is no kind `Deplyoment`", f"did you mean `Deployment`? {CUSTOM}"),
        ("kinds: [Deployment], groups: [app]", "there is no API group `app`", "did you mean `apps`?"),
        ("groups: [apps/v1]", "there is no API group `apps/v1`", "did you mean `apps`?"),
        (
            "kinds: [Pod], groups: [core]",
            "there is no API group `core`",
            'the core group is the empty string: write `groups: [""]`',
        ),
        (
            "kinds: [Service], groups: [apps]",
            "Service is never matched: it is in the core group, and not in apps",
            'write `groups: [""]`, or leave it out',
        ),
        ("environments: [prdo]", "no Environment matches `prdo`", "did you mean `prod`?"),
        ("kinds: [App], names: [asistant]", "no document matches `asistant`", "did you mean `assistant`?"),
    ],
)
def test_a_misspelt_name_in_a_match_is_an_error(match: str, says: str, hint: str) -> None:
    """Part 1, item 11: `kinds: [Modle]` judged nothing, and nothing said so."""
    assert _said(match) == [("error", says, hint)]


@pytest.mark.parametrize(
    ("match", "waiver", "says", "hint"),
    [
        ("", "environments: [stagin]", "no Environment matches `stagin`", "did you mean `staging`?"),
        ("", "kinds: [Deploymnet]", "there is no kind `Deploymnet`", f"did you mean `Deployment`? {CUSTOM}"),
        (
            "kinds: [Deployment, Job]",
            "kinds: [Deploymnet]",
            "the exception is for the kind `Deploymnet`, which this policy does not match",
            "did you mean `Deployment`?",
        ),
        (
            "",
            "rules: [onwer]",
            "the exception is for the rule `onwer`, which this policy does not have",
            "did you mean `owner`?",
        ),
        ("kinds: [App]", "names: [asistant]", "no document matches `asistant`", "did you mean `assistant`?"),
        ("kinds: [App]", "files: [hous.yaml]", "no spec file matches `hous.yaml`", "did you mean `house.yaml`?"),
    ],
)
def test_a_misspelt_name_in_an_exception_is_an_error(match: str, waiver: str, says: str, hint: str) -> None:
    assert _said(match, waiver) == [("error", says, hint)]


@pytest.mark.parametrize(
    ("match", "waiver", "says"),
    [
        ("environments: [demo]", "", "no Environment matches `demo`"),
        ("environments: ['eu-*']", "", "no Environment matches `eu-*`"),
        ("kinds: [Model]", "names: [embeddings]", "no document matches `embeddings`"),
    ],
)
def test_an_unknown_name_that_is_near_to_none_is_a_warning(match: str, waiver: str, says: str) -> None:
    ((severity, said, _),) = _said(match, waiver)
    assert (severity, said) == ("warning", says)


@pytest.mark.parametrize(
    "match",
    [
        "kinds: [Deployment, Job, ConfigMap]",
        "kinds: [Event]",
        "kinds: [Rule], groups: [monitoring.coreos.com]",  # a custom resource with a name near to Role
        "kinds: [Service], groups: [serving.knative.dev]",
        "kinds: [Certificate]",
        "groups: ['', apps, gateway.networking.k8s.io]",
        "environments: ['pro*', staging]",
        "names: [anything]",
        "kinds: [App, Model], names: ['chat*', assistant]",
    ],
)
def test_a_name_that_exists_or_may_be_a_custom_resource_is_not_reported(match: str) -> None:
    assert _said(match) == []


def test_a_name_of_a_document_that_could_not_be_read_is_not_reported() -> None:
    """Its error is reported; that the policy refers to nothing would be another, and untrue."""
    broken = f"---\n{HEAD}kind: Environment\nmetadata: {{name: demo}}\nspec: {{nonsense: true}}\n"
    reading = read(
        {
            "a.yaml": HEAD + "kind: Policy\nmetadata: {name: house}\nspec: {match: {environments: [demo]}}\n",
            "b.yaml": broken,
        }
    )
    assert understand(reading.specs, doubtful=reading.doubtful)[1] == ()


def test_a_misspelt_parameter_is_an_error() -> None:
    ((severity, says, hint),) = _said("", check='"1 > params.mni"')
    assert severity == "error"
    assert "reads params.mni, which spec.params does not have" in says
    assert hint == "did you mean `min`?"
    assert _said("", check='"!has(params.limit)"') == []
