"""Names that several parts of an Envoy's configuration use.

Called by traffic.envoy and wiring.keys.
"""

from typing import Final

# The cluster of the control channel.
XDS_CLUSTER: Final = "bateau-xds"
# Of a request to the control API that has come through the gateway. Its value says nothing.
GATEWAY_HEADER: Final = "x-bateau-gateway"
KEY_HEADER: Final = "x-bateau-key"  # of a request: the name of its key, or of the caller that its token names
# Of a request to or from the translator, and only with a token: what its claims mean.
OWNER_HEADER: Final = "x-bateau-owner"
MODELS_HEADER: Final = "x-bateau-models"
MODEL_HEADER: Final = "x-bateau-model"  # of a request: its model, as routes match it
METADATA_NAMESPACE: Final = "bateau"  # of what filters and routes know about a request
PLACES: Final = "places"  # in the metadata of a route: how many requests its model may have, of all keys together
FALLBACK: Final = "fallback"  # in the metadata of a route: another one has requests for which there is no place
REFUSED_HEADER: Final = "x-bateau-refused"  # of a request: why a filter in Lua has refused it
FULL_HEADER: Final = "x-bateau-full"  # of a request for which its model has no place
AFFINITY: Final = "affinity"  # in the metadata of a route: its requests are balanced by their conversations
CHECKED_ROLES: Final = (
    "roles"  # in the metadata of a route: messages with other roles than those of the API are refused
)
