# ruff: noqa: INP001 - Sphinx requires this name and location
"""Sphinx's configuration. The tables of the reference are generated from the code before every build.

Called by sphinx-build (`make docs`). No network at build time.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from generate import generate  # noqa: E402 - only now it can be found

from bateau import __version__  # noqa: E402

generate(HERE / "reference" / "generated")

project = "Bateau"
author = "the Bateau authors"
release = version = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 3
# The pages of the reference include the generated files.
exclude_patterns = ["_build", "reference/generated"]
html_theme = "furo"
html_title = f"Bateau {release}"
html_static_path = ["_static"]
html_show_sphinx = False
html_copy_source = False
