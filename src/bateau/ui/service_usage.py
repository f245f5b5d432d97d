"""The usage of a model in the last day by key, and that of an app by model.

Called by ui.pages.service_page.
"""

from functools import partial

import htpy as h

from bateau.domain.usage_report import Groups, UsageReport
from bateau.domain.used import Group
from bateau.ui.page import Part, View
from bateau.ui.sums import sums_table
from bateau.ui.words import safe


def usage_parts(view: View, key: str) -> list[Part]:
    """Return the part for a service that requests name, or that uses a model."""
    workload, usage = view.workloads.get(key), view.reports.usage
    if workload is None or not (workload.is_named_in_bodies or workload.uses):
        return []
    return [Part(id="usage", make=partial(_usage, view, key, workload.name, usage), of=(usage, workload))]


def _usage(view: View, key: str, name: str, usage: UsageReport | None) -> h.Element:
    is_model = view.is_model(key)
    rows: Groups = {}
    total = None
    if usage and not usage.trouble:
        rows = usage.of_model.get(name, {}) if is_model else usage.of_key.get(key, {})
        total = usage.by["model" if is_model else "key"].by.get(name if is_model else key)
    what = "key" if is_model else "model"
    return h.section("#usage.panel", aria_labelledby="usage-title")[
        h.div(".bar")[
            h.h2("#usage-title")["Usage by key" if is_model else "Usage of models"], h.span(".note")["last 24 hours"]
        ],
        _table(view, rows, total, what)
        if total
        else h.p(".empty")[
            "The requests of this time are being summed."
            if usage is None
            else safe(usage.trouble or "No requests in this time.")
        ],
    ]


def _table(view: View, rows: Groups, total: Group, what: str) -> h.Element:
    def shown(name: str) -> h.Node:
        key = name if what == "key" else f"model/{name}"
        return h.a(href=f"/ui/services/{key}")[safe(name)] if key in view.services else safe(name)

    return sums_table(rows, total, title=f"Usage by {what}", name=what.capitalize(), shown_name=shown)
