"""Read what `explain` is asked about: one service of an environment.

Called by that command. Imports little: a question about one value is answered at once or not asked again.
"""

import os
from pathlib import Path

from bateau.control.releasing import Asked, service_of
from bateau.sources.spec_files import SpecFiles


def asked_of(directory: Path, subject: str, environment: str | None) -> Asked:
    """Return the service that is called `subject` below `directory`. Raises ControlError where it cannot be read."""
    return service_of(SpecFiles(directory, default={}).read(), subject, environment, os.environ)
