"""The part of a page that shows who uses whom.

Called by ui.pages.overview.
"""

from typing import Final

import htpy as h

from bateau.domain.status import ServiceStatus
from bateau.ui.page import View
from bateau.ui.picture import Node, picture

NODES_MAX: Final = 200


def graph(view: View) -> h.Element:
    """Return the section with the picture, and the same as text for those who do not see it."""
    edges = sorted({(str(each.key), used) for each in view.release.services for used in each.uses if each.key != used})
    nodes = {name: _node(name, view.services.get(name)) for edge in edges for name in edge}
    return h.section("#graph.panel", aria_labelledby="graph-title", hidden=not edges)[
        h.div(".bar")[h.h2("#graph-title")["Who uses whom"]],
        h.ul(".sr")[(h.li[f"{start} uses {end}"] for start, end in edges)],
        h.p(".empty")[f"{len(nodes)} services are too many for a picture; the page of each has its neighbours."]
        if len(nodes) > NODES_MAX
        else edges
        and h.div(".scroll.canvas", tabindex="0", role="region", aria_label="Graph of services")[picture(edges, nodes)],
    ]


def _node(name: str, service: ServiceStatus | None) -> Node:
    state = str(service.state) if service else "not there"
    return Node(state=state, says=f"{name.partition('/')[0]} · {state}", href=f"/ui/services/{name}")
