"""Two sets of manifests -> the containers whose images have different versions.

Called by wiring.promotion. The manifests are those of two environments.

Invariant: names of objects and registries do not matter: overlays give each environment its own prefix and mirror. Held
by tests/plan/test_images.py.
Refused: comparing whole images; a difference in the registry belongs to the environment and cannot be promoted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bateau.domain.manifest import Manifest
from bateau.kit.json_value import ReadJson
from bateau.kit.position import Position, child, item

_TEXT_ONLY: Final = frozenset({"ConfigMap", "Secret", "CustomResourceDefinition"})

_Key = tuple[str | None, tuple[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDifference:
    """A container that exists on both sides. `newer` and `older` are its images there, with the place of each."""

    service: str | None
    kind: str
    container: str
    newer: str
    older: str
    newer_at: Position | None
    older_at: Position | None


@dataclass(frozen=True, slots=True)
class _Image:
    manifest: Manifest
    path: str
    container: str
    text: str

    @property
    def parts(self) -> tuple[str, str]:
        """The last word of its name, and its tag and digest."""
        name, at, digest = self.text.partition("@")
        name, _, tag = name.rpartition("/")[2].partition(":")
        return name, f"{tag}{at}{digest}"

    @property
    def at(self) -> Position | None:
        """The place that decided the image last."""
        return next((step.at for step in reversed(self.manifest.origins.get(self.path, ())) if step.at), None)


def image_differences(newer: Iterable[Manifest], older: Iterable[Manifest]) -> tuple[ImageDifference, ...]:
    """Return each container that has another version of its image on the two sides."""
    ours, theirs = _by_container(newer), _by_container(older)
    found: list[ImageDifference] = []
    for key, images in ours.items():
        for one, other in _pairs(images, theirs.get(key, [])):
            (service, (_, kind), _) = key
            found.append(
                ImageDifference(
                    service=service,
                    kind=f"{kind} {other.manifest.name}",
                    container=other.container,
                    newer=one.text,
                    older=other.text,
                    newer_at=one.at,
                    older_at=other.at,
                )
            )
    return tuple(found)


def _pairs(newer: list[_Image], older: list[_Image]) -> Iterator[tuple[_Image, _Image]]:
    """Yield the images of one sort of container that differ: those of one name, else the only two."""
    names = sorted({each.parts[0] for each in newer} & {each.parts[0] for each in older})
    for name in names:
        ours, theirs = ([each for each in side if each.parts[0] == name] for side in (newer, older))
        if {each.parts[1] for each in ours} != {each.parts[1] for each in theirs}:
            known = {each.parts[1] for each in theirs}
            one = next((each for each in ours if each.parts[1] not in known), ours[0])
            other = next((each for each in theirs if each.parts[1] != one.parts[1]), theirs[0])
            yield one, other
    if not names and len(newer) == len(older) == 1 and newer[0].parts[1] != older[0].parts[1]:
        yield newer[0], older[0]


def _by_container(manifests: Iterable[Manifest]) -> Mapping[_Key, list[_Image]]:
    found: defaultdict[_Key, list[_Image]] = defaultdict(list)
    for manifest in manifests:
        if manifest.group_kind[1] not in _TEXT_ONLY:
            for path, named, container, text in _images(manifest.tree):
                key = (manifest.service, manifest.group_kind, named)
                found[key].append(_Image(manifest, path, container, text))
    return found


def _images(
    tree: ReadJson, path: str = "", named: str = "", container: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Yield every image: its path, the path with names for positions, the name of its container, and its text."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key == "image" and isinstance(value, str) and value:
                yield child(path, key), named, container, value
            else:
                yield from _images(value, child(path, key), child(named, key), container)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            name = str(value.get("name", "")) if isinstance(value, Mapping) else ""
            yield from _images(value, item(path, index), f"{named}[{name or index}]", name or container)
