"""Policies: the rules in force, what they find in the current specs, and the exceptions from them.

Called by ui.pages.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Final

import htpy as h

from bateau.control.path import Written
from bateau.domain.finding import Finding
from bateau.domain.rules import PolicyMatch, Rule, Waiver
from bateau.policy import Policy, judges_manifests
from bateau.ui.page import Part, Screen, View
from bateau.ui.words import count, safe

SOON_DAYS: Final = 14
_ORDER: Final = {"error": 0, "warning": 1, "not checked": 2, "excepted": 3}
_TONES: Final = {"error": "bad", "warning": "warn", "not checked": "idle", "excepted": "idle"}


def make(view: View, _parts: Mapping[str, str]) -> Screen:
    """Return the page."""
    written, today = view.reports.written, view.reports.today
    return Screen(
        title="Policies",
        parts=(
            Part(id="summary", make=partial(_summary, written), of=(written,)),
            Part(id="findings", make=partial(_findings, written), of=(written,)),
            Part(id="exceptions", make=partial(_exceptions, written, today)),
            Part(id="rules", make=partial(_rules, written), of=(written,)),
        ),
    )


def _summary(written: Written | None) -> h.Element:
    return h.section("#summary", aria_label="Summary")[h.h1["Policies"], _says(written)]


def _says(written: Written | None) -> h.Node:
    if written is None:
        return h.p(".says")["The specs are being read."]
    rules = sum(len(policy.spec.rules) for policy in written.policies)
    if not written.policies:
        return h.p(".says")[
            "The specs have no Policy. ", h.code["bateau check --starter"], " judges them by the starter set."
        ]
    found = [each for each in written.findings if each.of_policy]
    errors, warnings = (sum(each.verdict == word for each in found) for word in ("error", "warning"))
    return [
        h.p(".counts")[
            h.span(".state.good")[f"{count(rules, 'rule')} in force"],
            errors > 0 and h.span(".state.bad")[count(errors, "error")],
            warnings > 0 and h.span(".state.warn")[count(warnings, "warning")],
        ],
        errors > 0
        and h.p(".says.bad")["The specs violate a rule, so they were not applied. Running services were not changed."],
        any(judges_manifests(policy.spec.match) for policy in written.policies)
        and h.p(".says")[
            "This instance makes no Kubernetes objects. Rules over these are judged by ",
            h.code["bateau check"],
            " and ",
            h.code["bateau plan"],
            ".",
        ],
    ]


def _findings(written: Written | None) -> h.Element:
    found = [each for each in written.findings if each.of_policy] if written else []
    ordered = sorted(found, key=lambda each: (_ORDER[each.verdict], each.subject, each.rule, each.says))
    columns = ("Subject", "Verdict", "Finding", "Rule", "Place")
    return h.section("#findings.panel", aria_labelledby="findings-title", hidden=not (written and written.policies))[
        h.div(".bar")[
            h.h2("#findings-title")["Findings"],
            h.span(".note")["in the specs as they are now"],
            bool(ordered)
            and h.input(
                "#filter",
                type="search",
                placeholder="Filter",
                aria_label="Filter findings",
                data_filter="findings-rows",
            ),
        ],
        _table(columns, "Table of findings", (_finding(each) for each in ordered), body="findings-rows")
        if ordered
        else h.p(".empty")["Everything complies."],
    ]


def _finding(each: Finding) -> h.Element:
    kind, _, name = (each.service or each.subject).partition("/")
    subject = safe(each.subject)
    return h.tr[
        h.th(scope="row")[
            h.a(href=f"/ui/services/{kind}/{name}")[subject] if kind in ("app", "model") and name else subject
        ],
        h.td(data_name="Verdict")[h.span(class_=["state", _TONES[each.verdict]])[each.verdict]],
        h.td(data_name="Finding")[h.span(".text")[safe(each.says)]],
        h.td(data_name="Rule")[h.code[safe(each.rule)]],
        h.td(data_name="Place")[h.code[safe(str(each.where))] if each.where else "unknown"],
    ]


def _exceptions(written: Written | None, today: date | None) -> h.Element:
    found = [
        (policy, index, waiver)
        for policy in (written.policies if written else ())
        for index, waiver in enumerate(policy.spec.exceptions)
    ]
    ordered = sorted(found, key=lambda each: each[2].until)
    columns = ("Ends after", "For", "Rules", "Reason", "Owner", "Place")
    return h.section("#exceptions.panel", aria_labelledby="exceptions-title", hidden=not found)[
        h.div(".bar")[h.h2("#exceptions-title")["Exceptions"]],
        _table(columns, "Table of exceptions", (_exception(*each, today) for each in ordered)),
    ]


def _exception(policy: Policy, index: int, waiver: Waiver, today: date | None) -> h.Element:
    where = policy.positions.get(f"spec.exceptions[{index}].until", policy.position)
    rules = ", ".join(f"{policy.name}/{rule}" for rule in waiver.rules) or f"{policy.name}/*"
    return h.tr[
        h.th(scope="row")[h.time(datetime=waiver.until)[safe(waiver.until)], _left(waiver.until, today)],
        h.td(data_name="For")[safe(", ".join(_for(waiver)) or "every object")],
        h.td(data_name="Rules")[h.code[safe(rules)]],
        h.td(data_name="Reason")[h.span(".text")[safe(waiver.reason)]],
        h.td(data_name="Owner")[safe(waiver.owner)],
        h.td(data_name="Place")[h.code[safe(str(where))]],
    ]


def _left(until: str, today: date | None) -> h.Node:
    """Return how long an exception still holds, if that is not long."""
    if today is None:
        return None
    days = (date.fromisoformat(until) - today).days
    if days < 0:
        return h.span(".reason")[h.span(".state.bad")["ended: the rule applies again"]]
    if days > SOON_DAYS:
        return None
    words = "ends today" if days == 0 else f"ends in {count(days, 'day')}"
    return h.span(".reason")[h.span(".state.warn")[words]]


def _for(waiver: Waiver) -> Iterator[str]:
    words = (
        ("kinds", waiver.kinds),
        ("names", waiver.names),
        ("namespaces", waiver.namespaces),
        ("environments", waiver.environments),
        ("files", waiver.files),
    )
    for word, globs in words:
        if globs:
            yield f"{word} {', '.join(globs)}"


def _rules(written: Written | None) -> h.Element:
    policies: Sequence[Policy] = written.policies if written else ()
    columns = ("Rule", "Severity", "Judges", "Checks", "Message", "Place")
    rows = (_rule(policy, index, rule) for policy in policies for index, rule in enumerate(policy.spec.rules))
    return h.section("#rules.panel", aria_labelledby="rules-title", hidden=not policies)[
        h.div(".bar")[h.h2("#rules-title")["Rules in force"]],
        _table(columns, "Table of rules", rows),
    ]


def _rule(policy: Policy, index: int, rule: Rule) -> h.Element:
    where = policy.positions.get(f"spec.rules[{index}].name", policy.position)
    return h.tr[
        h.th(scope="row")[h.code[safe(f"{policy.name}/{rule.name}")]],
        h.td(data_name="Severity")[h.span(class_=["state", _TONES[rule.severity]])[rule.severity]],
        h.td(data_name="Judges")[safe(", ".join(_judges(policy.spec.match)))],
        h.td(data_name="Checks")[h.code[safe(rule.check)], rule.path and h.span(".reason")[safe(rule.path)]],
        h.td(data_name="Message")[h.span(".text")[_message(policy, rule)]],
        h.td(data_name="Place")[h.code[safe(str(where))]],
    ]


def _judges(match: PolicyMatch) -> Iterator[str]:
    yield " and ".join(match.kinds) or "every kind"
    for word, globs in (
        ("groups", match.groups),
        ("names", match.names),
        ("namespaces", match.namespaces),
        ("environments", match.environments),
        ("labels", tuple(f"{name}={value}" for name, value in match.labels.items())),
    ):
        if globs:
            yield f"{word} {', '.join(globs)}"
    if judges_manifests(match):
        yield "not judged by this instance"


def _message(policy: Policy, rule: Rule) -> h.Node:
    """Return the message of a rule, which says how to comply: text, a literal of CEL, or an expression."""
    text = rule.message.strip()
    quote = text[:1]
    is_literal = quote in ("'", '"') and text.endswith(quote) and quote not in text[1:-1] and "\\" not in text
    if rule.name in policy.plain or not is_literal:
        return safe(text) if rule.name in policy.plain else h.code[safe(text)]
    return safe(text[1:-1])


def _table(columns: Sequence[str], title: str, rows: Iterator[h.Element], body: str | None = None) -> h.Element:
    return h.div(".scroll", tabindex="0", role="region", aria_label=title)[
        h.table(".cards")[
            h.thead[h.tr[(h.th(scope="col")[each] for each in columns)]],
            h.tbody(id=body)[rows],
        ]
    ]
