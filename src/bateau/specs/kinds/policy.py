"""Policy: CEL rules with a message and a severity."""

from bateau.domain.rules import PolicySpec
from bateau.domain.spec import Kind

KIND = Kind(name="Policy", schema=PolicySpec)
