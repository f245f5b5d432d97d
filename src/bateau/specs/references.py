"""Find the problems between fields and between documents: unknown names, unknown ports, fields that conflict.

Called by specs.reading. The checks of each kind are in its own module.
"""

from collections.abc import Sequence

from bateau.domain.problem import Problem
from bateau.domain.spec import Names, Spec
from bateau.kit.json_value import object_at
from bateau.kit.position import child
from bateau.specs.kinds import KINDS
from bateau.specs.kinds.wrong import at

Found = tuple[Spec, Problem]


def reference_problems(specs: Sequence[Spec], *, doubtful: frozenset[str] = frozenset()) -> list[Found]:
    """Return the problems that only a comparison of all specs, or of several fields of one spec, can find.

    References to `doubtful` names are skipped, because a document that could not be read may define them.
    """
    names = Names(
        service_kinds={kind.name.lower(): kind.name for kind in KINDS.values() if kind.to_workload},
        services={spec.key: spec for spec in specs if spec.is_service},
        environments=frozenset(spec.name for spec in specs if spec.kind == "Environment"),
        clusters=frozenset(spec.name for spec in specs if spec.kind == "Cluster"),
        doubtful=doubtful,
    )
    problems = [
        (spec, problem)
        for spec in specs
        if isinstance(spec.tree.get("spec"), dict)
        for problem in spec.definition.references(spec, spec.fields, names)
    ]
    return [*problems, *_ports_given_twice(specs), *_secrets_given_twice(specs)]


def _ports_given_twice(specs: Sequence[Spec]) -> list[Found]:
    """Report each port number that two Apps request."""
    holders: dict[int, tuple[Spec, str]] = {}
    problems: list[Found] = []
    for spec in specs:
        fields = spec.fields
        if fields.get("image") and not fields.get("command"):
            continue  # it runs on clusters only, where each App has its own address
        for name, port in object_at(fields, "ports").items():
            number = object_at(port).get("port")
            if not isinstance(number, int) or isinstance(number, bool):
                continue
            path = child(child("spec.ports", name), "port")
            holder = holders.setdefault(number, (spec, path))
            if holder != (spec, path):
                where = holder[0].positions.get(holder[1], holder[0].position)
                says = f"port {number} is used twice"
                problems.append(
                    (spec, at(spec, path, says, f"the other is at {where}; use another number, or remove one"))
                )
    return problems


def _secrets_given_twice(specs: Sequence[Spec]) -> list[Found]:
    """Report each Key with the hash of another one: nobody could tell whose request it is."""
    holders: dict[str, Spec] = {}
    problems: list[Found] = []
    for spec in specs:
        digest = spec.fields.get("sha256") if spec.kind == "Key" else None
        if not isinstance(digest, str):
            continue
        holder = holders.setdefault(digest, spec)
        if holder is not spec:
            says = f"Key {spec.name} has the secret of Key {holder.name}"
            hint = f"the other is at {holder.position}; give each key a secret of its own, or remove one"
            problems.append((spec, at(spec, "spec.sha256", says, hint)))
    return problems
