"""The Helm chart of Bateau: the same objects as those of `bateau install`, with values in place of its settings.

Called by control.installation. Pure.

Invariant: the rendered chart is what `bateau install --print` prints, without the Namespace. Held by
tests/render/test_installation.py.
Invariant: `helm uninstall` deletes no definition, and so no document. Held by tests/render/test_installation.py.
Refused: templates written by hand; they would differ from the installed objects after the first change.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from bateau import __version__
from bateau.kit.json_value import JsonObject, object_at
from bateau.kit.yaml_writer import write
from bateau.render.installation.objects import (
    CONTROLLER_REPLICAS,
    GATEWAY_REPLICAS,
    LOGS_HIDDEN,
    LOGS_SHOWN,
    Installation,
)
from bateau.render.kubernetes.images import OWN_IMAGE

# Words and numbers that stand for a value, and occur nowhere else.
_NAMESPACE: Final = "namespace-of-the-release"
_IMAGE: Final = "image-of-the-values"
_LOGS: Final = "logs-of-the-values"
_REPLICAS: Final = 1_000_000_007
_GATEWAY_REPLICAS: Final = 1_000_000_009
_VALUES: Final[Mapping[str, str]] = {
    _NAMESPACE: ".Release.Namespace",
    _IMAGE: ".Values.image",
    _LOGS: ".Values.logs",
    str(_REPLICAS): ".Values.replicas",
    str(_GATEWAY_REPLICAS): ".Values.gatewayReplicas",
}
_PLACES: Final = re.compile("|".join(_VALUES))
_SCALARS: Final = re.compile(rf"(?<=[ :-] )(?:{_NAMESPACE}|{_IMAGE}|{_LOGS})$", re.MULTILINE)
LOGS_PART: Final = "logs"  # is there only if the values say so
_FILE: Final = f"""\
apiVersion: v2
name: bateau
description: The controller and the gateway of Bateau.
type: application
version: {__version__}
appVersion: "{__version__}"
"""
_DEFAULTS: Final = f"""\
# The image of the controller and of the gateway.
image: {OWN_IMAGE}
# Replicas of the controller. One acts, and the others wait for its Lease.
replicas: {CONTROLLER_REPLICAS}
# Replicas of the gateway.
gatewayReplicas: {GATEWAY_REPLICAS}
# shown: the dashboard of the controller shows the logs of all services to whoever may forward a port of its pod, and
# the controller has the right to read them. hidden: it has not.
logs: {LOGS_HIDDEN}
"""


def chart(parts_of: Callable[[Installation], Mapping[str, list[JsonObject]]]) -> Mapping[str, str]:
    """Return the text of each file by its path. `parts_of` returns the objects of an installation, by their part."""
    settings = Installation(
        namespace=_NAMESPACE, image=_IMAGE, replicas=_REPLICAS, gateway_replicas=_GATEWAY_REPLICAS, logs=_LOGS
    )
    texts = {part: _template(trees) for part, trees in parts_of(settings).items()}
    texts[LOGS_PART] = f'{{{{- if eq .Values.logs "{LOGS_SHOWN}" }}}}\n{texts[LOGS_PART]}{{{{- end }}}}\n'
    templates = {f"templates/{part}.yaml": text for part, text in texts.items()}
    return {"Chart.yaml": _FILE, "values.yaml": _DEFAULTS, **templates}


def _template(trees: list[JsonObject]) -> str:
    text = write(map(_kept, trees)).replace("{{", '{{ "{{" }}')
    # A namespace or a tag may look like a number.
    text = _SCALARS.sub(lambda found: f"{{{{ {_VALUES[found[0]]} | quote }}}}", text)
    return _PLACES.sub(lambda found: f"{{{{ {_VALUES[found[0]]} }}}}", text)


def _kept(tree: JsonObject) -> JsonObject:
    """Return an object that outlives the release, if it is a definition: its deletion would delete all documents."""
    if tree["kind"] != "CustomResourceDefinition":
        return tree
    annotations: JsonObject = {"helm.sh/resource-policy": "keep"}
    return {**tree, "metadata": {**object_at(tree, "metadata"), "annotations": annotations}}
