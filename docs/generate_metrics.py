# ruff: noqa: INP001 - docs is not a package; Sphinx's configuration finds this file beside itself
"""Turn the code of the metrics page into a table of every family: name, type, labels, meaning.

Called by generate. Feeds the real page one sample of every metric that its code knows by name, and reads the output.

Invariant: help texts and types come from the page itself; tests/docs compares the names with a real instance.
"""

import asyncio
import inspect
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

_HISTOGRAMS = ("envoy_bateau_request_duration", "envoy_bateau_time_to_first_token", "envoy_bateau_time_to_first_byte")


def metrics() -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for every family."""
    text = asyncio.run(_sample_page())
    kinds = dict(_comments(text, "TYPE"))
    for family, meaning in _comments(text, "HELP"):
        samples = re.findall(rf"^{family}(?:_bucket|_sum|_count)?\{{(.*)\}} ", text, re.MULTILINE)
        labels = sorted({label for sample in samples for label in re.findall(r"(\w+)=\"", sample)} - {"le"})
        yield f"`{family}`", kinds[family], ", ".join(f"`{label}`" for label in labels), meaning


async def _sample_page() -> str:
    from bateau.control.affinity import Affinity
    from bateau.control.loop import Counts
    from bateau.domain.event import Event
    from bateau.domain.issuer import SigningKeys
    from bateau.domain.process import ProcessTemplate
    from bateau.domain.usage_counters import OTHER
    from bateau.domain.used import Sum
    from bateau.observe.events import CountedEvents
    from bateau.observe.metrics import Page, add_llamacpp
    from bateau.runtimes.local import LocalRuntime
    from bateau.testing import FakeKeeper, ManualClock
    from bateau.wiring.filters import Filters
    from bateau.wiring.metrics import metrics_page
    from bateau.wiring.sampling import Processes

    keeper = FakeKeeper()
    await keeper.start("app.shop.0", "app/shop", ProcessTemplate(revision="1", command=("true",)))
    runtime = LocalRuntime(keeper, ManualClock())
    control = SimpleNamespace(
        observed=runtime.observe(),
        counts=Counts(),
        affinity=Affinity(),
        snapshots=SimpleNamespace(latest=_status()),
        traffic=SimpleNamespace(affine={"chat": 2}),
        ports=SimpleNamespace(site=SimpleNamespace(runtime=runtime)),
    )
    events = CountedEvents()
    events.emit(Event(when_s=0.0, subject="app/shop", reason="Ready"))
    filters = Filters(library=None, why="")
    issuers = {"corp": SigningKeys(url="https://login.example.org", jwks="{}", fetched_at=0.0)}
    sums = {OTHER: Sum()}
    processes = Processes(cpu_s={"gateway/envoy": 0.0}, memory_bytes={"gateway/envoy": 0.0})
    spans = SimpleNamespace(outcomes={"sent": 0}, failed_exports=0)
    accounts = SimpleNamespace(counters=SimpleNamespace(shown=sums), spans=spans)
    plane = cast("Any", _Plane(_envoy_sample()))
    instance = await metrics_page(
        cast("Any", control), plane, events, filters, cast("Any", accounts), issuers, processes, _alerts()
    )
    models = Page()
    add_llamacpp(models, "\n".join(f"{name} 1" for name in _known("llamacpp:")), model="chat", replica="model.chat.0")
    return instance + models.text()


def _status() -> Any:
    services = [
        SimpleNamespace(service=service, state="Ready", has_replicas=True, replicas_wanted=1, replicas_ready=1)
        for service in ("model/chat", "gateway/envoy")
    ]
    return SimpleNamespace(services=services[:1], gateway=services[1])


def _alerts() -> Any:
    alert = SimpleNamespace(name="BateauDrift", severity="warning", subject="model/chat", state="firing")
    return [SimpleNamespace(alert=alert)]


def _known(prefix: str) -> list[str]:
    """Return the metric names that the page's code translates."""
    from bateau.observe import metrics as module

    return sorted(set(re.findall(rf'"({prefix}\w+)"', inspect.getsource(module))))


def _envoy_sample() -> str:
    labels = '{route="chat",code="200",envoy_cluster_name="model/chat"}'
    lines = [f"{name}{labels} 1" for name in _known("envoy_") if name not in _HISTOGRAMS]
    for name in _HISTOGRAMS:
        lines += [f'{name}_bucket{{route="chat",le="+Inf"}} 1', f"{name}_sum{labels} 1", f"{name}_count{labels} 1"]
    return "\n".join(lines)


def _comments(text: str, word: str) -> list[tuple[str, str]]:
    return sorted(re.findall(rf"^# {word} (\S+) (.*)$", text, re.MULTILINE))


class _Plane:
    """The parts of a plane that the metrics page reads."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def ask(self, _path: str) -> list[str]:
        return [self._text]
