"""The table of pages.

Called by ui.dashboard, ui.frame and ui.key_actions.
"""

from typing import Final

from bateau.ui.page import Page
from bateau.ui.pages import (
    alerts_page,
    change_page,
    edit_page,
    key_page,
    machines_page,
    new_page,
    overview,
    policies_page,
    service_page,
    timeline_page,
    usage_page,
)

ALONE: Final = "/change/edit/"  # pages below it ask before a text is lost, which a browser does only at a load
PAGES: Final = (
    Page(path="/", name="Overview", make=overview.make, needs=("sparklines",), on_clusters=True),
    Page(
        path="/services/{kind}/{name}",
        name=None,
        make=service_page.make,
        needs=("charts", "usage"),
        on_clusters=True,
    ),
    Page(
        path="/services/{kind}/{name}/{span}",
        name=None,
        make=service_page.make,
        needs=("charts", "usage"),
        on_clusters=True,
    ),
    Page(path="/alerts", name="Alerts", make=alerts_page.make, on_clusters=True),
    Page(path="/timeline", name="Timeline", make=timeline_page.make, on_clusters=True),
    Page(path="/usage", name="Usage and keys", make=usage_page.make, needs=("keys", "usage")),
    Page(path="/usage/keys/{name}", name=None, make=key_page.make, needs=("keys", "usage")),
    Page(path="/usage/{last}/{by}", name=None, make=usage_page.make, needs=("keys", "usage")),
    Page(path="/machines", name="Machines", make=machines_page.make, needs=("machine", "specs")),
    Page(path="/policies", name="Policies", make=policies_page.make, needs=("specs",)),
    Page(path="/change", name="Change", make=change_page.make, aspect="change"),
    Page(path="/change/edit/{file*}", name=None, make=edit_page.make, aspect="change"),
    Page(path="/new", name=None, make=new_page.make, aspect="new"),
)
