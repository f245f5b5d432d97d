"""Read who uses whom from the specs of a directory.

Called by cli.alert_exports, cli.graph and cli.monitors.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from bateau.control.path import Written, understand
from bateau.sources.spec_files import SpecFiles


def written_in(directory: Path, environment: str | None) -> Written:
    """Return the specs below a directory for an environment. Raises ControlError where they cannot be read."""
    texts = SpecFiles(directory, default={}).read()
    return understand(texts, environment, os.environ, today=datetime.now(tz=UTC).date())
