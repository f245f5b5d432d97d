"""What people wrote -> specs, where every field knows its file, line and column."""

from bateau.specs.documentation import explain_field, json_schema
from bateau.specs.reading import Reading, read

__all__ = ["Reading", "explain_field", "json_schema", "read"]
