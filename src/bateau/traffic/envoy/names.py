"""Names that several parts of an Envoy's configuration use.

Called by traffic.envoy.bootstrap, traffic.envoy.gateway_bootstrap and traffic.envoy.hold.
"""

from typing import Final

# The cluster of the control channel.
XDS_CLUSTER: Final = "bateau-xds"
