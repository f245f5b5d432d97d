"""`bateau top`: its table, its orders, and its screen on a real terminal of the kernel."""

import asyncio
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest
import pytest_asyncio

from bateau.api.encoding import status_tree
from bateau.api.server import ApiServer
from bateau.api.trees import FigureTree
from bateau.cli.top_rows import HEADER, ORDERS, Order, Sample, header_line, sample_json, table_text
from bateau.cli.top_screen import Screen
from bateau.control.snapshots import Snapshots
from bateau.domain.errors import ControlError
from bateau.domain.status import ServiceState, ServiceStatus
from bateau.wiring.paths import paths
from cli.faked import FixedMeter, environ, service, status

UNKNOWN: FigureTree = {
    "seconds": 0.0,
    "requestsPerS": None,
    "errors": None,
    "latencySP95": None,
    "tokensPerS": None,
    "tokensMissing": False,
    "memoryBytes": None,
    "cpuCores": None,
}
CHAT: FigureTree = {
    "seconds": 30.0,
    "requestsPerS": 2.5,
    "errors": 0.04,
    "latencySP95": 0.12,
    "tokensPerS": 41.6,
    "tokensMissing": True,
    "memoryBytes": 3 * 2**30,
    "cpuCores": 1.5,
}


def sample(figures: dict[str, FigureTree], *services: ServiceStatus, rejected: bool = False) -> Sample:
    return Sample(
        status=status_tree(status(*services, rejected=rejected)),
        figures={"number": 1, "services": figures, "unmeasured": None},
    )


THREE = (
    service("app/bad", ServiceState.FAILED, "exited\nwith code 7\x1b[2J"),
    service("app/idle"),
    service("model/chat"),
)


def rows(found: Sample, order: Order = "service") -> list[str]:
    return click.unstyle(table_text(found, order)).splitlines()


def test_the_table_has_the_figures_of_the_dashboard() -> None:
    lines = rows(sample({"model/chat": CHAT}, *THREE))
    assert lines[0].split() == [*" ".join(HEADER).split(), "REASON"]
    chat = next(line for line in lines if line.startswith("model/chat"))
    assert " ".join(chat.split()) == "model/chat Ready 1/2 2.5 4.0 % 120 ms >= 42 1.50 3 GiB"


def test_an_unknown_figure_is_a_dash_and_comes_last() -> None:
    found = sample({"model/chat": CHAT, "app/idle": {**UNKNOWN, "requestsPerS": 0.0, "cpuCores": 0.0}}, *THREE)
    bad = next(line for line in rows(found) if line.startswith("app/bad"))
    assert bad.split()[:9] == ["app/bad", "Failed", "1/2", "-", "-", "-", "-", "-", "-"]
    for order in ("requests", "cpu"):
        names = [line.split()[0] for line in rows(found, order)][1:]
        assert names[:2] == ["model/chat", "app/idle"], "0 is known, so it comes before what is not"
    tree = sample_json(found, "service")
    assert json.loads(json.dumps(tree))["services"][0]["requestsPerS"] is None


def test_every_order_has_every_service_once() -> None:
    found = sample({"model/chat": CHAT}, *THREE)
    for order in ORDERS:
        assert sorted(line.split()[0] for line in rows(found, order)[1:]) == [
            "app/bad", "app/idle", "gateway/envoy", "model/chat",
        ]  # fmt: skip
    assert rows(found, "state")[1].startswith("app/bad")


def test_a_reason_is_one_line_without_control_characters() -> None:
    (line,) = (line for line in rows(sample({}, *THREE)) if line.startswith("app/bad"))
    assert line.endswith(r"exited\nwith code 7\x1b[2J")


def test_the_header_says_what_is_wrong_with_the_specs() -> None:
    assert header_line(sample({}, *THREE)) == "default   http://127.0.0.1:8080/v1   1 Failed, 2 Ready"
    assert "the specs have errors" in header_line(sample({}, rejected=True))


async def test_a_silent_control_plane_is_reported_with_the_age_of_the_figures() -> None:
    now, answers = 100.0, True

    def ask() -> Sample:
        if not answers:
            raise ControlError("no control plane answers for default", hint="start one with `bateau up`")
        return sample({"model/chat": CHAT}, *THREE)

    screen = Screen(ask, "service", clock=lambda: now)
    await screen.refresh()
    assert "no answer" not in screen.head()
    answers, now = False, 112.0
    await screen.refresh()
    assert "no answer for 12 s: no control plane answers for default" in screen.head()
    assert "model/chat" in screen.body(), "the last figures stay"
    answers = True
    await screen.refresh()
    assert "no answer" not in screen.head()


async def test_the_rows_scroll_within_the_table() -> None:
    screen = Screen(lambda: sample({}, *THREE), "service")
    await screen.refresh()
    screen.scroll(-5)
    assert screen.first_line == 0
    screen.scroll(100)
    assert screen.first_line == 3
    screen.order_by_next(-1)
    assert screen.first_line == 0


