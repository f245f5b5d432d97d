"""The table of pages.

Called by ui.dashboard and ui.frame.
"""

from typing import Final

from bateau.ui.page import Page
from bateau.ui.pages import overview

PAGES: Final = (Page(path="/", name="Overview", make=overview.make),)
