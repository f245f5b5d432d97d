"""The definitions of the Gateway API in an API server. No Gateway controller runs."""

import json
import lzma
from importlib import resources

from bateau.kit.yaml_writer import write
from cluster.kubectl import Kubectl


def install_gateway_api(kubectl: Kubectl) -> list[str]:
    """Install the shipped definitions, wait until they are served, and return their names for kubectl."""
    packed = resources.files("bateau").joinpath("data/kubernetes/gateway-api.json.xz").read_bytes()
    crds = json.loads(lzma.decompress(packed))["crds"]
    for crd in crds:
        # The server asks for it from every definition in a group of Kubernetes.
        crd["metadata"]["annotations"] = {
            "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"
        }
    names = [f"crd/{crd['metadata']['name']}" for crd in crds]
    kubectl("apply", "--server-side", "-f", "-", stdin=write(crds))
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    return names
