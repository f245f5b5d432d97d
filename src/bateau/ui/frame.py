"""The frame around every page: its head, the navigation, the mark that says if it is live, and how to sign out.

Called by ui.

Invariant: no page contains a script or a style of its own, so that the policy of the browser can forbid both. Held by
tests/ui/test_security.py::test_a_page_has_no_script_or_style_of_its_own.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import htpy as h
from markupsafe import Markup

from bateau.domain.status import Status
from bateau.ui.assets import address
from bateau.ui.page import Page, Screen
from bateau.ui.pages import ALONE, PAGES
from bateau.ui.rows import later, waiting
from bateau.ui.sessions import CSRF_FIELD, Session

ROOT: Final = "/ui"
WHOLE: Final = "?rows=all"


def document(
    screen: Screen,
    parts: Mapping[str, str],
    *,
    path: str,
    status: Status,
    session: Session,
    have: str = "",
    pages: Sequence[Page] = PAGES,
    whole: bool = False,
) -> str:
    """Return a page as HTML. `parts` are those of the screen, as text that is escaped already.

    `have` is their digest; empty if they are not those of the live page. `pages` are those in the navigation.
    If it is not `whole`, a script takes what is later out of templates once the page is painted. A
    browser without JavaScript asks for the whole page.
    """
    text = "".join(parts.values())
    late = {each.id for each in screen.parts if each.later}
    shown = text if whole else later("".join(waiting(part) if name in late else part for name, part in parts.items()))
    at = f"{status.instance}{f' · {status.environment}' if status.environment else ''}"
    return _html(
        f"{screen.title} · {status.instance} · Bateau",
        [
            h.a(".skip", href="#main")["Skip to the content"],
            h.header(".top")[
                h.a(".brand", href=f"{ROOT}/")["Bateau"],
                h.span(".instance")[at],
                h.nav(aria_label="Pages")[(_link(each, path) for each in pages if each.name)],
                h.span("#live.live", role="status", data_state="waiting")["connecting"],
                h.button("#theme.quiet", type="button")["Theme"],
                h.form(method="post", action=f"{ROOT}/sign-out")[
                    h.input(type="hidden", name=CSRF_FIELD, value=session.token),
                    h.button(".quiet", type="submit", title=_signed_in(session))["Sign out"],
                ],
            ],
            h.p("#opened.sr", role="status"),
            h.div("#stale.stale", role="alert", hidden=True),
            h.noscript[h.p(".stale")["This page shows one moment: it needs JavaScript to stay up to date."]],
            h.main(
                "#main",
                tabindex="-1",
                data_live=f"{ROOT}/live",
                data_path=path,
                data_have=have,
                data_csrf=session.token,
                data_alone=ROOT + ALONE,
            )[
                Markup(shown)  # noqa: S704 - made by htpy, which has escaped it
            ],
            (h.input(type="hidden", name=CSRF_FIELD, value=session.token, form=each) for each in screen.forms),
        ],
        scripts=("ui.js", "open.js", *screen.scripts),
        styles=screen.styles,
        without_scripts=WHOLE if shown != text else None,
    )


def message(title: str, *says: h.Node, to: str | None = None) -> str:
    """Return a page without a session: one message. With `to`, the browser continues there."""
    return _html(
        f"{title} · Bateau",
        [h.main("#main.message")[h.h1[title], (h.p[each] for each in says)]],
        refresh=to,
    )


def _signed_in(session: Session) -> str:
    who = f" as {session.person.actor}" if session.person else ""
    return f"Signed in{who} with the role {session.role}"


def _link(page: Page, path: str) -> h.Element:
    is_above = page.path != "/" and path.startswith(f"{page.path}/")
    return h.a(href=ROOT + page.path, aria_current="page" if page.path == path else "true" if is_above else None)[
        page.name
    ]


def _html(
    title: str,
    body: h.Node,
    *,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    refresh: str | None = None,
    without_scripts: str | None = None,
) -> str:
    head = h.head[
        h.meta(charset="utf-8"),
        h.title[title],
        h.meta(name="viewport", content="width=device-width, initial-scale=1"),
        h.meta(name="color-scheme", content="light dark"),
        refresh and h.meta(http_equiv="refresh", content=f"0; url={refresh}"),
        without_scripts and h.noscript[h.meta(http_equiv="refresh", content=f"0; url={without_scripts}")],
        h.link(rel="icon", href=address("icon.svg")),
        (
            h.link(rel="stylesheet", href=address(each))
            for each in ("ui.css", "alerts.css", "pages.css", "charts.css", *styles)
        ),
        h.script(src=address("theme.js")),
        (h.script(src=address(each), defer=True) for each in scripts),
    ]
    return str(h.html(lang="en")[head, h.body[body]])
