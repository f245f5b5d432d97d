"""The names of Bateau's own objects in a cluster.

Called by render.kubernetes.target. Plain values, so that services and the installation cannot disagree.
"""

from typing import Final

GATEWAY: Final = "bateau-gateway"
# The label of the namespace that the gateway runs in.
GATEWAY_LABEL: Final = "bateau.dev/gateway"
