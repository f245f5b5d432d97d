"""The editor of a spec file: its text, the common fields, the plan of the draft beside it, and its deletion.

Called by ui.pages.

Invariant: nobody but the role admin sees the text of a spec file, and nobody one with the value of a secret. Held by
tests/ui/test_change_security.py::test_a_role_has_only_its_rights and
tests/ui/test_change.py::test_a_file_with_a_secret_is_not_shown.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import htpy as h

from bateau.domain.problem import Severity
from bateau.kit.json_value import ReadJson, object_at, text_at
from bateau.kit.yaml_tree import read_documents
from bateau.ui.change_view import ChangeView
from bateau.ui.drafts import digest, documents_in
from bateau.ui.page import Part, Screen, View
from bateau.ui.pages.change_page import SCRIPTS, STYLES, notice
from bateau.ui.plan_view import apply_form, conflicts, plan, token
from bateau.ui.words import safe

_KINDS: Final = ("Model", "App")
_FORMS_MAX: Final = 5
_DOCUMENTS_MAX: Final = 200
_NEVER_FEWER_ROWS: Final = 12


def make(view: View, parts: Mapping[str, str]) -> Screen | None:
    """Return the page, None if there is no such file."""
    change, name = view.change, parts["file"]
    if change is None or (change.text(name) is None and name not in change.draft.files):
        return None
    if change.why_read_only:
        return Screen(
            title=name, parts=(Part(id="summary", make=partial(_refusal, name, change.why_read_only)),), styles=STYLES
        )
    text = change.text(name)
    if text is None:
        return Screen(
            title=name,
            parts=(
                Part(id="notice", make=partial(notice, change), live=False),
                Part(id="summary", make=partial(_summary, change, name)),
                Part(id="plan", make=partial(_plan, change, name)),
            ),
            styles=STYLES,
            scripts=SCRIPTS,
        )
    return Screen(
        title=name,
        parts=(
            Part(id="notice", make=partial(notice, change), live=False),
            Part(id="summary", make=partial(_summary, change, name)),
            Part(id="fields", make=partial(_fields, change, name, text), live=False),
            Part(id="editor", make=partial(_editor, change, name, text), live=False),
            Part(id="plan", make=partial(_plan, change, name)),
            Part(id="delete", make=partial(_delete, change, name, text), live=False),
        ),
        styles=STYLES,
        scripts=SCRIPTS,
    )


def _refusal(name: str, why: str) -> h.Element:
    return h.section("#summary", aria_label="Summary")[h.h1[safe(name)], h.p(".says")[f"It cannot be edited: {why}."]]


def _summary(change: ChangeView, name: str) -> h.Element:
    drafted = change.draft.files.get(name)
    if drafted:
        says = "edited, not applied" if drafted.after is not None else "deleted in this draft, not applied"
    else:
        says = "in no file yet" if name in change.default else "as in its file"
    return h.section("#summary", aria_label="Summary")[
        h.p(".crumbs")[h.a(href="/ui/change")["Change"], " / "],
        h.div(".heading")[h.h1[safe(name)], h.span(class_=["state", "busy" if drafted else "idle"])[says]],
    ]


def _fields(change: ChangeView, name: str, text: str) -> h.Element:
    """Return a form for the common fields of each service in the file."""
    documents, _ = read_documents(name, text)
    forms = [
        made
        for document in documents
        if not document.flaws and (made := _form(change, name, document.tree)) is not None
    ]
    return h.section("#fields", aria_label="Common fields", hidden=not forms)[forms[:_FORMS_MAX]]


def _form(change: ChangeView, name: str, tree: ReadJson) -> h.Element | None:
    kind, called = text_at(tree, "kind"), text_at(object_at(tree, "metadata"), "name")
    if kind not in _KINDS or not called:
        return None
    service = f"{kind.lower()}/{called}"
    return h.form(".fields", method="post", action="/ui/change/fields")[
        token(change),
        h.input(type="hidden", name="file", value=name),
        h.input(type="hidden", name="kind", value=kind),
        h.input(type="hidden", name="name", value=called),
        h.strong[safe(service)],
        (
            h.label[
                title,
                h.input(
                    type="number",
                    name=path,
                    min=least,
                    value=value,
                    placeholder="default",
                    aria_label=f"{title} of {called}",
                ),
            ]
            for title, path, least, value in _values(kind, object_at(tree, "spec"))
        ),
        h.button(type="submit")["Set in draft"],
    ]


def _values(kind: str, spec: Mapping[str, ReadJson]) -> Iterator[tuple[str, str, str, str | None]]:
    scale = object_at(spec, "scale")
    if scale:
        yield "Least replicas", "spec.scale.min", "0", _number(scale.get("min"))
        yield "Most replicas", "spec.scale.max", "1", _number(scale.get("max"))
    else:
        yield "Replicas", "spec.replicas", "0", _number(spec.get("replicas"))
    if kind == "Model":
        yield "Context length", "spec.contextLength", "16", _number(spec.get("contextLength"))


def _number(value: ReadJson) -> str | None:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _editor(change: ChangeView, name: str, text: str) -> h.Element:
    if why := change.why_hidden(name):
        hint = "keep secrets in variables, and write ${ env('NAME') } in the spec" if "secret" in why else None
        return h.section("#editor.panel", aria_labelledby="editor-title")[
            h.div(".bar")[h.h2("#editor-title")["Text"]],
            h.p(".says.warn.body")[f"The text is not shown: {safe(why)}. Edit the file on the machine."],
            hint and h.p(".hint.body")[f"hint: {hint}"],
        ]
    shown = text.replace("\r\n", "\n")
    lines = shown.count("\n") + 1
    rows = max(lines, _NEVER_FEWER_ROWS)
    marks = _marks(change, name)
    return h.section("#editor.panel", aria_labelledby="editor-title")[
        h.form(method="post", action="/ui/change/save")[
            token(change),
            h.input(type="hidden", name="file", value=name),
            h.input(type="hidden", name="seen", value=digest(text)),
            h.div(".bar")[
                h.h2("#editor-title")["Text"],
                h.span("#unsaved.note", role="status"),
                h.button(".main", type="submit")["Plan"],
            ],
            h.div(".code")[
                h.div("#lines.gutter", aria_hidden="true")[
                    (h.span(id=f"line-{at}", class_=marks.get(at))[str(at)] for at in range(1, lines + 1))
                ],
                # A browser drops the first line break after the tag.
                h.textarea(
                    "#text",
                    name="text",
                    rows=str(rows),
                    wrap="off",
                    spellcheck="false",
                    autocapitalize="off",
                    autocomplete="off",
                    aria_label=f"Text of {name}",
                    aria_describedby="plan",
                    data_lines="lines",
                )["\n" + shown],
            ],
        ]
    ]


def _marks(change: ChangeView, name: str) -> Mapping[int, str]:
    """Return the lines of a file that have problems, each with a class: an error before a warning."""
    preview = change.planned.preview if change.planned else None
    found: dict[int, str] = {}
    for each in preview.written.problems if preview else ():
        if each.where and each.where.file == name:
            bad = each.severity is Severity.ERROR
            found[each.where.line] = "bad" if bad else found.get(each.where.line, "warn")
    return found


def _plan(change: ChangeView, name: str) -> h.Element:
    drafted = name in change.draft.files
    return h.section("#plan.panel", aria_labelledby="plan-title")[
        h.div(".bar")[
            h.h2("#plan-title")["Plan"],
            drafted
            and h.form(method="post", action="/ui/change/discard")[
                token(change),
                h.input(type="hidden", name="file", value=name),
                h.button(".quiet", type="submit")["Discard this draft"],
            ],
        ],
        conflicts(change),
        plan(change, file=name),
        apply_form(change),
    ]


def _delete(change: ChangeView, name: str, text: str) -> h.Element:
    """Return the forms that delete the file, or one of its documents, in the draft."""
    may = name not in change.default or name in change.draft.files
    documents = documents_in(name, text)
    several = documents[:_DOCUMENTS_MAX] if len(documents) > 1 else ()
    return h.section("#delete.panel", aria_labelledby="delete-title", hidden=not may)[
        h.div(".bar")[h.h2("#delete-title")["Delete"], h.span(".note")["in the draft; the plan shows what ends"]],
        h.div(".actions.body")[
            (_deletion(change, name, text, f"Delete {kind} {called}", (kind, called)) for kind, called in several),
            _deletion(change, name, text, f"Delete the file {name}", None),
        ],
    ]


def _deletion(change: ChangeView, name: str, text: str, title: str, which: tuple[str, str] | None) -> h.Element:
    return h.form(method="post", action="/ui/change/delete")[
        token(change),
        h.input(type="hidden", name="file", value=name),
        h.input(type="hidden", name="seen", value=digest(text)),
        which
        and [
            h.input(type="hidden", name=each, value=value) for each, value in zip(("kind", "name"), which, strict=True)
        ],
        h.button(".danger", type="submit")[safe(title)],
    ]
