"""Texts -> specs, in which every field has its file, line and column."""

from bateau.specs.crds import custom_resource_definitions
from bateau.specs.documentation import explain_field, json_schema
from bateau.specs.keeping import pack_reading, unpack_reading
from bateau.specs.reading import FileReading, Reading, link, read, read_file

__all__ = [
    "FileReading",
    "Reading",
    "custom_resource_definitions",
    "explain_field",
    "json_schema",
    "link",
    "pack_reading",
    "read",
    "read_file",
    "unpack_reading",
]
