"""Decide whether a policy matches an object, and whether an exception applies to it.

Called by control.delivery, control.object_checks, policy.admission, policy.judging, policy.names and
ui.pages.policies_page.

Invariant: globs are `*`, `?` and `[…]` and are case-sensitive; an absent condition always holds. Held by
tests/policy/test_judge.py::test_match_by_group_name_namespace_and_label.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from bateau.domain.kinds import KINDS, SERVICE_KINDS
from bateau.domain.rules import PolicyMatch, Waiver
from bateau.kit.json_value import object_at
from bateau.policy.subject import Stage, Subject


def stage_of(match: PolicyMatch) -> Stage:
    """Return the stage that a policy judges, from its kinds if it does not name one."""
    if match.stage is not None:
        return match.stage
    if not match.kinds or not set(match.kinds) <= KINDS:
        return "manifest"
    return "release" if set(match.kinds) <= SERVICE_KINDS else "spec"


def judges_manifests(match: PolicyMatch) -> bool:
    """Whether the policy judges Kubernetes objects, so that they have to be rendered for it."""
    return stage_of(match) == "manifest"


def matches(match: PolicyMatch, subject: Subject) -> bool:
    """Whether the policy matches `subject`, whatever the environment."""
    labels = object_at(subject.metadata, "labels")
    return (
        subject.stage == stage_of(match)
        and (not match.kinds or subject.kind in match.kinds)
        and (not match.groups or subject.group in match.groups)
        and any_glob(match.names, subject.name)
        and any_glob(match.namespaces, subject.namespace)
        and all(labels.get(key) == value for key, value in match.labels.items())
    )


def lifts(waiver: Waiver, *, rule: str, subject: Subject, environment: str | None) -> bool:
    """Whether the exception is for this rule and `subject`, whatever its date."""
    where = subject.where(None)
    return (
        (not waiver.rules or rule in waiver.rules)
        and (not waiver.kinds or subject.kind in waiver.kinds)
        and any_glob(waiver.names, subject.name)
        and any_glob(waiver.namespaces, subject.namespace)
        and (not waiver.environments or (environment is not None and any_glob(waiver.environments, environment)))
        and (not waiver.files or (where is not None and any_glob(waiver.files, where.file)))
    )


def any_glob(globs: Iterable[str], text: str) -> bool:
    """Whether `text` matches one of `globs`; true if there are none."""
    globs = tuple(globs)
    return not globs or any(fnmatchcase(text, glob) for glob in globs)
