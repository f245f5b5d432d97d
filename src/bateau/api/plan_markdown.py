"""A delivery plan as a comment on a pull request.

Called by cli.plan. `plan --comment` posts the pages to a forge.

Invariant: every object that is removed, or may be, is named at the beginning, at any length. All else stays within the
limit of characters, most dangerous first, and the lines that are left out are counted. Held by
tests/plan/test_removals_shown.py and tests/plan/test_delivery_shown.py.
Invariant: no value can mention a person (@name), close an issue or break out of its place. Held by
tests/plan/test_delivery_shown.py::test_values_cannot_break_out_of_a_comment.
Refused: a collapsed diff of manifests. Forges cut comments at 65,536 characters, and the end is lost silently.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bateau.api.plan_remarks import Remark, remarks
from bateau.domain.change import Delivery, Fold, ObjectKey, object_name
from bateau.domain.problem import Problem, Severity
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

CHARACTERS_MAX: Final = 60_000
# Kept free for the line that counts the lines that are left out.
_FOOTER_CHARACTERS: Final = 500
_LINE_CHARACTERS: Final = 2_000
# Up to this number of findings of one rule and kind, each finding has its own line.
_ERRORS_ALONE: Final = 20
_REMARKS_ALONE: Final = 3
_REMOVING: Final = ("remove", "rename", "replace")
_MARKS: Final = {"error": "❌", "warning": "⚠️", "not checked": "❔", "excepted": "⏸️"}
_WORDS: Final = {
    "remove": "removed",
    "recreate": "recreated",
    "rename": "renamed",
    "replace": "replaced",
    "change": "changed",
    "create": "created",
}


def plan_markdown(*deliveries: Delivery, characters_max: int = CHARACTERS_MAX) -> str:
    """Return the comment as one text. It is longer than `characters_max` only if the removals alone are."""
    return "\n".join(plan_pages(*deliveries, characters_max=characters_max))


def plan_pages(*deliveries: Delivery, characters_max: int = CHARACTERS_MAX) -> tuple[str, ...]:
    """Return the comment in pages, each under the limit; most plans have one, whatever the number of clusters.

    The first line of the first page marks it, so that the next plan can replace it.
    """
    mark = f"<!-- bateau plan {re.sub('[^a-z0-9-]', '', deliveries[0].environment or '')} -->\n"
    pages = [mark]
    for delivery in deliveries:
        for page in _pages(delivery, characters_max - len(mark)):
            if pages[-1] is mark or len(pages[-1]) + len(page) + 1 > characters_max:
                pages.append(page)
            else:
                pages[-1] += f"\n{page}"
    return mark + pages[1], *pages[2:]


def _pages(delivery: Delivery, characters_max: int) -> Iterator[str]:
    """Yield the pages of one plan."""
    if delivery.unreachable:
        yield f"### {_escaped(headline(delivery))}\n\n{_problem(delivery.unreachable)}\n"
        return
    budget = characters_max - _FOOTER_CHARACTERS
    pages: list[list[str]] = [
        [
            f"### {_escaped(headline(delivery))}",
            "",
            *(f"{line}\n" for line in _warnings(delivery)),
        ]
    ]
    used = _length(pages[0])
    folds = sorted(filter(_removes, delivery.folds), key=lambda fold: fold.act == "replace")
    first = [(fold, _fold(fold)) for fold in folds]
    roomy = _length([line for _, line in first]) <= budget // 2
    named = [line for _, line in first] if roomy else [*_names([fold for fold in folds if fold.edit is None])]
    for line in (*named, *_gaps(delivery)):
        if used + len(line) + 1 > budget:
            of = delivery.cluster or delivery.environment or "plan"
            pages.append([f"### {_escaped(of)}: removals, continued", ""])
            used = _length(pages[-1])
        pages[-1].append(line)
        used += len(line) + 1
    left_out: Counter[str] = Counter()
    rest = [fold for fold in delivery.folds if not (_removes(fold) and (roomy or fold.edit is None))]
    for kind, line in _rest(delivery, rest):
        # Once a line is left out, all that are less dangerous are too, so that the order keeps its meaning.
        if left_out or used + len(line) + 1 > budget:
            left_out[kind] += 1
            continue
        pages[-1].append(line)
        used += len(line) + 1
    if left_out:
        what = ", ".join(f"{number:,} {kind}" for kind, number in sorted(left_out.items()))
        pages[-1] += [
            "",
            f"**Left out for length:** {what}. `bateau plan{_option(delivery.environment)}` shows all.",
        ]
    yield from ("\n".join(lines).rstrip() + "\n" for lines in pages)


def _length(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _warnings(delivery: Delivery) -> Iterator[str]:
    if delivery.needs_confirmation is not None:
        says = removal_words(delivery)
        yield f"**{says[0].upper()}{_escaped(says[1:])}.** Needs `--yes-remove {delivery.needs_confirmation}`."
    if delivery.baseline.errors:
        yield _escaped(baseline_words(delivery))
    yield from map(_escaped, (*namespace_words(delivery), *delivery.held, *drift_words(delivery.drift)))


def _names(folds: Iterable[Fold]) -> Iterator[str]:
    """Yield the names of all removed objects, if a line with the reasons of each would take too much room."""
    for (act, kind, namespace), group in _by_kind(folds).items():
        of = f"{kind} in {namespace}" if namespace else kind
        intro = f"- {_code(SIGNS[act])} {_WORDS[act]}, {counted(len(group), 'object')} of kind {_escaped(of)}: "
        yield from _listed(intro, group)


def _gaps(delivery: Delivery) -> Iterator[str]:
    """Yield the services that were not compared, and every object that may be removed."""
    for gap in delivery.gaps:
        yield _cut(f"- {_code('?')} {_escaped(gap_words(gap))}")
        if gap.may_go:
            yield from _listed(f"- {_code('?')} may be removed: ", map(object_name, gap.may_go))


def _removes(fold: Fold) -> bool:
    """Whether an object is removed; the edits of its replacement belong to the removal."""
    return fold.act in _REMOVING or (fold.act == "recreate" and fold.destructive)


def _by_kind(folds: Iterable[Fold]) -> dict[tuple[str, str, str], list[str]]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for fold in folds:
        gone: ObjectKey = fold.renamed_from or fold.objects[0]
        name = f"{gone[3]} -> {fold.objects[0][3]}" if fold.renamed_from else gone[3]
        found.setdefault((fold.act, gone[1], gone[2]), []).append(name)
    return found


def _listed(intro: str, names: Iterable[str]) -> Iterator[str]:
    """Yield lines with all the names, each short enough for one comment."""
    line = intro
    for name in names:
        if len(line) > _LINE_CHARACTERS:
            yield line.rstrip(", ")
            line = "  "
        line += f"{_code(name)}, "
    yield line.rstrip(", ")


def _rest(delivery: Delivery, folds: Iterable[Fold]) -> Iterator[tuple[str, str]]:
    """Yield each other line, with the noun for counting it if it is left out."""
    for problem in delivery.problems:
        # The first line of the comment asks for the confirmation of removals.
        asked = delivery.unconfirmed and "--yes-remove" in (problem.hint or "")
        if problem.severity is Severity.ERROR and not asked:
            yield "problems", _problem(problem)
    errors = [finding for finding in delivery.findings if finding.verdict == "error"]
    yield from _remarks(remarks(errors, alone_max=_ERRORS_ALONE))
    for fold in folds:
        yield _WORDS[fold.act], _fold(fold)
    for problem in delivery.problems:
        if problem.severity is not Severity.ERROR:
            yield "problems", _problem(problem)
    others = [finding for finding in delivery.findings if finding.verdict != "error"]
    yield from _remarks(remarks(others, alone_max=_REMARKS_ALONE))
    if delivery.left_alone:
        called = (_code(object_name(key)) for key in delivery.left_alone)
        yield "lines", _cut(f"- Left alone, not managed by Bateau: {', '.join(called)}")
    known = remarks(delivery.baseline.findings, alone_max=0)
    if known:
        yield "lines", f"\nNot caused by this change, {_escaped(delivery.baseline.side)} has the same:\n"
        yield from _remarks(known)


def _problem(problem: Problem) -> str:
    mark = _MARKS["error" if problem.severity is Severity.ERROR else "warning"]
    where = f"{_code(f'{problem.where.file}:{problem.where.line}')} " if problem.where else ""
    hint = f" ({_escaped(problem.hint)})" if problem.hint else ""
    return _cut(f"- {mark} {where}{_escaped(problem.says)}{hint}")


def _remarks(found: Iterable[Remark]) -> Iterator[tuple[str, str]]:
    for each in found:
        first, number = each.first, len(each.findings)
        if number > 1:
            where = f" ({counted(number, first.verdict if first.verdict == 'error' else 'remark')})"
        else:
            where = f" {_code(f'{first.where.file}:{first.where.line}')}" if first.where else ""
        subject = f"{_code(first.rule)} {_code(each.subject)}{where}"
        yield "findings", _cut(f"- {_MARKS[first.verdict]} {first.verdict}: {subject} {_escaped(each.says)}")


def _fold(fold: Fold) -> str:
    who, what, whence = fold_words(fold)
    origin = f" ← {_code(whence)}" if whence else ""
    return _cut(f"- {_code(SIGNS[fold.act])} {_code(who)} {_code(what)}{origin}")


def _code(text: str) -> str:
    """Return the text as a code span that it cannot end.

    >>> _code("a`b")
    '`` a`b ``'
    """
    text = " ".join(text.split())
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def _escaped(text: str) -> str:
    """Return the text so that a forge shows it unchanged: no markup, no mention, no reference."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))
    return escaped.replace("@", "@\u200b")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "", name)


def _cut(line: str) -> str:
    if len(line) <= _LINE_CHARACTERS:
        return line
    # The cut may fall into a code span: an open backtick would include the lines after it.
    return line[:_LINE_CHARACTERS].replace("`", "'") + "…"


def _option(environment: str | None) -> str:
    return f" --env {_safe(environment)}" if environment else ""
