"""Write the documents of keys into spec files, so that nobody has to compute a hash.

Called by cli.keys.

Invariant: a file that has the document afterwards is written, or none. Held by
tests/wiring/test_key_documents.py::test_a_file_that_cannot_take_a_document_stays_as_it_is.
"""

import re
import shutil
from pathlib import Path
from typing import Final

from bateau.domain.api_key import ApiKey
from bateau.domain.dns_label import DNS_LABEL, DNS_LABEL_SAYS
from bateau.domain.errors import ControlError
from bateau.domain.problem import Severity
from bateau.domain.spec import Spec
from bateau.kit.json_value import text_at
from bateau.kit.position import Position
from bateau.kit.yaml_writer import write_document
from bateau.sources.spec_files import SpecFiles
from bateau.sources.spec_names import ENDINGS
from bateau.specs import read, read_file
from bateau.specs.kinds.key import KIND, key_document
from bateau.wiring.keys import with_secret

_HINT: Final = re.compile(r"""(["']?)[0-9A-Za-z]{1,4}\1""")


def create_document(wanted: ApiKey, place: Path) -> tuple[Path, str]:
    """Add a key with a new secret to a file, or to a new file in a directory; return the file and the secret.

    Raises ControlError.
    """
    if not re.fullmatch(DNS_LABEL, wanted.name):
        raise ControlError(f"{wanted.name!r} cannot be the name of a document", hint=f"use {DNS_LABEL_SAYS}")
    key, secret = with_secret(wanted)
    path = place / f"key-{key.name}.yaml" if place.is_dir() else place
    if there := _document(place, key.name):
        raise ControlError(
            f"{there.position} declares a key {key.name} already",
            hint=f"choose another name, or give it a new secret: bateau keys rotate {key.name} --to-spec {place}",
        )
    document = write_document(key_document(key))
    for wrong in read({path.name: document}).problems:
        if wrong.severity is Severity.ERROR:
            raise ControlError(f"{wrong.says}, so no document was written", hint=wrong.hint)
    before = _text(path) if path.exists() else ""
    between = "---\n" if before.strip() else ""
    end = "" if not before or before.endswith("\n") else "\n"
    _write(path, f"{before}{end}{between}{document}", key)
    return path, secret


def rotate_document(name: str, place: Path) -> tuple[Path, str]:
    """Replace the hash of a key in a file, or in one of a directory; return the file and the new secret.

    Raises ControlError.
    """
    spec = _document(place, name)
    if spec is None:
        raise ControlError(
            f"{place} declares no key {name}", hint=f"create it: bateau keys create {name} --to-spec {place}"
        )
    path = place / spec.position.file if place.is_dir() else place
    rotated, secret = with_secret(ApiKey(name=name, owner=""))
    text, before = _text(path), text_at(spec.fields, "sha256")
    if at := spec.positions.get("spec.hint"):
        text = _with_hint(text, at, rotated.hint)
    if not before or text.count(before) != 1:
        raise ControlError(
            f"{path} does not have the hash of {name} exactly once", hint="check it: bateau check; then try again"
        )
    _write(path, text.replace(before, rotated.sha256), rotated)
    return path, secret


def _with_hint(text: str, at: Position, hint: str) -> str:
    """Return a text with another hint at a position. One that is not on that line stays."""
    lines = text.split("\n")
    line, column = lines[at.line - 1], at.column - 1
    if found := _HINT.match(line, column):
        lines[at.line - 1] = f'{line[:column]}"{hint}"{line[found.end() :]}'
    return "\n".join(lines)


def _document(place: Path, name: str) -> Spec | None:
    """Return the document of a key, None if there is none of this name."""
    if place.is_dir():
        texts = SpecFiles(place, default={}).read()
    else:
        texts = {place.name: _text(place)} if place.exists() else {}
    specs = (spec for file, text in texts.items() for spec in read_file(file, text).specs)
    return next((spec for spec in specs if spec.definition is KIND and spec.name == name), None)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()  # its ends of lines stay as they are
    except (OSError, UnicodeDecodeError) as error:
        raise ControlError(f"{path} cannot be read: {error}", hint="name another file") from error


def _write(path: Path, text: str, key: ApiKey) -> None:
    """Write a file of specs in which a key has its hash. Raises ControlError."""
    if path.suffix not in ENDINGS:
        raise ControlError(f"{path} is not a file of specs", hint="name a file that ends in .yaml, or a directory")
    reading = read_file(path.name, text)
    wrong = [f"{each.where}: {each.says}" for each in reading.problems if each.severity is Severity.ERROR]
    wrote = [spec for spec in reading.specs if spec.definition is KIND and spec.name == key.name]
    if wrong or not wrote or text_at(wrote[0].fields, "sha256") != key.sha256:
        raise ControlError(
            f"{path} would have errors, so it was not changed: {wrong[0] if wrong else 'the hash cannot be replaced'}",
            hint="fix the file, or name another one",
        )
    real = path.resolve()
    partial = real.with_name(f".{real.name}.partial")
    try:
        # A control plane that follows the directory must not read a half of it.
        partial.write_bytes(text.encode())
        if real.exists():
            shutil.copymode(real, partial)
        partial.replace(real)
    except OSError as error:
        raise ControlError(f"{path} cannot be written: {error.strerror}", hint="name another file") from error
