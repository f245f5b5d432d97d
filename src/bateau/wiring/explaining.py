"""Read what `explain` is asked about: one service of an environment, or one manifest of it.

Called by cli.explain. Imports little: a question about one value is answered at once or not asked again.
"""

import os
from collections.abc import Callable
from pathlib import Path

from bateau.control.releasing import Asked, service_of
from bateau.domain.manifest import Manifest
from bateau.sources.spec_files import SpecFiles


def asked_of(directory: Path, subject: str, environment: str | None, *, namespace: str | None) -> Asked:
    """Return the service that is called `subject` below `directory`. Raises ControlError where it cannot be read."""
    texts = SpecFiles(directory, default={}).read()
    return service_of(texts, subject, environment, os.environ, namespace=namespace)


def own_manifest(
    directory: Path, name: str, fits: Callable[[Manifest], bool], environment: str | None, *, namespace: str | None
) -> Manifest | None:
    """Return the manifest that `fits` and that Bateau makes for a service with `name`; None if there is none.

    Raises ControlError where the directory cannot be read.
    """
    from bateau.control.own_manifest import manifest_of  # only for this question

    texts = SpecFiles(directory, default={}).read()
    return manifest_of(texts, name, fits, environment, os.environ, namespace=namespace)
