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
ALERTS: Final = "bateau-alerts"  # the Secret with the receivers of alerts
# The ConfigMap that says that requests to the gateways need a key, also when there is none left.
KEYS_REQUIRED: Final = "bateau-gateway-keys"
# The label of the namespace that the gateways run in.
GATEWAY_LABEL: Final = "bateau.dev/gateway"
# The label of the namespaces whose pods may use the gateways.
GATEWAY_CLIENT_LABEL: Final = "bateau.dev/gateway-client"
# The ConfigMap and the Secret of a namespace with the variables for fetching models, such as mirrors and tokens.
FETCH_SETTINGS: Final = "bateau-fetch"
# The ConfigMap of a namespace with files for it, such as the certificates of an authority of its own. They are not
# variables: Linux starts no program with one of more than 128 KiB.
FETCH_FILES: Final = "bateau-fetch-files"
# The label of nodes, and since Kubernetes 1.35 of their pods.
ZONE_LABEL: Final = "topology.kubernetes.io/zone"
# The label of ClusterRoles whose rights the controller gets.
AGGREGATE: Final = "rbac.bateau.dev/aggregate-to-controller"
HEALTH_PORT: Final = 8081
DASHBOARD_PORT: Final = 8082
CHANNEL_PORT: Final = 18000
GATEWAY_PORT: Final = 8080
GATEWAY_PROBES_PORT: Final = 19001
