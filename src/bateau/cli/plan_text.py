"""A delivery plan as people read it in a terminal.

Called by cli.cluster_apply, cli.installing and cli.plan. Returns text; the caller prints it, and the problems after it.

Invariant: every removal is on a line of its own, and everything that is summed up is counted. Held by
tests/plan/test_removals_shown.py and tests/plan/test_delivery_shown.py.
Refused: unified diffs of manifests; at a thousand services nobody reads them.
"""

from collections.abc import Iterator

from bateau.api.plan_remarks import Remark, remarks
from bateau.cli.table import edit_lines
from bateau.domain.change import Delivery, Fold, object_name
from bateau.domain.finding import Finding
from bateau.domain.origin import Origin
from bateau.kit.visible import visible
from bateau.plan.words import (
    SIGNS,
    baseline_words,
    counted,
    drift_words,
    fold_words,
    gap_words,
    headline,
    namespace_words,
    removal_words,
)

# Up to so many findings of one rule and kind have a line each.
_ERRORS_ALONE = 20
_REMARKS_ALONE = 3


def plan_text(delivery: Delivery, *, objects: bool = False) -> str:
    """Return the plan. With `objects`, edits of objects whose service is shown are listed too, not only summed up."""
    lines = [headline(delivery)]
    shown = [fold for fold in delivery.folds if objects or not _told_by_document(fold, delivery)]
    lines += edit_lines((SIGNS[fold.act], *fold_words(fold)) for fold in shown)
    for gap in delivery.gaps:
        lines += [visible(f"? {line}") for line in (gap_words(gap), *map(_may_go, map(object_name, gap.may_go)))]
    lines += [f"  {visible(line)}" for line in _notes(delivery, hidden=len(shown) < len(delivery.folds))]
    return "\n".join(lines)


def _may_go(name: str) -> str:
    return f"{name}  may be removed"


def _told_by_document(fold: Fold, delivery: Delivery) -> bool:
    """Whether an edit of objects only follows from edits of their services, which are shown.

    An edit with another cause, such as a default of a chart or a patch of the object, does not follow from them.
    """
    if fold.act != "change" or fold.effect is None:
        return False
    makers = {change.key: change.service for change in delivery.changes}
    services = {makers.get(key) for key in fold.objects}
    told = [change for change in delivery.documents if change.service in services]
    causes = {_line(edit.cause) for change in told for edit in change.fields} | {None}
    return services <= {change.service for change in told} and {_line(each) for each in fold.origins} <= causes


def _line(cause: Origin | None) -> tuple[str, int] | None:
    return (cause.at.file, cause.at.line) if cause and cause.at else None


def _notes(delivery: Delivery, *, hidden: bool) -> Iterator[str]:
    restarts = [object_name(c.key) for c in delivery.changes if c.effect == "restart"]
    if restarts:
        yield f"restarts: {_some(restarts)}"
    in_place = sum(c.effect == "in place" for c in delivery.changes)
    if in_place:
        yield f"in place: {counted(in_place, 'object')}"
    for change in delivery.changes:
        if change.act == "change":
            for reason in change.reasons:
                if not reason.startswith("its pods are replaced"):
                    yield f"{object_name(change.key)}: {reason}"
    if hidden:
        yield "objects: edits that follow from the services above are summed up; --objects lists them"
    yield from namespace_words(delivery)
    yield from delivery.held
    yield from drift_words(delivery.drift)
    if delivery.left_alone:
        yield f"left alone, not managed by Bateau: {_some([object_name(key) for key in delivery.left_alone])}"
    yield from _findings(delivery)
    if delivery.removals:
        confirm = f"; confirm with --yes-remove {delivery.needs_confirmation}" if delivery.unconfirmed else ""
        yield f"{removal_words(delivery)}{confirm}"


def _findings(delivery: Delivery) -> Iterator[str]:
    """Yield a summary of the policies, and every other new finding; the known ones are folded and counted."""
    errors = [finding for finding in delivery.findings if finding.verdict == "error"]
    yield from map(_remark, remarks(errors, alone_max=_ERRORS_ALONE))
    judged = tuple(finding for finding in delivery.findings if finding.of_policy)
    if judged:
        yield _policy(judged)
    others = [each for each in delivery.findings if each.verdict != "error" and not each.of_policy]
    yield from map(_remark, remarks(others, alone_max=_REMARKS_ALONE))
    if delivery.baseline.errors:
        yield baseline_words(delivery)
    known = remarks(delivery.baseline.findings, alone_max=0)
    if known:
        counts = (f"{len(each.findings):,} {each.first.verdict} ({each.first.rule}, {each.kind})" for each in known)
        yield f"not caused by this change: {_some(list(counts))}"


def _remark(remark: Remark) -> str:
    first, number = remark.first, len(remark.findings)
    verdict = f"{first.verdict}: " if first.verdict == "error" else ""
    count = f" ({number:,} times)" if number > 1 else ""
    where = f"   {first.where.file}:{first.where.line}" if number == 1 and first.where else ""
    return f"{verdict}{first.rule}: {remark.subject}{count}: {remark.says}{where}"


def _policy(findings: tuple[Finding, ...]) -> str:
    counts = {verdict: sum(f.verdict == verdict for f in findings) for verdict in ("error", "warning")}
    rest = [
        counted(number, word) if word == "exception" else f"{number:,} {word}"
        for word, number in (
            ("exception", sum(f.verdict == "excepted" for f in findings)),
            ("not checked", sum(f.verdict == "not checked" for f in findings)),
        )
        if number
    ]
    told = [f for f in findings if f.verdict == "warning"]
    named = [f"{f.rule}: {f.subject}{f' {f.where.file}:{f.where.line}' if f.where else ''}" for f in told]
    whole = ", ".join([counted(counts["error"], "error"), counted(counts["warning"], "warning"), *rest])
    return f"policy: {whole}" + (f"  ({_some(named)})" if named else "")


def _some(called: list[str], most: int = 3) -> str:
    return ", ".join(called[:most]) + (f" and {len(called) - most:,} more" if len(called) > most else "")
