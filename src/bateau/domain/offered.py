"""A model of the catalogue, and whether it fits a machine.

Made by wiring.offered_models; shown by ui.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One model. `fits` is None if that is not known, and `says` has the reason in words.

    `here`: its file is on this machine. `size_bytes` is None if it is not known before the model is fetched.
    """

    name: str
    summary: str
    licence: str
    parameters: str
    context: int
    size_bytes: int | None
    here: bool
    fits: bool | None
    says: str
