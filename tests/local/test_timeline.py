"""The story of a real model: its release, its probes, the end of its process, and the build of its CI."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from bateau.observe.cloud_events import signature
from bateau.wiring.paths import paths
from bateau.wiring.timeline import timeline_path
from docs.pages import ROOT, blocks
from local.stack import Stack, wait_for

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of this test


def story(stack: Stack, *args: str) -> list[dict[str, Any]]:
    done = stack.bateau("timeline", *args, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def reasons(stack: Stack, subject: str) -> list[str]:
    return [entry["reason"] for entry in story(stack, "chat") if entry["subject"] == subject]


def send(stack: Stack, secret: str, tree: dict[str, Any], *, timestamp: str = "") -> int:
    body = json.dumps(tree).encode()
    timestamp = timestamp or str(int(time.time()))
    headers = {
        "content-type": "application/cloudevents+json",
        "webhook-id": "msg_1",
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, "msg_1", timestamp, body),
    }
    request = urllib.request.Request(f"{stack.url}/-/events", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_killed_replica_is_one_story_that_survives_a_killed_control_plane(stack: Stack):
    assert stack.up().code == 0
    (replica,) = stack.replicas()
    os.kill(replica["pid"], signal.SIGKILL)
    wait_for(lambda: reasons(stack, "model.chat.0")[-2:] == ["Starting", "Ready"] and stack.replicas()[0]["restarts"])
    assert reasons(stack, "model.chat.0") == ["Starting", "Ready", "BackOff", "Restarted", "Starting", "Ready"]
    entries = story(stack, "chat")
    (released,) = (entry for entry in entries if entry["reason"] == "Released")
    assert (released["says"], released["fields"]["revision"]) == ("revision 1 adds it", "1")
    (restarted,) = (entry for entry in entries if entry["reason"] == "Restarted")
    assert restarted["says"] == "killed by signal 9 (SIGKILL)"
    assert restarted["fields"]["signal"] == "SIGKILL"
    assert (stack.replicas()[0]["lastEnd"] or {})["says"] == "killed by signal 9 (SIGKILL)"

    os.kill(stack.status()["pid"], signal.SIGKILL)
    assert story(stack, "chat")[: len(entries)] == entries, "it is read without a control plane too"
    with sqlite3.connect(timeline_path(paths(stack.name, stack.environ))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert stack.up().code == 0
    wait_for(lambda: "Adopted" in reasons(stack, "model.chat.0"))
    assert [entry["number"] for entry in story(stack, "chat")[: len(entries)]] == [each["number"] for each in entries]


def test_ci_adds_its_build_through_the_endpoint_once_and_a_forger_adds_nothing(stack: Stack):
    arguments = ("up", "-C", str(stack.specs), "--detach", "--listen", f"127.0.0.1:{stack.port}")
    assert stack.bateau(*arguments, BATEAU_EVENTS_SECRET=SECRET).code == 0
    built = {
        "specversion": "1.0",
        "id": "7",
        "source": "https://ci.example.org",
        "type": "com.example.build.finished",
        "subject": "model/chat",
        "data": {"says": "\x1b[2Jall green", "actor": "ada", "link": "https://ci.example.org/7", "commit": "c0ffee"},
    }
    timestamp = str(int(time.time()))
    assert send(stack, SECRET, built, timestamp=timestamp) == 202
    assert send(stack, SECRET, built, timestamp=timestamp) == 202, "a replay is answered as the first one was"
    assert send(stack, SECRET, {**built, "id": "8"}, timestamp=str(int(time.time()) - 400)) == 401
    assert send(stack, "whsec_Z3Vlc3NlZA==", {**built, "id": "9"}) == 401
    wait_for(lambda: any(entry["reason"] == "BuildFinished" for entry in story(stack, "chat")))
    shown = stack.bateau("timeline", "chat")
    (line,) = (line for line in shown.out.splitlines() if "BuildFinished" in line)
    says = "\\x1b[2Jall green, commit c0ffee, by ada, from https://ci.example.org, https://ci.example.org/7"
    assert line.endswith(says)
    assert "\x1b" not in shown.out
    assert SECRET not in stack.bateau("logs", "control").out
    for pid in stack.pids().values():
        assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_the_script_of_the_guide_adds_an_event(stack: Stack):
    secret = {"BATEAU_EVENTS_SECRET": "5d3c" * 16}
    arguments = ("up", "-C", str(stack.specs), "--detach", "--listen", f"127.0.0.1:{stack.port}")
    assert stack.bateau(*arguments, BATEAU_EVENTS_SECRET=secret["BATEAU_EVENTS_SECRET"]).code == 0
    (script,) = (block.text for block in blocks(ROOT / "docs/how-to/timeline.md") if block.language == "python")
    environ = {**stack.environ, **secret}
    subprocess.run([sys.executable, "-c", script, stack.url], env=environ, check=True, timeout=30)
    (entry,) = wait_for(lambda: [each for each in story(stack) if each["reason"] == "ScanFinished"])
    assert entry["says"] == "no known vulnerabilities"
