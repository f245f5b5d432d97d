"""The page of the machine: what is used, what still fits, and unknown instead of zero."""

import re
from dataclasses import replace
from typing import Literal

from bateau.domain.machine_report import Hardware
from bateau.domain.status import GatewayFilters
from bateau.ui.page import View
from bateau.wiring.machine_reports import MachineReport
from ui.reports import MACHINE, SCRIPT
from ui.test_pages import parts_of


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_machine_is_shown_with_its_use(view: View) -> None:
    says = text_of(parts_of(view, "/machines")["summary"])
    for words in (
        "gpu-07",
        "16",
        "3.2 used",
        "128 GiB",
        "32 GiB used",
        "NVIDIA H200",
        "139 GiB",
        "busy 40 % of the time, 312 W",
    ):
        assert words in says
    assert "Disk: state and logs, models" in says


def test_the_filters_of_the_gateway_are_named_and_why_they_are_not_the_native_one(view: View) -> None:
    def says(name: Literal["native", "stock"], why: str) -> str:
        status = replace(view.status, filters=GatewayFilters(name=name, why=why))
        return text_of(parts_of(replace(view, status=status), "/machines")["summary"])

    assert "Filters of the gateway native" in (shown := says("native", "it is installed"))
    assert "installed" not in shown
    assert "Filters of the gateway stock the native filter is not used: no" in says("stock", "no")


def test_what_still_fits_is_the_answer_of_place(view: View) -> None:
    html = parts_of(view, "/machines")["use"]
    says = text_of(html.partition('id="use-model-chat"')[2].partition("</tr>")[0])
    assert "3 more replicas the next one needs about 5 GiB, and 3.2 GiB are free" in says
    assert "1.5 of" in says


def test_what_is_not_known_is_not_shown_as_zero(view: View) -> None:
    unknown = MachineReport(host=SCRIPT, machine=None, hardware=Hardware())
    parts = parts_of(replace(view, reports=replace(view.reports, machine=unknown)), "/machines")
    summary = text_of(parts["summary"])
    assert summary.count("unknown") == 5, summary
    assert "no sensor that this user can read" in summary
    assert "none found" in summary
    assert not re.search(r"\b0\b", summary.partition("Gateway")[0])
    assert "<script>" not in parts["summary"]
    unread = replace(unknown, machine=MACHINE.machine)
    says = text_of(parts_of(replace(view, reports=replace(view.reports, machine=unread)), "/machines")["summary"])
    assert says.count("its use is unknown") == 2, "of cores and memory that are there"
    rows = text_of(parts["use"])
    assert rows.count("unknown") == 2 * 3
    assert (
        "being measured" in parts_of(replace(view, reports=replace(view.reports, machine=None)), "/machines")["summary"]
    )


def test_clusters_are_named_and_not_checked(view: View) -> None:
    html = parts_of(view, "/machines")["clusters"]
    says = text_of(html)
    assert "prod environments.yaml:" in says and "namespace shop-prod" in says
    assert "berlin the context berlin-admin of ~/.kube/berlin not checked ask it: bateau status --env prod" in says
    assert "home" in says and "a machine" in says


def test_a_machine_that_is_the_same_is_not_made_again(view: View) -> None:
    assert parts_of(view, "/machines") == parts_of(
        replace(view, reports=replace(view.reports, machine=MACHINE)), "/machines"
    )
