"""A delivery plan as people read it in a terminal.

Called by `bateau plan`. Returns text; printing and colour by the caller.

Invariant: every removal is on a line of its own; what is summed up is counted.
Refused: unified diffs of manifests; at a thousand services nobody reads them.
"""

from bateau.api.plan_words import SIGNS, counted, fold_words, headline
from bateau.cli.problems import render
from bateau.cli.table import edit_lines
from bateau.domain.change import Delivery, Fold, object_name
from bateau.domain.finding import Finding
from bateau.kit.visible import visible

_UNFIT_SHOWN = 5


def plan_text(delivery: Delivery, *, objects: bool = False) -> str:
    """Return the plan. With `objects`, edits of objects whose service is shown are listed too, not only summed up."""
    lines = [headline(delivery)]
    shown = [fold for fold in delivery.folds if objects or not _told_by_document(fold, delivery)]
    lines += edit_lines((SIGNS[fold.act], *fold_words(fold)) for fold in shown)
    lines += [f"  {visible(line)}" for line in _notes(delivery, hidden=len(shown) < len(delivery.folds))]
    if delivery.problems:
        lines.append(render(delivery.problems))
    return "\n".join(lines)


def _told_by_document(fold: Fold, delivery: Delivery) -> bool:
    """Whether an edit of objects only follows from edits of their services, which are shown."""
    if fold.act != "change" or fold.effect is None:
        return False
    told = {change.service for change in delivery.documents}
    makers = {change.key: change.service for change in delivery.changes}
    return all(makers.get(key) in told for key in fold.objects)


def _notes(delivery: Delivery, *, hidden: bool) -> list[str]:
    lines: list[str] = []
    restarts = [object_name(c.key) for c in delivery.changes if c.effect == "restart"]
    if restarts:
        lines.append(f"restarts: {_some(restarts)}")
    in_place = sum(c.effect == "in place" for c in delivery.changes)
    if in_place:
        lines.append(f"in place: {counted(in_place, 'object')}")
    for change in delivery.changes:
        if change.act == "change":
            lines += [
                f"{object_name(change.key)}: {reason}"
                for reason in change.reasons
                if not reason.startswith("its pods are replaced")
            ]
    if hidden:
        lines.append("objects: what follows from the services above is summed up; --objects lists it")
    # Rules of policies have a slash in their names; what target and schemas say is told in its own words.
    judged = tuple(finding for finding in delivery.findings if "/" in finding.rule)
    if judged:
        lines.append(_policy(judged))
    lines += _unfit([finding for finding in delivery.findings if "/" not in finding.rule])
    if delivery.left_alone:
        lines.append(f"left alone, not ours: {_some([object_name(key) for key in delivery.left_alone])}")
    if delivery.removals:
        asked = any("would be removed" in problem.says for problem in delivery.problems)
        asks = f"; confirm with --yes-remove {delivery.needs_confirmation}" if asked else ""
        lines.append(f"removes {len(delivery.removals):,} of {counted(delivery.objects_observed, 'object')}{asks}")
    return lines


def _unfit(findings: list[Finding]) -> list[str]:
    """Return what could not be rendered, or breaks a schema: all that forbids, and the first of what does not."""
    errors = [finding for finding in findings if finding.verdict == "error"]
    others = [finding for finding in findings if finding.verdict != "error"]
    shown = [*errors, *others[:_UNFIT_SHOWN]]
    lines = [f"{finding.rule}: {finding.subject}: {finding.says}" for finding in shown]
    if len(others) > _UNFIT_SHOWN:
        lines.append(f"and {len(others) - _UNFIT_SHOWN:,} more such remarks; `bateau render` lists them")
    return lines


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
    told = [f for f in findings if f.verdict in counts]
    named = [f"{f.rule}: {f.subject}{f' {f.where.file}:{f.where.line}' if f.where else ''}" for f in told]
    whole = ", ".join([counted(counts["error"], "error"), counted(counts["warning"], "warning"), *rest])
    return f"policy: {whole}" + (f"  ({_some(named)})" if named else "")


def _some(called: list[str], most: int = 3) -> str:
    return ", ".join(called[:most]) + (f" and {len(called) - most:,} more" if len(called) > most else "")
