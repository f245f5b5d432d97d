"""The dashboard in Chromium with 200 services and 10,000 events: filtering, opening pages, and live updates.

Called by bench.__main__. An interaction is measured in the browser, from the input to the frame that shows its effect.
"""

import argparse
import contextlib
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from bateau.domain.event import Event
from bateau.store.timeline import Timeline
from bateau.wiring.paths import paths
from bateau.wiring.timeline import timeline_path
from bench import report
from bench.instance import Instance
from bench.report import figure

ROOT: Final = Path(__file__).parent.parent
SERVICES: Final = 200
EVENTS: Final = 10_000
ROUNDS: Final = 9
AT_MOST_MS: Final = 100
WATCH_S: Final = 20.0
_BROWSER: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage")
APP = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {{name: app-{number:03}, labels: {{team: team-{team}}}}}
spec: {{command: [sleep, infinity], replicas: {replicas}, uses: {uses}}}
"""
POLICY = """\
apiVersion: bateau.dev/v1alpha1
kind: Policy
metadata: {name: house-rules}
spec:
  match: {kinds: [App]}
  rules:
    - {name: owner, check: has(metadata.labels.owner), message: name an owner, severity: warning}
"""
# Types a letter into the filter, and resolves with the milliseconds until the second frame after it.
TYPED = """(text) => new Promise((resolve) => {
  const input = document.getElementById("filter");
  const began = performance.now();
  input.value = text;
  input.dispatchEvent(new InputEvent("input", { bubbles: true }));
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
})"""
# Follows a link, and resolves with the milliseconds until the browser has painted the heading of its page.
FOLLOWED = """(path) => new Promise((resolve, reject) => {
  const link = [...document.links].find((each) => each.pathname === path);
  const began = performance.now();
  new PerformanceObserver((list) => resolve(list.getEntries()[0].renderTime - began)).observe({ type: "element" });
  document.addEventListener("bateau:page", () => {
    for (const each of document.querySelectorAll("#main h1, #main h2")) each.setAttribute("elementtiming", "heading");
  }, { once: true });
  setTimeout(reject, 20000);
  link.click();
})"""
# From now on, notes how long each update keeps the page busy, with style and layout, and how many characters came.
WATCHED = """() => {
  window.updates = [];
  const take = window.take;
  window.take = (...given) => {
    const began = performance.now();
    take(...given);
    document.body.getBoundingClientRect();
    window.updates.push([performance.now() - began, JSON.stringify(given).length]);
  };
}"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
PAGES: Final = {
    "Overview": "/",
    "Timeline": "/timeline",
    "Usage and keys": "/usage",
    "Machines": "/machines",
    "Policies": "/policies",
    "a service": "/services/app/app-007",
}
_SIZE: Final = f"{SERVICES} services and {EVENTS:,} events"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trial", action="store_true", help="keep no figure")
    if parser.parse_known_args()[0].trial:
        report.keep_nothing()
    with Instance({f"app-{number:03}.yaml": _app(number) for number in range(SERVICES)}) as instance:
        (instance.base / "specs" / "policy.yaml").write_text(POLICY)
        _fill_timeline(instance)
        instance.up()
        while not instance.status()["rolledOut"]:
            time.sleep(1)
        time.sleep(5)
        with _browser() as page:
            page.goto(instance.bateau("open").strip())
            page.wait_for_url("**/ui/")
            _filtering(page, instance)
            _opening(page, instance)
            _following(page, instance)
            _updates(page, instance)


def _app(number: int, replicas: int = 1) -> str:
    uses = f"[app/app-{number - 1:03}]" if number % 4 == 1 else "[]"
    return APP.format(number=number, team=number % 7, uses=uses, replicas=replicas)


