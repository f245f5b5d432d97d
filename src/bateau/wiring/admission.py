"""Read the policies of a directory for an API server.

Called by cli.admission.
"""

from datetime import UTC, datetime
from pathlib import Path

from bateau.control.admission import Admission, admission
from bateau.sources.spec_files import SpecFiles
from bateau.wiring.policies import starter_policies


def admission_of(directory: Path, environment: str | None, *, starter: bool) -> Admission:
    """Return the policies below a directory as an API server takes them. Raises ControlError where it can't be read."""
    return admission(
        SpecFiles(directory, default={}).read(),
        environment,
        today=datetime.now(tz=UTC).date(),
        starter=starter_policies() if starter else (),
    )
