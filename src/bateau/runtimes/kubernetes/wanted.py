"""An object as a cluster should have it: its key, and the body of its server-side apply.

Called by runtimes.kubernetes and wiring.clusters. Pure.

Invariant: memory holds the bytes that are sent, and neither trees nor origins. Held by
tests/runtimes/kubernetes/test_bounds.py.
Refused: the API server's own random names for `generateName`. A control plane that dies after its request could not
tell whether the object exists, and would create a second one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

import orjson

from bateau.domain.manifest import Manifest
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.runtimes.kubernetes.live import OWNER, SERVICE, Key, key_of, label_of

# As the API server's own suffixes: no vowels, so no words. A Job may have names of 63 characters.
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX: Final = 8
_NAME_MAX: Final = 63


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object. `digest` is that of `body`.

    `once`: it is created once for each content, and not again when it is gone. `content` tells contents apart; "" if
    the name does.
    """

    key: Key
    api_version: str
    body: bytes
    digest: bytes
    once: bool = False
    content: str = ""

    def within(self, namespace: str, *, namespaced: bool) -> "Wanted":
        """Return the same object where its kind has it: in `namespace` if it names none, or in no namespace at all.

        Only the API server knows which kinds of third-party CRDs have namespaces.
        """
        if bool(self.key[2]) == namespaced:
            return self
        tree: JsonObject = orjson.loads(self.body)
        metadata = {key: each for key, each in object_at(tree, "metadata").items() if key != "namespace"}
        if namespaced:
            metadata["namespace"] = namespace
        return _wanted({**tree, "metadata": metadata}, once=self.once, content=self.content)


def wanted(manifest: Manifest, *, service: str, owner: str) -> Wanted:
    """Return an object with the labels by which it is found again. One that has no name gets one."""
    tree: JsonObject = orjson.loads(orjson.dumps(named(manifest).tree, option=orjson.OPT_NON_STR_KEYS))
    metadata = object_at(tree, "metadata")
    labels: JsonObject = {**object_at(metadata, "labels"), OWNER: owner, SERVICE: label_of(service)}
    content = content_of(manifest)
    once = manifest.is_generated or content != ""
    return _wanted({**tree, "metadata": {**metadata, "labels": labels}}, once=once, content=content)


def content_of(manifest: Manifest) -> str:
    """Return a digest of a Job that has a name and that the cluster removes when it has ended; "" for other objects."""
    if manifest.group_kind != ("batch", "Job") or "generateName" in object_at(manifest.tree, "metadata"):
        return ""
    if object_at(manifest.tree, "spec").get("ttlSecondsAfterFinished") is None:
        return ""
    told = orjson.dumps(manifest.tree, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return blake2b(told, digest_size=12).hexdigest()


def named(manifest: Manifest) -> Manifest:
    """Give an object with a `generateName` its name: another one for each content, and the same each time."""
    if not manifest.is_generated:
        return manifest
    option = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    told = orjson.dumps([manifest.service, manifest.ordinal, manifest.tree], option=option)
    number = int.from_bytes(blake2b(told, digest_size=16).digest())
    suffix = ""
    for _ in range(_SUFFIX):
        number, letter = divmod(number, len(_LETTERS))
        suffix += _LETTERS[letter]
    metadata = object_at(manifest.tree, "metadata")
    name = text_at(metadata, "generateName")[: _NAME_MAX - _SUFFIX] + suffix
    return replace(manifest, tree={**manifest.tree, "metadata": {**metadata, "name": name}}, ordinal=1)


def placed(
    objects: tuple[Wanted, ...], namespace: str, is_namespaced: Callable[[str, str], bool | None]
) -> tuple[Wanted, ...]:
    """Return objects where their kinds have them, as far as the kinds are known."""
    found = [is_namespaced(each.api_version, each.key[1]) for each in objects]
    if all(told is None or told == bool(each.key[2]) for told, each in zip(found, objects, strict=True)):
        return objects
    return tuple(
        each if told is None else each.within(namespace, namespaced=told)
        for told, each in zip(found, objects, strict=True)
    )


def _wanted(tree: JsonObject, *, once: bool, content: str) -> Wanted:
    body = orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)
    digest = blake2b(body, digest_size=16).digest()
    return Wanted(key_of(tree), text_at(tree, "apiVersion"), body, digest, once, content)
