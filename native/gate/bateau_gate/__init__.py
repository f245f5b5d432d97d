"""Bateau's filter for requests to models, as a dynamic module of Envoy."""

from pathlib import Path

# The minor version of Envoy that the library was written for, and tested with.
ENVOY = "1.40"


def library() -> Path:
    """Return the path of the library that Envoy loads."""
    return Path(__file__).with_name("libbateau_gate.so")
