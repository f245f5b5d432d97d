"""Sphinx's configuration. The reference is generated from the code before every build, so it cannot lag behind.

Read by sphinx-build (`make docs`). No network at build time.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from generate import generate  # noqa: E402 - it lies beside this file, which Sphinx does not run from here

from bateau import __version__  # noqa: E402

generate(HERE / "reference" / "generated")

project = "Bateau"
author = "the Bateau authors"
release = version = __version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# benchmarks.md includes the generated page of results.
exclude_patterns = ["_build", "reference/generated/benchmarks.md"]
html_theme = "furo"
html_title = f"Bateau {release}"
html_static_path = ["_static"]
html_show_sphinx = False
html_copy_source = False
