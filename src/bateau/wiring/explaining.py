"""Read what `explain` is asked about: the services of an environment, or its manifests.

Called by that command. Imports little: a question about one value is answered at once or not asked again.
"""

import os
from pathlib import Path

from bateau.control.releasing import released
from bateau.domain.problem import Problem, Severity
from bateau.domain.release import Release
from bateau.sources.spec_files import SpecFiles


def release_of(directory: Path, environment: str | None) -> tuple[Release, bool]:
    """Return the release of what stands below `directory`, and whether mistakes left something out of it.

    Raises ControlError where it cannot be read.
    """
    release, problems = released(SpecFiles(directory, default={}).read(), environment, os.environ)
    return release, any(_is_error(problem) for problem in problems)


def _is_error(problem: Problem) -> bool:
    return problem.severity is Severity.ERROR
