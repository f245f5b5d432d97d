"""Recognise the variables that Flux substitutes in manifests before it applies them: `${cluster_name:=dev}`.

Called by render.validation and sources.foreign.substitution. render.validation cannot check a field that has one.
"""

import re
from typing import Final

# Names and functions as in https://fluxcd.io/flux/components/kustomize/kustomizations/; `$${` is escaped.
_VARIABLE: Final = re.compile(r"(?<!\$)\$\{[A-Za-z_]\w*(?:[-:=+?#%/^,@][^}]*)?\}").search


def flux_variable(value: object) -> str | None:
    """Return the first variable in a text, or None.

    >>> flux_variable("app.${domain:=example.org}"), flux_variable("$${HOME}"), flux_variable("$(HOME)")
    ('${domain:=example.org}', None, None)
    """
    match = _VARIABLE(value) if isinstance(value, str) else None
    return match[0] if match else None
