"""The checks of `spec.route`, which Models and Apps have.

Called by specs.kinds.app and specs.kinds.model.
"""

import re
from collections.abc import Iterator
from typing import Final

from bateau.domain.problem import Problem
from bateau.domain.resource import Validation
from bateau.domain.spec import Spec
from bateau.kit.json_value import ReadObject, array_at, object_at
from bateau.specs.kinds.wrong import at

_NO_GATEWAY: Final = "a route needs a Gateway: write `name` for one that exists, or `className` to make one"
_NO_HOST: Final = "a route needs a host name: write `hostnames: [NAME.example.com]`"
_CERTIFICATE: Final = "certificate needs className: the certificate of a Gateway that exists is its own matter"
_ELSEWHERE: Final = "a Gateway that Bateau makes is in the namespace of its document: remove namespace, or className"
_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST: Final = rf"(\*\.)?{_LABEL}(\.{_LABEL})*"

LIMITS: Final = {"spec.route.hostnames": {"maxItems": 16}, "spec.route.hostnames[]": {"maxLength": 253}}
VALIDATIONS: Final = (
    Validation(
        on="spec.route",
        rule="has(self.gateway) && (has(self.gateway.name) || has(self.gateway.className))",
        message=_NO_GATEWAY,
    ),
    Validation(on="spec.route.gateway", rule="!has(self.certificate) || has(self.className)", message=_CERTIFICATE),
    Validation(on="spec.route.gateway", rule="!has(self.__namespace__) || !has(self.className)", message=_ELSEWHERE),
    Validation(on="spec.route.hostnames", rule="self.size() > 0", message=_NO_HOST),
    Validation(
        on="spec.route.hostnames[]",
        rule=f"self.matches('^{_HOST}$')".replace("\\", "\\\\"),
        message="a host name has lower-case letters, digits, '-' and '.', and may begin with `*.`",
    ),
)


def wrong_route(spec: Spec, fields: ReadObject) -> Iterator[Problem]:
    """Report a route without a host name or a Gateway, or with fields that exclude each other."""
    route = object_at(fields, "route")
    if fields.get("route") is None:
        return
    if route.get("hostnames") == []:
        yield _problem(spec, "spec.route.hostnames", _NO_HOST)
    for index, name in enumerate(array_at(route, "hostnames")):
        if isinstance(name, str) and "${" not in name and not re.fullmatch(_HOST, name):
            says = f"`{name}` is not a host name"
            hint = "lower-case letters, digits, '-' and '.' are allowed, and `*.` at the beginning"
            yield at(spec, f"spec.route.hostnames[{index}]", says, hint)
    gateway = object_at(route, "gateway")
    made = "className" in gateway
    if not made and "name" not in gateway:
        yield _problem(spec, "spec.route.gateway" if gateway else "spec.route", _NO_GATEWAY)
    if "certificate" in gateway and not made:
        yield _problem(spec, "spec.route.gateway.certificate", _CERTIFICATE)
    if "namespace" in gateway and made:
        yield _problem(spec, "spec.route.gateway.namespace", _ELSEWHERE)


def _problem(spec: Spec, path: str, says: str) -> Problem:
    says, _, hint = says.partition(": ")
    return at(spec, path, says, hint)