def _fill_timeline(instance: Instance) -> None:
    where = paths("default", instance.environ)
    where.state.mkdir(parents=True, exist_ok=True)
    timeline = Timeline(timeline_path(where))
    now = time.time()
    for number in range(EVENTS):
        name = f"app/app-{number % SERVICES:03}"
        timeline.emit(
            Event(
                when_s=now - EVENTS + number,
                subject=f"app.app-{number % SERVICES:03}.0",
                reason="Restarted",
                says="killed by signal 9 (SIGKILL): out of memory, its limit is 4 GiB",
                fields={"service": name, "commit": f"{number:040x}", "actor": "ada"},
            )
        )
    timeline.close()


@contextlib.contextmanager
def _browser() -> Generator[Page]:
    done = subprocess.run([str(ROOT / ".ci/browser")], cwd=ROOT, capture_output=True, text=True, check=True)
    executable = done.stdout.split()[-2]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_BROWSER)
        try:
            yield browser.new_page(viewport={"width": 1280, "height": 900})
        finally:
            browser.close()


def _visit(page: Page, instance: Instance, path: str) -> None:
    page.goto(f"http://127.0.0.1:{instance.port}/ui{path}")
    page.locator("#live[data-state=live]").wait_for()
    page.wait_for_timeout(300)


def _filtering(page: Page, instance: Instance) -> None:
    for name in ("Overview", "Timeline", "Machines", "Policies"):
        _visit(page, instance, PAGES[name])
        texts = ["a", "app-0", "app-01", "", "nothing", "team", "9"]
        found = [float(page.evaluate(TYPED, texts[each % len(texts)])) for each in range(ROUNDS)]
        figure(f"dashboard, {_SIZE}: typing into the filter of {name}", found, unit="ms", at_most=AT_MOST_MS)


def _opening(page: Page, instance: Instance) -> None:
    for name, path in PAGES.items():
        found: list[float] = []
        for _ in range(ROUNDS):
            _visit(page, instance, "/timeline" if name == "Overview" else "/")
            page.goto(f"http://127.0.0.1:{instance.port}/ui{path}")
            while (paint := page.evaluate(PAINTED)) is None:
                page.wait_for_timeout(20)
            found.append(float(paint))
        figure(
            f"dashboard, {_SIZE}: opening {name}, until its content is painted", found, unit="ms", at_most=AT_MOST_MS
        )


def _following(page: Page, instance: Instance) -> None:
    for name, path in PAGES.items():
        found: list[float] = []
        for _ in range(ROUNDS):
            _visit(page, instance, "/timeline" if name == "Overview" else "/")
            found.append(float(page.evaluate(FOLLOWED, f"/ui{path}")))
        figure(
            f"dashboard, {_SIZE}: following a link to {name}, until its content is painted",
            found,
            unit="ms",
            at_most=AT_MOST_MS,
        )


def _updates(page: Page, instance: Instance) -> None:
    for name in ("Overview", "Timeline", "Machines"):
        _visit(page, instance, PAGES[name])
        page.evaluate(WATCHED)
        until = time.monotonic() + WATCH_S
        change = 0
        while time.monotonic() < until:
            change += 1
            # A service gets another replica, so that every page has something to show.
            (instance.base / "specs" / f"app-{change:03}.yaml").write_text(_app(change, replicas=2))
            page.wait_for_timeout(3000)
        updates: list[tuple[float, int]] = page.evaluate("window.updates")
        for number in range(1, change + 1):
            (instance.base / "specs" / f"app-{number:03}.yaml").write_text(_app(number))
        took, sizes = [each[0] for each in updates], [each[1] / 1000 for each in updates]
        if not updates:
            print(f"{name}: there was no update")
            continue
        figure(f"dashboard, {_SIZE}: a live update of {name}", took, unit="ms", at_most=AT_MOST_MS)
        figure(f"dashboard, {_SIZE}: size of a live update of {name}", sizes, unit="kB")
        figure(f"dashboard, {_SIZE}: the longest live update of {name}", [max(took)], unit="ms", at_most=AT_MOST_MS)


if __name__ == "__main__":
    main()
