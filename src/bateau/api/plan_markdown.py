"""A delivery plan as a comment on a pull request.

Called by `plan --markdown` and by what posts the comment to a forge.

Invariant: under the limit of characters, most dangerous first; what is left out is counted.
Invariant: nothing in a value can call a person (@name), close an issue or break out of its place.
Refused: a collapsed diff of manifests; forges cut comments at 65,536 characters, and the end is lost silently.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from bateau.api.plan_words import SIGNS, counted, fold_words, headline
from bateau.domain.change import Delivery, Fold, object_name

CHARACTERS_MAX: Final = 60_000
# Kept free for the line that says what was left out.
_FOOTER_CHARACTERS: Final = 500
_LINE_CHARACTERS: Final = 2_000
_WORDS: Final = {
    "remove": "removed",
    "recreate": "made anew",
    "rename": "renamed",
    "change": "changed",
    "create": "created",
}


def plan_markdown(delivery: Delivery, *, characters_max: int = CHARACTERS_MAX) -> str:
    """Return the comment. Its first line marks it, so that the next one can take its place."""
    lines = [
        f"<!-- bateau plan {re.sub('[^a-z0-9-]', '', delivery.environment or '')} -->",
        f"### {_escaped(headline(delivery))}",
        "",
    ]
    lines += [f"{line}\n" for line in _warnings(delivery)]
    left_out: Counter[str] = Counter()
    used = sum(len(line) + 1 for line in lines)
    budget = characters_max - _FOOTER_CHARACTERS
    for kind, line in _body(delivery):
        # Once something is left out all that is less dangerous is too, so that the order keeps its meaning.
        if left_out or used + len(line) + 1 > budget:
            left_out[kind] += 1
            continue
        lines.append(line)
        used += len(line) + 1
    if left_out:
        what = ", ".join(f"{number:,} {kind}" for kind, number in sorted(left_out.items()))
        lines += ["", f"**Left out for length:** {what}. `bateau plan {_safe(delivery.environment or '')}` shows all."]
    return "\n".join(lines).rstrip() + "\n"


def _warnings(delivery: Delivery) -> Iterator[str]:
    if delivery.needs_confirmation is not None:
        gone = f"{delivery.needs_confirmation:,} of {counted(delivery.objects_observed, 'object')}"
        yield f"**Removes {gone}.** Needs `--yes-remove {delivery.needs_confirmation}`."


def _body(delivery: Delivery) -> Iterator[tuple[str, str]]:
    """Yield each line with what it is counted as when it is left out."""
    for problem in delivery.problems:
        where = f"{_code(f'{problem.where.file}:{problem.where.line}')} " if problem.where else ""
        hint = f" ({_escaped(problem.hint)})" if problem.hint else ""
        yield "problems", _cut(f"- ❌ {where}{_escaped(problem.says)}{hint}")
    verdicts = {"error": "❌", "warning": "⚠️", "not checked": "❔", "excepted": "⏸️"}
    for verdict, mark in verdicts.items():
        for finding in delivery.findings:
            if finding.verdict == verdict:
                where = f" {_code(f'{finding.where.file}:{finding.where.line}')}" if finding.where else ""
                subject = f"{_code(finding.rule)} {_code(finding.subject)}{where}"
                yield "findings", _cut(f"- {mark} {verdict}: {subject} {_escaped(finding.says)}")
    yield from _folds(delivery.folds)
    if delivery.left_alone:
        called = (_code(object_name(key)) for key in delivery.left_alone)
        yield "lines", _cut(f"\nLeft alone, not ours: {', '.join(called)}")


def _folds(folds: Iterable[Fold]) -> Iterator[tuple[str, str]]:
    for fold in folds:
        who, what, whence = fold_words(fold)
        origin = f" ← {_code(whence)}" if whence else ""
        yield _WORDS[fold.act], _cut(f"- {_code(SIGNS[fold.act])} {_code(who)} {_code(what)}{origin}")


def _code(text: str) -> str:
    """Return the text as a code span that nothing in it can end.

    >>> _code("a`b")
    '`` a`b ``'
    """
    text = " ".join(text.split())
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def _escaped(text: str) -> str:
    """Return the text so that a forge shows it as it is: no markup, no mention, no reference."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))
    return escaped.replace("@", "@\u200b")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "", name)


def _cut(line: str) -> str:
    if len(line) <= _LINE_CHARACTERS:
        return line
    # The cut may fall into a code span: a backtick left open would take the lines after it along.
    return line[:_LINE_CHARACTERS].replace("`", "'") + "…"
