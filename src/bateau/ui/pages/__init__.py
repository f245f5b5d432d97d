"""The table of pages.

Called by ui.dashboard and ui.frame.
"""

from typing import Final

from bateau.ui.page import Page
from bateau.ui.pages import overview, service

PAGES: Final = (
    Page(path="/", name="Overview", make=overview.make),
    Page(path="/services/{kind}/{name}", name=None, make=service.make),
)
