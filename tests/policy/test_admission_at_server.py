"""The starter set at a real API server: its answer to every test document is the verdict of `judge`."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bateau.policy import Policy, Subject, admission_policies, judge
from bateau.wiring.policies import starter_policies
from bateau.wiring.schemas import load_schemas
from policy.api_server import Answer, judging

FIXTURES: Final = Path(__file__).parent / "fixtures"
TODAY: Final = date(2026, 11, 24)
SCHEMAS: Final = load_schemas()


def _sent() -> dict[str, dict[str, Any]]:
    """Return every document of the fixtures that an API server knows: of every kind but Bateau's own."""
    return {
        f"{path.parent.name}/{path.stem}-{tree['kind']}": tree
        for path in sorted(FIXTURES.rglob("*.yaml"))
        if path.name != "expected.yaml"
        for tree in yaml.safe_load_all(path.read_text())
        if not tree["apiVersion"].startswith("bateau.dev/")
    }


SENT: Final = _sent()


@dataclass(frozen=True)
class Served:
    """What the API server answered to each document, and how it found the types of each policy."""

    answers: Mapping[str, Answer]
    type_warnings: Mapping[str, Any]


@pytest.fixture(scope="module")
def served(control_plane: Path) -> Served:
    return asyncio.run(_ask(control_plane))


async def _ask(kubeconfig: Path) -> Served:
    trees = [tree for policy in starter_policies() for tree in admission_policies(policy, today=TODAY)[0]]
    async with judging(kubeconfig, trees) as server:
        answers = dict(zip(SENT, await server.each(SENT.values()), strict=True))
        return Served(answers, await server.type_warnings())


def judged(tree: Mapping[str, Any], policies: tuple[Policy, ...]) -> dict[str, set[str]]:
    """Return what judge says of an object alone: the messages by verdict, as an API server writes them."""
    seen = SCHEMAS.with_defaults(tree)
    found: dict[str, set[str]] = {"error": set(), "warning": set(), "excepted": set(), "not checked": set()}
    subject = Subject(stage="manifest", label=tree["kind"], tree=seen)
    for finding in judge([subject], policies, today=TODAY):
        found[finding.verdict].add(f"{finding.rule}: {' '.join(finding.says.split())}")
    return found


@pytest.mark.parametrize("name", SENT)
def test_the_server_gives_every_test_document_the_verdict_of_judge(served: Served, name: str) -> None:
    answer, ours = served.answers[name], judged(SENT[name], starter_policies())
    assert answer.refused is None
    assert answer.broken == ours["error"] | ours["warning"]
    assert answer.verdict == ("deny" if ours["error"] else "warn" if ours["warning"] else "allow")
    if ours["error"]:
        assert answer.denied in ours["error"]
    else:
        assert answer.warned == ours["warning"]


def test_every_rule_is_seen_to_break_at_the_server_or_is_said_to_be_absent_there(served: Served) -> None:
    broken = {says.partition(":")[0] for answer in served.answers.values() for says in answer.broken}
    for path in sorted(FIXTURES.glob("*/expected.yaml")):
        policy, _, rule = path.parent.name.partition(".")
        expected = yaml.safe_load(path.read_text())["server"]
        assert (f"{policy}/{rule}" in broken) is (expected != "no: not checked"), path.parent.name
        failing = [answer for name, answer in served.answers.items() if name.startswith(f"{path.parent.name}/fail")]
        assert expected == "no: not checked" or {each.verdict for each in failing} == {expected}, path.parent.name


def test_the_server_finds_no_wrong_type_in_a_starter_policy(served: Served) -> None:
    assert served.type_warnings == {}
