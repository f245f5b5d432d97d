"""A plan as a part of a page: its errors at their lines, its edits, its effects, and how to apply it.

Called by ui.pages.

Invariant: a text of a spec or of an error is shown as text. Held by
tests/ui/test_change_security.py::test_a_script_in_a_spec_or_an_error_is_text.
"""

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

import htpy as h

from bateau.domain.change import Fold
from bateau.domain.problem import Problem, Severity
from bateau.plan.words import SIGNS, fold_words, headline
from bateau.ui.change_view import ChangeView
from bateau.ui.drafts import Planned
from bateau.ui.sessions import CSRF_FIELD
from bateau.ui.words import count, safe

ROWS_MAX: Final = 200
_LINES_BEFORE: Final = 2
_SIGN_WORDS: Final = {"+": "added", "~": "changed", "!": "recreated", ">": "renamed", "-": "removed"}
_TONES: Final = {"+": "good", "-": "bad", "!": "bad"}


def token(change: ChangeView) -> h.VoidElement:
    """Return the field of a form that shows that it is of this session."""
    return h.input(type="hidden", name=CSRF_FIELD, value=change.token)


def editor_path(name: str) -> str:
    """Return the address of the editor of a file."""
    return f"/ui/change/edit/{quote(name)}"


def plan(change: ChangeView, *, file: str | None = None) -> h.Node:
    """Return the plan of the draft. With `file`, its errors are shown with their lines."""
    planned = change.planned
    if planned is None:
        return h.p(".empty")["No draft. An edit of a file is planned here before anything is applied."]
    if planned.failure:
        says, hint = planned.failure
        return h.div(".body")[
            h.p(".says.bad")[f"There is no plan: {safe(says)}"], hint and h.p(".hint")[f"hint: {safe(hint)}"]
        ]
    preview = planned.preview
    if preview is None:
        return h.p(".empty")["Planning."]
    problems = preview.written.problems
    return [
        problem_list(change, problems, file=file) if problems else None,
        h.p(".headline")[_headline(planned)],
        # With errors, a service whose document cannot be read would look as if it were removed.
        None if planned.errors else _rows(preview.delivery.folds),
        None if planned.errors else _effects([(each.service, each.does) for each in preview.effects]),
    ]


def _headline(planned: Planned) -> str:
    preview = planned.preview
    if preview is None or planned.errors:
        return f"{count(len(planned.errors), 'error')}: the draft cannot be applied. Running services are unchanged."
    if preview.written.wrong:
        return "Other files have errors: the draft can be saved, and changes no service until they are fixed."
    keys = preview.keys_changed
    more = f"; {count(keys, 'key')} {'changes' if keys == 1 else 'change'}" if keys else ""
    return f"{headline(preview.delivery)}{more}"


def problem_list(change: ChangeView, found: Sequence[Problem], *, file: str | None = None) -> h.Element:
    """Return errors and warnings, the errors first, each with its line in the file that is edited."""
    ordered = sorted(found, key=lambda each: each.severity is not Severity.ERROR)
    return h.ul(".problems")[(_problem(change, each, file) for each in ordered)]


def _problem(change: ChangeView, each: Problem, file: str | None) -> h.Element:
    where, bad = each.where, each.severity is Severity.ERROR
    may_edit = where is not None and change.why_read_only is None and change.text(where.file) is not None
    place = where and h.code(".place")[safe(str(where))]
    link = where and h.a(href=f"{editor_path(where.file)}#line-{where.line}", data_line=str(where.line))[place]
    return h.li(class_="bad" if bad else "warn")[
        h.strong[str(each.severity)],
        " ",
        link if may_edit else place,
        " ",
        h.span[safe(each.says)],
        where and where.file == file and _excerpt(change, where.file, where.line, where.column),
        each.hint and h.span(".hint")[f"hint: {safe(each.hint)}"],
    ]


def _excerpt(change: ChangeView, name: str, line: int, column: int) -> h.Node:
    """Return the lines around an error, with a mark below its column."""
    if change.why_hidden(name):
        return None
    lines = (change.text(name) or "").split("\n")
    first = max(1, line - _LINES_BEFORE)
    shown = [(number, lines[number - 1].rstrip("\r")) for number in range(first, line + 1) if number <= len(lines)]
    if not shown:
        return None
    return h.pre(".excerpt", tabindex="0", role="region", aria_label=f"Line {line} of {name}")[
        ([h.span(".at")[f"{number:>4} "], f"{safe(text)}\n"] for number, text in shown),
        h.span(".at")["     "],
        h.span(".caret")[f"{' ' * (column - 1)}^"],
    ]


