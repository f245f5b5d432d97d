"""The metrics page of a controller.

Called by wiring.controller.
"""

from collections.abc import Mapping

from bateau import __version__
from bateau.control.reconciler import Reconciler
from bateau.observe.metrics import Page


def controller_page(
    reconcilers: Mapping[str, Reconciler], *, leads: bool, sent: int, gateways: int | None, bundle_failures: int | None
) -> str:
    """Return the Prometheus page. `reconcilers` are by namespace, and `sent` are requests to the API server.

    `bundle_failures` are those of reading the bundle that is followed, None without one.
    """
    page = Page()
    page.add("bateau_build_info", {"version": __version__}, 1, kind="gauge", says="Version of the control plane.")
    page.add("bateau_controller_leads", {}, int(leads), kind="gauge", says="1 while this controller acts.")
    page.add("bateau_api_requests_total", {}, sent, kind="counter", says="Requests sent to the API server.")
    if gateways is not None:
        says = "Gateways that are connected to this controller."
        page.add("bateau_gateways", {}, gateways, kind="gauge", says=says)
    for namespace, each in reconcilers.items():
        labels, seen = {"namespace": namespace}, each.observed
        for name, value, kind, says in (
            ("bateau_reconciles_total", each.reads, "counter", "Times that texts were read and rendered."),
            ("bateau_objects", len(seen.objects), "gauge", "Objects that are kept as declared."),
            ("bateau_objects_unsettled", sum(not o.settled for o in seen.objects), "gauge", "Objects that change."),
        ):
            page.add(name, labels, value, kind=kind, says=says)
    failures = {namespace: each.failures for namespace, each in reconcilers.items()}
    if bundle_failures is not None:  # which may not have been read yet
        failures[""] = failures.get("", 0) + bundle_failures
    for namespace, value in failures.items():
        says = "Failed reconciliations."
        page.add("bateau_reconcile_failures_total", {"namespace": namespace}, value, kind="counter", says=says)
    return page.text()
