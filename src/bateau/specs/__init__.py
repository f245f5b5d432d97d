"""What people wrote -> specs, where every field knows its file, line and column."""

from bateau.specs.documentation import explain_field, json_schema
from bateau.specs.keeping import kept, taken_up
from bateau.specs.reading import FileReading, Reading, link, read, read_file

__all__ = ["FileReading", "Reading", "explain_field", "json_schema", "kept", "link", "read", "read_file", "taken_up"]