def _rows(folds: Sequence[Fold]) -> h.Node:
    if not folds:
        return None
    more = len(folds) - ROWS_MAX
    return h.div(".scroll", tabindex="0", role="region", aria_label="Changes")[
        h.table(".edits")[
            h.thead[
                h.tr[
                    h.th(scope="col")[h.span(".sr")["Act"]],
                    (h.th(scope="col")[each] for each in ("Service", "Change", "From")),
                ]
            ],
            h.tbody[(_row(each) for each in folds[:ROWS_MAX])],
        ],
        more > 0 and h.p(".note")[f"{more:,} more changes are not shown"],
    ]


def _row(fold: Fold) -> h.Element:
    who, what, whence = fold_words(fold)
    sign = SIGNS[fold.act]
    return h.tr[
        h.td(class_=["sign", _TONES.get(sign, "")])[h.span(aria_hidden="true")[sign], h.span(".sr")[_SIGN_WORDS[sign]]],
        h.td(data_name="Service")[safe(who)],
        h.td(data_name="Change")[h.code[safe(what)]],
        h.td(data_name="From")[h.span(".reason")[safe(whence)]],
    ]


def _effects(found: Sequence[tuple[str, str]]) -> h.Node:
    if not found:
        return None
    return h.div(".effects")[
        h.h3["Effects"],
        h.ul[(h.li[h.strong[safe(service)], " ", safe(does)] for service, does in found[:ROWS_MAX])],
        len(found) > ROWS_MAX and h.p(".note")[f"{len(found) - ROWS_MAX:,} more effects are not shown"],
    ]


def apply_form(change: ChangeView) -> h.Node:
    """Return the form that applies the draft, once its plan was read; None if it cannot be applied."""
    planned = change.planned
    if planned is None or not planned.can_be_applied or any(map(change.has_changed, change.draft.files)):
        return None
    ends = _ends(change, planned)
    says = "I have read the plan" + (f", which {' and '.join(ends)}" if ends else "")
    on_branch = change.follows == "repository"
    return h.form(".apply", method="post", action="/ui/change/apply")[
        token(change),
        h.input(type="hidden", name="plan", value=str(planned.number)),
        on_branch
        and h.label["Message ", h.input(type="text", name="message", placeholder="The change, and its reason")],
        h.label(".check")[h.input(type="checkbox", name="confirmed", value="yes", required=True), f" {safe(says)}"],
        h.button(".main", type="submit")["Commit on a branch" if on_branch else "Apply"],
    ]


def _ends(change: ChangeView, planned: Planned) -> list[str]:
    """Return the files and documents that the draft deletes, and the services that end with them."""
    preview = planned.preview
    changes = preview.delivery.documents if preview else ()
    services = [each.service for each in changes if each.act == "remove" and each.service]
    others = [f"{kind} {name}" for kind, name in planned.missing if f"{kind.lower()}/{name}" not in services]
    deleted = change.draft.deleted
    return [
        f"{verb} {', '.join(names)}"
        for verb, names in (("deletes", deleted), ("removes", [*services, *others]))
        if names
    ]


def conflicts(change: ChangeView) -> Iterator[h.Element]:
    """Yield, for each file that is no longer as its author has seen it, both texts and a choice."""
    for name in change.draft.files:
        if change.has_changed(name):
            yield _conflict(change, name)


def _conflict(change: ChangeView, name: str) -> h.Element:
    current = change.current(name)
    hidden = change.why_hidden(name)
    says = "was removed" if current is None else "has changed"
    return h.section(".conflict", aria_label=f"Conflict in {name}")[
        h.p(".says.bad")[h.strong[safe(name)], f" {says} since this draft began. Nothing was lost: choose one."],
        None if hidden else h.div(".both")[_side("In the file now", current), _side("Your draft", change.text(name))],
        h.div(".choices")[
            _choice(change, "/ui/change/rebase", name, "Keep my draft"),
            _choice(change, "/ui/change/discard", name, "Take the file as it is"),
        ],
    ]


def _side(title: str, text: str | None) -> h.Element:
    return h.figure[
        h.figcaption[title],
        h.pre(tabindex="0", role="region", aria_label=title)["(no file)" if text is None else safe(text)],
    ]


def _choice(change: ChangeView, action: str, name: str, title: str) -> h.Element:
    return h.form(method="post", action=action)[
        token(change), h.input(type="hidden", name="file", value=name), h.button(type="submit")[title]
    ]
