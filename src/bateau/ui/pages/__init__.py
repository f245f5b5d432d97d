"""The table of pages.

Called by ui.dashboard and ui.frame.
"""

from typing import Final

from bateau.ui.page import Page
from bateau.ui.pages import alerts_page, overview, service_page, timeline_page

PAGES: Final = (
    Page(path="/", name="Overview", make=overview.make),
    Page(path="/services/{kind}/{name}", name=None, make=service_page.make),
    Page(path="/alerts", name="Alerts", make=alerts_page.make),
    Page(path="/timeline", name="Timeline", make=timeline_page.make),
)