@pytest_asyncio.fixture
async def serving(home: Path) -> AsyncIterator[Path]:
    """The home of an instance whose control plane is a fake in another thread."""

    async def metrics() -> str:
        return ""

    snapshots = Snapshots()
    snapshots.take(status(*THREE))
    socket = paths("default", environ(home)).control_socket
    socket.parent.mkdir(parents=True, exist_ok=True)
    server = ApiServer(socket, snapshots=snapshots, metrics=metrics, stop=asyncio.Event(), meter=FixedMeter())
    await server.open()
    yield home
    await server.close()


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bateau", "top", *words],
        env=environ(home), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def test_in_a_pipe_it_is_one_table_after_a_second_look(serving: Path) -> None:
    done = await asyncio.to_thread(run, serving)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    chat = next(line for line in done.stdout.splitlines() if line.startswith("model/chat"))
    assert chat.split()[3] == "7.0"


async def test_json_is_one_object(serving: Path) -> None:
    done = await asyncio.to_thread(run, serving, "--json", "--sort", "requests")
    tree = json.loads(done.stdout)
    assert (tree["services"][0]["service"], tree["services"][0]["requestsPerS"]) == ("model/chat", 7.0)


def test_without_an_instance_the_hint_says_how_to_start_one(home: Path) -> None:
    done = run(home)
    assert done.returncode == 3
    assert "no control plane answers for default" in done.stderr
    assert "bateau up" in done.stderr
    assert "Traceback" not in done.stderr


class Terminal:
    """`bateau top` on a pseudo-terminal, which keeps everything that it prints."""

    def __init__(self, home: Path, *, columns: int = 120, lines: int = 24, **more: str) -> None:
        self._master, slave = pty.openpty()
        self.size(columns, lines)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bateau", "top"],
            env=environ(home, **more), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        self._slave = slave
        self.printed = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def size(self, columns: int, lines: int = 24) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self) -> None:
        while select.select([self._master], [], [], 60)[0]:
            try:
                self.printed += os.read(self._master, 65536).decode(errors="replace")
            except OSError:
                return

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, text: str, *, after: int = 0) -> None:
        deadline = time.monotonic() + 20
        while text not in self.printed[after:]:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.printed[after:]!r}"
            assert self.process.poll() is None, self.printed
            time.sleep(0.05)

    def ended(self) -> int:
        code = self.process.wait(30)
        deadline = time.monotonic() + 5
        while "\x1b[?1049l" not in self.printed and time.monotonic() < deadline:
            time.sleep(0.05)
        assert termios.tcgetattr(self._slave) == self.before, "the terminal is as it was"
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._slave)
        os.close(self._master)


@pytest.mark.parametrize("end", ["q", "\x03", "SIGTERM"])
async def test_the_screen_is_refreshed_and_gives_the_terminal_back(serving: Path, end: str) -> None:
    def play() -> tuple[int, str]:
        terminal = Terminal(serving)
        try:
            terminal.wait_for("model/chat")
            terminal.wait_for("7.0")  # of the second look
            terminal.type("s")
            terminal.wait_for("tate (s")  # only what differs is painted
            if end == "SIGTERM":
                terminal.process.send_signal(signal.SIGTERM)
            else:
                terminal.type(end)
            return terminal.ended(), terminal.printed
        finally:
            terminal.close()

    code, printed = await asyncio.to_thread(play)
    assert code == 0, printed
    assert printed.index("\x1b[?1049h") < printed.index("\x1b[?1049l")
    assert "Traceback" not in printed


async def test_it_follows_the_size_of_the_terminal_and_no_color(serving: Path) -> None:
    def play() -> str:
        terminal = Terminal(serving, columns=40, NO_COLOR="1")
        try:
            terminal.wait_for("model/chat")
            assert "MEMORY" not in terminal.printed, "there is no room for it"
            terminal.size(160)
            terminal.process.send_signal(signal.SIGWINCH)
            terminal.wait_for("MEMORY")
            terminal.type("q")
            terminal.ended()
            return terminal.printed
        finally:
            terminal.close()

    printed = await asyncio.to_thread(play)
    assert not [each for each in ("\x1b[31m", "\x1b[32m", "[38;5;", "[0;31", "[0;32") if each in printed]


async def test_arrows_scroll_to_the_rows_that_have_no_room(serving: Path) -> None:
    def play() -> None:
        terminal = Terminal(serving, lines=6)
        try:
            terminal.wait_for("app/idle")
            assert "model/chat" not in terminal.printed, "there is no room for it"
            terminal.type("\x1b[B")
            terminal.wait_for("model/chat")
            assert "gateway/envoy" not in terminal.printed
            terminal.type("j")
            terminal.wait_for("way/envoy")  # only what differs is painted
            terminal.type("q")
            assert terminal.ended() == 0
        finally:
            terminal.close()

    await asyncio.to_thread(play)
