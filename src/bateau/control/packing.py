"""Turn texts into packed manifests, service by service; a memo holds the results of earlier runs.

Called by cli.render, control.bundle and wiring.packing. It has the same results as control.delivery, and packs them.

Services are in groups, by the digest of their name. An unchanged group is copied as a whole, so that the work depends
on the number of groups; in a changed group, the unchanged services are copied one by one.

Invariant: a result is kept by a digest of everything it follows from (the program, the texts, the environment, the
neighbours, the rules, the day): so it is never stale, and nothing has to be thrown away when something changes. Held by
tests/control/test_packing.py::test_another_namespace_day_or_program_is_another_result.
Invariant: with a memo, without one, and with a damaged one, the bytes are the same. Held by
tests/control/test_packing.py::test_warm_equals_cold_whatever_was_there_before and tests/store/test_memo.py.
Refused: time stamps of files, which a checkout sets as it likes.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any, Final

from bateau.control.assembly import Assembled, Assembly, is_lacking
from bateau.control.neighbourhood import Member, Neighbourhood, member_of
from bateau.control.object_checks import ObjectChecks, Rules
from bateau.control.path import in_order
from bateau.control.piece import Piece, piece_from, piece_of, plain_piece
from bateau.control.unrendered import keys_not_rendered
from bateau.domain.finding import Finding
from bateau.domain.problem import Problem, Severity
from bateau.domain.spec import Spec
from bateau.domain.unit import Address, Whereabouts
from bateau.domain.workload import ServiceKey, Workload
from bateau.hydrate import HydratedService, Hydration
from bateau.kit.archive import ArchiveError, compressed, decompressed
from bateau.kit.packed import packed, unpacked
from bateau.policy import of_service, of_spec
from bateau.policy import understand as read_policies
from bateau.ports.foreign import Foreign
from bateau.ports.memo import Memo
from bateau.render import repeated
from bateau.specs import FileReading, Reading, link, pack_reading, read_file, unpack_reading

_GROUP_MIN: Final = 16  # services in a group: at least about so many, and less than twice as many
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """Everything besides the texts that a result depends on. `program` is a digest of this program's own code.

    `explains_foreign`: trace the fields of foreign documents to their sources as well. That takes seconds, and only a
    bundle needs it.
    """

    rules: Rules
    namespace: str | None
    variables: Mapping[str, str]
    program: bytes
    explains_foreign: bool = True


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The texts that were read. `documents` has, by kind and name, a digest of the file and of the position in it."""

    reading: Reading
    documents: Mapping[tuple[str, str], bytes]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One environment, packed: `pieces` in the order of their services, and their files in compressed `frames`.

    `namespace` applies to services whose documents name none.
    """

    environment: str | None
    namespace: str
    pieces: tuple[Piece, ...]
    frames: tuple[bytes, ...]
    problems: tuple[Problem, ...]
    findings: tuple[Finding, ...]
    mistaken: bool

    @property
    def wrong(self) -> bool:
        """Whether it must not be delivered."""
        forbids = any(finding.verdict == "error" for finding in self.findings)
        return forbids or any(problem.severity is Severity.ERROR for problem in self.problems)


def read_sources(texts: Mapping[str, str], memo: Memo, program: bytes) -> Sources:
    """Read every text, or reuse the earlier reading of it."""
    digests = {file: _digest(program, file.encode(), _bytes(text)) for file, text in texts.items()}
    found = memo.get(_key(b"file", each) for each in digests.values())
    new: dict[bytes, bytes] = {}
    files: list[FileReading] = []
    for file, text in texts.items():
        key = _key(b"file", digests[file])
        reading = unpack_reading(file, found[key]) if key in found else None
        if reading is None:
            reading = read_file(file, text)
            if (data := pack_reading(reading)) is not None:
                new[key] = data
        files.append(reading)
    memo.put(new)
    reading = link(files)
    documents = {
        (spec.kind, spec.name): _digest(
            digests[spec.position.file], f"{spec.kind}/{spec.name}/{spec.position.line}".encode()
        )
        for spec in reading.specs
    }
    return Sources(reading=reading, documents=documents)


def pack(
    sources: Sources, environment: str | None, occasion: Occasion, memo: Memo, *, foreign: Foreign | None = None
) -> Packed:
    """Pack everything that has to be applied for one environment."""
    return _Packing(sources, environment, occasion, memo, foreign).packed()


class _Packing:
    """The packing of one environment."""

    def __init__(
        self, sources: Sources, environment: str | None, occasion: Occasion, memo: Memo, foreign: Foreign | None
    ) -> None:
        self._sources = sources
        self._environment = environment
        self._occasion = occasion
        self._memo = memo
        specs = sources.reading.specs
        self._specs = {_name(spec): spec for spec in specs if spec.is_service}
        self._others = [spec for spec in specs if not spec.is_service]
        self._hydration = Hydration(specs, environment, occasion.variables, namespace=occasion.namespace)
        self._policies, self._unsound = read_policies(specs, doubtful=sources.reading.doubtful)
        self._checks = ObjectChecks(
            sources.reading, environment, occasion.rules, self._policies, variables=occasion.variables
        )
        self._assembly = Assembly("kubernetes", checks=self._checks, foreign=foreign)
        self._context = self._context_digest()
        self._document_keys = {name: _joint(self._of_file(spec) + self._context) for name, spec in self._specs.items()}
        self._hydrated: dict[str, HydratedService] = {}
        self._new: dict[bytes, bytes] = {}

    def packed(self) -> Packed:
        members, spoken = self._members()
        around = Neighbourhood(members.values(), self._environment)
        brought = [name for name, member in members.items() if member.brings_documents]
        self._assembly.include_crds((self._service(name), around.of(name)) for name in brought)
        rules = self._rules_digest()
        keys = {name: self._piece_key(member, rules, around) for name, member in members.items()}
        groups = [_Group(names, keys) for names in _grouped(members)]
        known = self._memo.get(group.key for group in groups if group.key)
        made = [self._group(group, known.get(group.key), keys, around) for group in groups]
        self._memo.put(self._new)
        pieces = sorted((piece for some, _ in made for piece in some), key=lambda piece: piece.service)
        return self._whole(pieces, tuple(frame for _, frame in made), spoken, around)

    def _group(
        self, group: "_Group", known: bytes | None, keys: Mapping[str, bytes], around: Neighbourhood
    ) -> tuple[list[Piece], bytes]:
        """Return the pieces of a group and the frame of their files."""
        if known is not None and (found := unpacked(known)) is not None:
            plain, frame = found
            return [piece_from(each) for each in plain], frame
        single = self._memo.get(_key(b"piece", keys[name]) for name in group.names if keys[name])
        made = [self._piece(name, keys[name], single, around) for name in group.names]
        pieces, frame = [piece for piece, _ in made], compressed(b"".join(files for _, files in made))
        if group.key and all(map(self._may_be_kept, pieces)):
            self._new[group.key] = packed(([plain_piece(piece) for piece in pieces], frame))
        return pieces, frame

    def _piece(self, name: str, key: bytes, known: Mapping[bytes, bytes], around: Neighbourhood) -> tuple[Piece, bytes]:
        """Return a piece and its files, from the memo or computed."""
        at = _key(b"piece", key)
        if key and at in known and (found := unpacked(known[at])) is not None:
            try:
                return piece_from(found[0]), decompressed(found[1])
            except ArchiveError:
                pass  # damaged: compute it
        service = self._service(name)
        judged = self._checks.judged([of_spec(self._specs[name]), of_service(service)])
        explained = self._occasion.explains_foreign or not service.brings_documents
        piece, files = piece_of(service, self._unit(name, around), judged, explained=explained)
        if key and self._may_be_kept(piece):
            self._new[at] = packed((plain_piece(piece), compressed(files)))
        return piece, files

    def _whole(
        self, pieces: Sequence[Piece], frames: tuple[bytes, ...], spoken: frozenset[int], around: Neighbourhood
    ) -> Packed:
        """Collect the findings of the pieces, and those that concern several pieces."""
        judged = dict.fromkeys((*self._of_documents(), *(finding for piece in pieces for finding in piece.judged)))
        unfit = [
            *self._repeated(pieces, around),
            *(finding for piece in pieces for finding in piece.unfit),
            *keys_not_rendered(self._others, self._environment),
        ]
        written = [
            *self._sources.reading.problems,
            *self._hydration.problems,
            *(problem for each in self._hydrated.values() for problem in each.problems),
            *(self._hydration.unmatched(spoken) if self._sources.reading.whole else ()),
            *self._unsound,
        ]
        whole = not any(problem.severity is Severity.ERROR for problem in written)
        of_pieces = (problem for piece in pieces for problem in piece.problems)
        problems = [*written, *of_pieces, *self._unmatched(pieces, whole=whole)]
        mistaken = any(problem.severity is Severity.ERROR for problem in problems) or any(
            finding.verdict == "error" for finding in unfit
        )
        return Packed(
            environment=self._environment,
            namespace=self._hydration.namespace or Whereabouts().namespace,
            pieces=tuple(pieces),
            frames=frames,
            problems=in_order(problems),
            findings=(*unfit, *judged),
            mistaken=mistaken,
        )

    def _of_documents(self) -> tuple[Finding, ...]:
        """Return the findings about the policies themselves, and about documents that did not become a service."""
        lost = [self._specs[name] for name, hydrated in self._hydrated.items() if hydrated.service is None]
        return (*self._checks.standing(), *self._checks.judged(map(of_spec, (*self._others, *lost))))

    def _repeated(self, pieces: Iterable[Piece], around: Neighbourhood) -> tuple[Finding, ...]:
        """Return a finding for each object that more than one manifest describes."""
        keys = [key for piece in pieces for key, _ in piece.objects]
        if len(set(keys)) == len(keys):
            return ()
        counts = Counter(keys)
        services = [piece.service for piece in pieces if any(counts[key] > 1 for key, _ in piece.objects)]
        return repeated(manifest for name in services for manifest in self._unit(name, around).manifests)

    def _unmatched(self, pieces: Sequence[Piece], *, whole: bool) -> list[Problem]:
        """Return a problem for each patch that matched no manifest. `whole`: no service is missing."""
        if not self._checks.patches:
            return []
        matched = frozenset[int]().union(*(piece.matched for piece in pieces))
        made = all(piece.objects or not is_lacking((*piece.problems, *piece.unfit)) for piece in pieces)
        kinds = {key[1] for piece in pieces for key, _ in piece.objects}
        return self._checks.patches.unmatched(matched, kinds, whole=made and whole)

    def _members(self) -> tuple[dict[str, Member], frozenset[int]]:
        """Return each service as its neighbours see it, and the patches that matched any document."""
        keys = self._document_keys
        groups = [_Group(names, keys, b"members") for names in _grouped(keys)]
        known = self._memo.get(group.key for group in groups)
        members: dict[str, Member] = {}
        spoken: set[int] = set()
        for group in groups:
            found: list[Any] | None = unpacked(known[group.key]) if group.key in known else None
            if found is None:
                single = self._memo.get(_key(b"member", keys[name]) for name in group.names)
                found = [self._member(name, single) for name in group.names]
                if all(each is not None for each in found):
                    self._new[group.key] = packed(found)
            for name, each in zip(group.names, found, strict=True):
                if each is not None:
                    namespace, address, uses, matched = each
                    members[name] = Member(
                        key=ServiceKey(name),
                        namespace=namespace,
                        address=_address(address),
                        uses=tuple(map(ServiceKey, uses)),
                    )
                    spoken.update(matched)
                    continue
                spoken.update(self._hydrated[name].matched)
                if service := self._hydrated[name].service:
                    members[name] = member_of(service, Whereabouts())
        return dict(sorted(members.items())), frozenset(spoken)

    def _member(self, name: str, known: Mapping[bytes, bytes]) -> tuple[Any, ...] | None:
        """Return namespace, address, uses and patches of a service; None for one that is hydrated again every time."""
        at = _key(b"member", self._document_keys[name])
        if at in known and (found := unpacked(known[at])) is not None:
            return found
        hydrated = self._hydrate(self._specs[name])
        if hydrated.service is None or hydrated.service.brings_documents:
            return None
        member = member_of(hydrated.service, Whereabouts())
        if member.withheld:
            return None
        uses = tuple(map(str, member.uses))
        made = (member.namespace, _plain_address(member.address), uses, tuple(sorted(hydrated.matched)))
        self._new[at] = packed(made)
        return made

    def _may_be_kept(self, piece: Piece) -> bool:
        """Whether a piece has no problems, and none of its patches contains a value that `env()` has read."""
        return not piece.problems and not self._checks.patches.read_variables(piece.matched)

    def _unit(self, name: str, around: Neighbourhood) -> Assembled:
        return self._assembly.unit(self._service(name), around.of(name), doubled=around.doubles(name))

    def _service(self, name: str) -> Workload:
        service = self._hydrate(self._specs[name]).service
        if service is None:
            raise AssertionError(f"{name} could be hydrated before, but not now")
        return service

    def _hydrate(self, spec: Spec) -> HydratedService:
        name = _name(spec)
        if name not in self._hydrated:
            self._hydrated[name] = self._hydration.service(spec)
        return self._hydrated[name]

    def _piece_key(self, member: Member, rules: bytes, around: Neighbourhood) -> bytes:
        """Return the key of a piece, empty if the piece must not be kept.

        A piece must not be kept if it depends on files that no digest here covers, or if it contains a value that
        `env()` has read, of its own or in the address of a neighbour.
        """
        if member.brings_documents or member.withheld or around.withheld_from(member.key):
            return b""
        neighbours = repr(around.seen_by(member.key)).encode()
        return _joint(self._document_keys[member.key] + rules + neighbours)

    def _context_digest(self) -> bytes:
        """Return a digest of the environment: its documents, and the variables that it may read."""
        environments = [self._of_file(spec) for spec in self._others if spec.kind == "Environment"]
        variables = repr(sorted(self._hydration.variables.items())).encode("utf-8", "surrogatepass")
        name = repr((self._environment, self._occasion.namespace)).encode()
        return _digest(self._occasion.program, name, variables, *environments)

    def _rules_digest(self) -> bytes:
        """Return a digest of the schemas, including CRDs, and of the policies."""
        rules = self._occasion.rules
        said = repr(
            (self._assembly.target, self._checks.schemas.digest, rules.today, bool(rules.starter), self._environment)
        ).encode()
        return _digest(said, *(self._of_file(spec) for spec in self._others if spec.kind == "Policy"))

    def _of_file(self, spec: Spec) -> bytes:
        return self._sources.documents[spec.kind, spec.name]


class _Group:
    """Services that are kept together, by a digest of all their keys. It is empty if one of them must not be kept."""

    def __init__(self, names: Sequence[str], keys: Mapping[str, bytes], what: bytes = b"group") -> None:
        self.names = names
        every = [keys[name] for name in names]
        self.key = _key(what, _digest(*every)) if all(every) else b""


def _grouped(names: Iterable[str]) -> list[list[str]]:
    """Put names into groups by their digest, so that a new name changes only one group."""
    every = sorted(names)
    count = 1 << max(0, (len(every) // _GROUP_MIN).bit_length() - 1)
    groups: list[list[str]] = [[] for _ in range(count)]
    for name in every:
        groups[_number(name) % count].append(name)
    return [group for group in groups if group]


@functools.lru_cache(maxsize=65536)
def _number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little")


def _plain_address(address: Address | None) -> dict[str, Any] | None:
    return {each.name: getattr(address, each.name) for each in fields(address)} if address else None


def _address(tree: Mapping[str, Any] | None) -> Address | None:
    if tree is None:
        return None
    ports = tuple((name, url) for name, url in tree["ports"])
    return Address(url=tree["url"], says=tree["says"], model=tree["model"], ports=ports)


def _name(spec: Spec) -> str:
    return str(spec.key)


def _key(what: bytes, digest: bytes) -> bytes:
    return what + digest


def _digest(*parts: bytes) -> bytes:
    """Return a digest of 16 bytes of all parts and their lengths."""
    return _joint(b"".join(len(part).to_bytes(8, "little") + part for part in parts))


def _joint(data: bytes) -> bytes:
    """Return a digest of 16 bytes of data whose parts have fixed lengths, except for the last one."""
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
