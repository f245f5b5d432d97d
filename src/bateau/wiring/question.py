"""What a command asks of specs.

Made by `render`, `plan` and `explain`; answered by wiring.delivery and wiring.packing.
"""

from dataclasses import dataclass
from pathlib import Path

from bateau.domain.offers import Offers


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a command asks for. `namespace` is that of services whose documents name none, if the command names one.

    `subdirectory` has the specs, if `directory` is a repository without a work tree. `offers` are the accelerators of
    the cluster that is asked about, None if they are not known.
    """

    directory: Path
    environment: str | None
    namespace: str | None = None
    starter: bool = False
    kubernetes: str = "1.37"
    subdirectory: str | None = None
    offers: Offers | None = None
