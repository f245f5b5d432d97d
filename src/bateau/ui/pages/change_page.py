"""The page of changes: the specs beside the running services, the draft with its plan, and the latest revisions.

Called by ui.pages.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Final

import htpy as h

from bateau.domain.revision import Revision
from bateau.domain.status import Status
from bateau.ui.change_view import ChangeView
from bateau.ui.page import Part, Screen, View
from bateau.ui.plan_view import apply_form, conflicts, editor_path, plan, problem_list, token
from bateau.ui.words import DASH, count, safe

_COMMIT_CHARACTERS: Final = 12
_SERVICES_SHOWN: Final = 4
_TONES: Final = {"healthy": "good", "applied": "busy", "planned": "idle", "failed": "bad", "rolled back": "warn"}
STYLES: Final = ("change.css",)
SCRIPTS: Final = ("change.js",)


def make(view: View, _parts: Mapping[str, str]) -> Screen | None:
    """Return the page."""
    change = view.change
    if change is None:
        return None
    return Screen(
        title="Change",
        parts=(
            Part(id="notice", make=partial(notice, change), live=False),
            Part(id="summary", make=partial(_summary, view, change)),
            Part(id="draft", make=partial(_draft, change)),
            Part(id="files", make=partial(_files, view, change)),
            Part(id="promotion", make=partial(_promotion, view, change)),
            Part(id="revisions", make=partial(_revisions, view, change)),
        ),
        styles=STYLES,
        scripts=SCRIPTS,
    )


def notice(change: ChangeView) -> h.Element:
    """Return what the last form has done."""
    found = change.notice
    return h.section("#notice", aria_label="Result", hidden=found is None)[
        found
        and h.div(class_=["notice", "bad" if found.bad else "good"], role="alert" if found.bad else "status")[
            h.p[safe(found.says)], found.hint and h.p(".hint")[f"hint: {safe(found.hint)}"]
        ]
    ]


def _summary(view: View, change: ChangeView) -> h.Element:
    status = view.status
    return h.section("#summary", aria_label="Summary")[
        h.div(".heading")[
            h.h1["Change"],
            change.why_read_only is None and h.a(".button", href="/ui/new")["New service"],
        ],
        [h.p(class_=["says", tone])[text] for tone, text in _state(status, change)],
        problem_list(change, status.problems) if status.problems else None,
        h.dl(".facts")[(h.div[h.dt[name], h.dd[value]] for name, value in _facts(status, change) if value)],
    ]


def _state(status: Status, change: ChangeView) -> Iterator[tuple[str, h.Node]]:
    if status.specs_rejected:
        yield "bad", "The specs have errors. Running services are unchanged."
    elif change.default:
        yield "", "There are no specs yet: a small default model runs. Add a service, or edit the default to keep it."
    elif not status.accepted:
        yield "", "The specs are being read."
    elif status.rolled_out:
        rest = ", except those that a rollback holds" if change.held else ""
        yield "", f"The running services are as the specs say{rest}."
    else:
        waiting = [each.service for each in status.services if not each.rolled_out]
        named = ", ".join(waiting[:_SERVICES_SHOWN]) + (" and more" if len(waiting) > _SERVICES_SHOWN else "")
        yield "", f"The specs are applied; not ready yet: {safe(named) or 'the gateway'}."
    if change.why_read_only:
        yield "", f"This page is read-only: {change.why_read_only}."


def _facts(status: Status, change: ChangeView) -> Iterator[tuple[str, str | None]]:
    what = {"directory": "directory", "repository": "repository", "applied": "as applied from"}[change.follows]
    yield f"Follows {what}", safe(status.directory)
    yield "Environment", status.environment
    if change.commit:
        yield "Commit", f"{change.commit.short} by {safe(change.commit.author)}: {safe(change.commit.subject)}"


def _draft(change: ChangeView) -> h.Element:
    files = change.draft.files
    return h.section("#draft.panel", aria_labelledby="draft-title")[
        h.div(".bar")[
            h.h2("#draft-title")["Draft"],
            h.span(".note")[count(len(files), "file") if files else "edits that are not applied yet"],
            files
            and h.form(method="post", action="/ui/change/discard")[
                token(change), h.button(".quiet", type="submit")["Discard all"]
            ],
        ],
        files
        and h.ul(".drafted")[
            (
                h.li[
                    h.a(href=editor_path(name))[safe(name)],
                    h.span(".kind")[
                        "new"
                        if each.before is None
                        else "changed on disk"
                        if change.has_changed(name)
                        else "deleted"
                        if each.after is None
                        else "edited"
                    ],
                    h.form(method="post", action="/ui/change/discard")[
                        token(change),
                        h.input(type="hidden", name="file", value=name),
                        h.button(".quiet", type="submit", aria_label=f"Discard the draft of {name}")["Discard"],
                    ],
                ]
                for name, each in files.items()
            )
        ],
        conflicts(change),
        plan(change) if files or change.why_read_only is None else h.p(".empty")["No draft."],
        apply_form(change),
    ]


def _files(view: View, change: ChangeView) -> h.Element:
    services: dict[str, list[str]] = {}
    for each in view.release.services:
        services.setdefault(each.position.file, []).append(each.key)
    may = change.why_read_only is None
    names = sorted({*change.texts, *change.draft.files})
    return h.section("#files.panel", aria_labelledby="files-title")[
        h.div(".bar")[
            h.h2("#files-title")["Spec files"],
            h.input("#filter", type="search", placeholder="Filter", aria_label="Filter files", data_filter="file-rows"),
        ],
        h.div(".scroll", tabindex="0", role="region", aria_label="Table of spec files")[
            h.table(".files")[
                h.thead[h.tr[(h.th(scope="col")[each] for each in ("File", "Services"))]],
                h.tbody("#file-rows")[(_file(name, services.get(name, ()), change, may=may) for name in names)],
            ]
        ]
        if names
        else h.p(".empty")["There is no spec file yet."],
    ]


def _file(name: str, services: list[str] | tuple[()], change: ChangeView, *, may: bool) -> h.Element:
    shown = safe(name)
    return h.tr[
        h.th(scope="row")[
            h.a(href=editor_path(name))[shown] if may else shown,
            name in change.default and h.span(".kind")["in no file yet"],
        ],
        h.td(data_name="Services")[
            [[index > 0 and ", ", h.a(href=f"/ui/services/{key}")[key]] for index, key in enumerate(services[:20])]
            or DASH,
            len(services) > 20 and f" and {len(services) - 20:,} more",  # noqa: PLR2004 - as above
        ],
    ]


def _revisions(view: View, change: ChangeView) -> h.Element:
    revisions = change.revisions
    return h.section("#revisions.panel", aria_labelledby="revisions-title")[
        h.div(".bar")[h.h2("#revisions-title")["Revisions"], h.span(".note")["what this instance has served"]],
        _rollback(view, change) if revisions and view.role != "view" else None,
        _bring_back(view, change) if revisions and change.why_read_only is None else None,
        _table(revisions)
        if revisions
        else h.p(".empty")[
            "The history cannot be read; `bateau logs control` says why." if revisions is None else "None yet."
        ],
    ]


def _promotion(view: View, change: ChangeView) -> h.Element:
    """Return the form that carries the versions of one environment to another."""
    names = change.environments
    may = len(names) > 1 and change.why_read_only is None and change.follows != "applied"
    where = "the repository" if change.follows == "repository" else "the clone"
    services = [each.key for each in view.release.services]
    return h.section("#promotion.panel", aria_labelledby="promotion-title", hidden=not may)[
        h.div(".bar")[
            h.h2("#promotion-title")["Promote"], h.span(".note")["the pinned versions of one environment to the next"]
        ],
        may
        and h.details(".ask", data_keep="open")[
            h.summary["Promote versions"],
            h.form(method="post", action="/ui/change/promote")[
                token(change),
                h.select(name="service", aria_label="Service to promote")[
                    h.option(value="")["all services"], (h.option(value=each)[safe(each)] for each in services)
                ],
                h.label["from ", _choose("source", "Environment to promote from", names)],
                h.label["to ", _choose("target", "Environment to promote to", names[::-1])],
                h.button(type="submit")["Promote"],
                h.p(".note")[f"A commit on a new branch of {where}, as `bateau promote` makes it. Nothing is applied."],
            ],
        ],
    ]


def _choose(name: str, title: str, options: Sequence[str]) -> h.Element:
    return h.select(name=name, aria_label=title)[(h.option(value=each)[safe(each)] for each in options)]


def _table(revisions: tuple[Revision, ...]) -> h.Element:
    columns = ("Revision", "Outcome", "Time (UTC)", "By", "Commit", "Changed services")
    return h.div(".scroll", tabindex="0", role="region", aria_label="Table of revisions")[
        h.table(".revisions")[
            h.thead[h.tr[(h.th(scope="col")[each] for each in columns)]],
            h.tbody[(_revision(each, before) for each, before in pairwise((*revisions, None)) if each)],
        ]
    ]


def _revision(each: Revision, before: Revision | None) -> h.Element:
    at = datetime.fromtimestamp(each.when_s, tz=UTC)
    says = each.events[-1].says if each.events else ""
    return h.tr(id=f"revision-{each.id}")[
        h.th(scope="row")[str(each.id)],
        h.td(data_name="Outcome")[
            h.span(class_=["state", _TONES.get(each.outcome, "idle")])[each.outcome],
            says and h.span(".reason")[safe(says)],
        ],
        h.td(data_name="Time (UTC)")[h.time(datetime=at.isoformat(timespec="seconds"))[f"{at:%Y-%m-%d %H:%M:%S}"]],
        h.td(data_name="By")[safe(each.who)],
        h.td(data_name="Commit")[h.code[safe(each.commit[:_COMMIT_CHARACTERS])] if each.commit else DASH],
        h.td(data_name="Changed services")[safe(_changed(each, before))],
    ]


def _changed(each: Revision, before: Revision | None) -> str:
    """Return the services that differ from the revision before, or all of the first one."""
    old: Mapping[str, str] = before.services if before else {}
    keys = sorted(key for key in each.services.keys() | old.keys() if each.services.get(key) != old.get(key))
    if not keys:
        return "none" if before else DASH
    more = f" and {len(keys) - _SERVICES_SHOWN:,} more" if len(keys) > _SERVICES_SHOWN else ""
    return ", ".join(keys[:_SERVICES_SHOWN]) + more


def _rollback(view: View, change: ChangeView) -> h.Element:
    shown = {each.service for each in view.status.services}
    services = [each.key for each in view.release.services if each.key in shown]
    return h.details(".ask", data_keep="open")[
        h.summary["Roll back a service"],
        h.form(method="post", action="/ui/change/rollback")[
            token(change),
            h.label[
                "Service ",
                h.select(name="service", aria_label="Service to roll back")[
                    (h.option(value=each)[safe(each)] for each in services)
                ],
            ],
            h.label[
                "to ",
                h.select(name="to", aria_label="Revision to roll back to")[
                    h.option(value="")["its last healthy revision that differs"],
                    (
                        h.option(value=str(each.id))[f"revision {each.id}, {each.outcome}"]
                        for each in change.revisions or ()
                    ),
                ],
            ],
            h.button(type="submit")["Roll back"],
            h.p(".note")[
                "Its replicas are replaced, one new for one old. It stays at that revision until its spec changes; "
                "other services and the files are not changed."
            ],
        ],
    ]


def _bring_back(view: View, change: ChangeView) -> h.Node:
    """Return the form that adds the document of a deleted service to the draft; None if none was deleted."""
    now = {each.key for each in view.release.services}
    gone = {key: at for key, at in change.newest_revisions.items() if key not in now}
    if not gone:
        return None
    return h.details(".ask", data_keep="open")[
        h.summary["Bring back a deleted service"],
        h.form(method="post", action="/ui/change/bring-back")[
            token(change),
            h.select(name="service", aria_label="Service to bring back")[
                (h.option(value=f"{at} {key}")[f"{safe(key)}, as in revision {at}"] for key, at in sorted(gone.items()))
            ],
            h.button(type="submit")["Bring back"],
            h.p(".note")[
                "Its document is added to the draft. Nothing starts before you have read the plan and applied it."
            ],
        ],
    ]
