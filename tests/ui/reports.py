"""Reports for pages, as a test would find them: usage, a machine, and policies."""

from datetime import date
from typing import get_args

from bateau.domain.costs import Costs, Energy, Price, Rates
from bateau.domain.inventory import Machine
from bateau.domain.machine_report import Accelerator, Disk, Hardware
from bateau.domain.usage_report import LAST_S, UsageReport
from bateau.domain.used import By, Group, Sums, Used
from bateau.place import Room
from bateau.wiring.machine_reports import MachineReport

TODAY = date(2026, 11, 30)
NOW = 1_796_000_000.0
SCRIPT = "<script>alert(1)</script>"
RATES = Rates().followed_by(
    {"chat": Costs(money=Price(currency="EUR", input=100, output=200), energy=Energy(input=5, output=5))},
    began=0.0,
    now=0.0,
)
MACHINE = MachineReport(
    host="gpu-07",
    machine=Machine(cores=16, memory_bytes_total=128 * 2**30),
    hardware=Hardware(
        processor="Xeon",
        cores_used=3.2,
        memory_bytes_available=96 * 2**30,
        accelerators=(Accelerator(name="NVIDIA H200", memory_bytes_total=139 * 2**30, use=0.4, power_w=312.0),),
        disks=(Disk(holds="state and logs, models", bytes_total=64 * 2**30, bytes_free=4 * 2**30),),
    ),
    cores_by_service={"model/chat": 1.5},
    rooms={"model/chat": Room(more=3, says="the next one needs about 5 GiB, and 3.2 GiB are free")},
)
POLICIES = {
    "policies/house.yaml": f"""\
apiVersion: bateau.dev/v1alpha1
kind: Policy
metadata: {{name: house-rules}}
spec:
  match: {{kinds: [App, Model]}}
  rules:
    - name: owner
      check: has(metadata.labels) && has(metadata.labels.team)
      message: "'every service names its team: add metadata.labels.team {SCRIPT}'"
    - name: few
      check: "!has(spec.replicas) || spec.replicas < 9"
      message: "'at most eight replicas, and not ' + string(spec.replicas)"
      severity: warning
  exceptions:
    - {{rules: [owner], names: [shop], owner: team-payments, reason: "it moves {SCRIPT}", until: "2026-12-04"}}
    - {{rules: [few], owner: ada, reason: old, until: "2026-11-01"}}
    - {{rules: [few], owner: ada, reason: far away, until: "2099-01-01"}}
""",
    "app.yaml": """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec: {command: [shop], ports: {http: {protocol: http}}}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: bare}
spec: {command: [bare], ports: {http: {protocol: http}}, replicas: 12}
""",
    "environments.yaml": """\
apiVersion: bateau.dev/v1alpha1
kind: Cluster
metadata: {name: berlin}
spec: {context: berlin-admin, kubeconfig: ~/.kube/berlin}
---
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {clusters: [berlin], namespace: shop-prod}
---
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: home}
spec: {}
""",
}


def usage(*requests: Used, last: str = "24h") -> UsageReport:
    """Return the report of some requests, or of a few that differ."""
    found = requests or (
        *(
            Used(at=NOW - 60, id="a", path="/v1", status=200, key="ci", model="chat", tokens_in=1000, tokens_out=500)
            for _ in range(3)
        ),
        Used(at=NOW - 7200, id="b", path="/v1", status=200, key="gone", model="chat", tokens_in=10, tokens_out=5),
        Used(at=NOW - 7200, id="c", path="/v1", status=200, key="ci", model="big"),
        Used(at=NOW - 7200, id="d", path="/v1", status=401),
        Used(at=NOW - 7200, id="e", path="/v1", status=200, key="app/shop", model="chat", tokens_in=7, tokens_out=8),
    )
    sums = Sums(get_args(By), owners={"ci": "ada"}, rates=RATES)
    of_model, of_key = dict[str, dict[str, Group]](), dict[str, dict[str, Group]]()
    for each in found:
        sums.add(each)
        key, model = each.key or "(no key)", each.model or "(no model)"
        of_model.setdefault(model, {}).setdefault(key, Group()).add(each, RATES)
        of_key.setdefault(key, {}).setdefault(model, Group()).add(each, RATES)
    return UsageReport(
        last=last,  # type: ignore[arg-type]
        since=NOW - LAST_S[last],
        until=NOW,
        by={by: sums.of(by) for by in get_args(By)},
        of_model=of_model,
        of_key=of_key,
    )
