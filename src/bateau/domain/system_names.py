"""The names of Bateau's own objects in a cluster, and the ports of its pods.

Read by cli, render and wiring, so that services, the installation and the controller cannot disagree.
"""

from typing import Final

NAMESPACE: Final = "bateau-system"
CONTROLLER: Final = "bateau-controller"
GATEWAY: Final = "bateau-gateway"
LEASE: Final = "bateau-controller"
# The Secrets with the certificates of the control channel: the controller's, and the gateways'.
CONTROLLER_CERTIFICATES: Final = "bateau-controller-certificates"
GATEWAY_CERTIFICATES: Final = "bateau-gateway-certificates"
# The label of the namespace that the gateways run in.
GATEWAY_LABEL: Final = "bateau.dev/gateway"
HEALTH_PORT: Final = 8081
