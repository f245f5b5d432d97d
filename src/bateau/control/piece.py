"""Pack the result of one service in one environment: its files, and the findings about them.

Made by control.packing from units, and kept by a digest of everything that it depends on.

Invariant: `piece_from(plain_piece(x))` equals x, except for problems: a piece with problems is never kept. Held by
tests/control/test_packing.py::test_warm_equals_cold_whatever_was_there_before.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bateau.control.assembly import Assembled
from bateau.control.digests import digest_of
from bateau.control.provenance import written
from bateau.domain.change import ObjectKey
from bateau.domain.finding import Finding, Verdict
from bateau.domain.problem import Problem
from bateau.domain.workload import Workload
from bateau.kit.archive import members
from bateau.kit.position import Position
from bateau.kit.yaml_writer import write
from bateau.plan import digest as object_digest

# A finding and a piece as plain values, as `packed` keeps them.
_Place = tuple[str, int, int]
PlainFinding = tuple[str, str, Verdict, str, _Place | None, str | None, str | None, str | None]
PlainPiece = tuple[
    str, str, tuple[tuple[ObjectKey, bytes], ...], list[PlainFinding], list[PlainFinding], tuple[int, ...]
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The digests (16 bytes) of the objects of a service, and the findings about them.

    `digest` is that of the service, as the history of a cluster has it. `unfit` has the findings of target and schemas,
    `judged` those of policies, `problems` the errors of patches and of foreign documents, `matched` the patches that
    matched its manifests.
    """

    service: str
    digest: str
    objects: tuple[tuple[ObjectKey, bytes], ...]
    unfit: tuple[Finding, ...] = ()
    judged: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    matched: frozenset[int] = frozenset()


def piece_of(
    service: Workload, unit: Assembled, judged: Iterable[Finding], *, explained: bool = True
) -> tuple[Piece, bytes]:
    """Return the piece of a unit, and its files. `judged` are the findings of policies about the service itself.

    Without `explained`, the file with the origins of its fields is left out.
    """
    trees = [manifest.tree for manifest in unit.manifests]
    piece = Piece(
        service=service.key,
        digest=digest_of(service, unit.manifests),
        objects=tuple((manifest.key, object_digest(manifest.tree)) for manifest in unit.manifests),
        unfit=(*unit.unrendered, *unit.unsound),
        judged=(*judged, *unit.judged),
        problems=unit.problems,
        matched=unit.matched,
    )
    files = {manifests_file(service.key): write(trees).encode()}
    if explained:
        files[provenance_file(service.key)] = written(service, unit.manifests)
    return piece, members(files)


def manifests_file(service: str) -> str:
    """Return the name of the file with the manifests of a service."""
    return f"manifests/{service}.yaml"


def provenance_file(service: str) -> str:
    """Return the name of the file with the origins of the fields of a service."""
    return f"provenance/{service}.json"


def plain_piece(piece: Piece) -> PlainPiece:
    """Return a piece as plain values."""
    unfit, judged = ([_plain(finding) for finding in found] for found in (piece.unfit, piece.judged))
    return str(piece.service), piece.digest, piece.objects, unfit, judged, tuple(piece.matched)


def piece_from(plain: PlainPiece) -> Piece:
    """Return the piece that `plain_piece` turned into plain values."""
    service, digest, objects, unfit, judged, matched = plain
    if not (unfit or judged or matched):
        return Piece(service=service, digest=digest, objects=objects)  # most have no findings
    return Piece(
        service=service,
        digest=digest,
        objects=objects,
        unfit=tuple(map(_finding, unfit)),
        judged=tuple(map(_finding, judged)),
        matched=frozenset(matched),
    )


def _plain(finding: Finding) -> PlainFinding:
    at = finding.where
    place = (at.file, at.line, at.column) if at else None
    about = (finding.rule, str(finding.subject), finding.verdict, finding.says)
    return (*about, place, finding.environment, finding.path, finding.service)


def _finding(plain: PlainFinding) -> Finding:
    rule, subject, verdict, says, place, environment, path, service = plain
    return Finding(
        rule=rule,
        subject=subject,
        verdict=verdict,
        says=says,
        where=Position(*place) if place else None,
        environment=environment,
        path=path,
        service=service,
    )
