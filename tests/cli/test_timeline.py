"""`bateau timeline`: what it shows of a timeline that exists, and what it does where there is none."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bateau.cli.logs import command as show_logs
from bateau.cli.timeline import command
from bateau.domain.event import Event
from bateau.store.timeline import Timeline
from bateau.wiring.paths import paths
from bateau.wiring.timeline import timeline_path

SHA = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    mine = {f"XDG_{name}": str(tmp_path / name.lower()) for name in ("STATE_HOME", "CACHE_HOME", "RUNTIME_DIR")}
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **mine, "TZ": "UTC"}


@pytest.fixture
def timeline(environ: dict[str, str]) -> Iterator[Timeline]:
    path = timeline_path(paths("default", environ))
    path.parent.mkdir(parents=True)
    made = Timeline(path)
    yield made
    made.close()


def event(ago_s: float, subject: str, reason: str, says: str = "", *, warning: bool = False, **fields: str) -> Event:
    return Event(when_s=time.time() - ago_s, subject=subject, reason=reason, says=says, warning=warning, fields=fields)


def story(timeline: Timeline) -> None:
    """A push, its build, its release and a restart of chat, and a shop."""
    timeline.emit(event(9000, "model/chat", "Ready"))
    timeline.emit(event(50, "acme", "Pushed", "main: more", commit=SHA, actor="ada", source="acme"))
    timeline.emit(event(1, "late", "WorkflowSuccess", "build: success", commit=SHA, source="acme"), uid="1")
    timeline.emit(event(30, "model/chat", "Released", "revision 2 changes it", commit=SHA, revision="2", actor="ada"))
    timeline.emit(event(20, "model.chat.0", "Restarted", "exited with code 3", warning=True, service="model/chat"))
    timeline.emit(event(10, "app/shop", "Ready"))
    timeline.emit(event(10, "acme", "Pushed", "other: less", commit="ab" * 20, source="acme"))
    timeline.close()


def run(*args: str) -> Result:
    return CliRunner().invoke(command, list(args))


def reasons(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.split()[3] for line in result.output.splitlines()[1:]]


def test_the_story_of_a_service_has_the_pushes_and_builds_of_its_commits_in_the_order_of_time(
    timeline: Timeline,
) -> None:
    story(timeline)
    expected = ["Ready", "Pushed", "Released", "Restarted", "WorkflowSuccess"]
    assert reasons(run("chat")) == reasons(run("model/chat")) == expected
    assert reasons(run("shop")) == ["Ready"]
    assert len(reasons(run())) == 7


def test_a_line_has_the_commit_the_actor_and_the_origin(timeline: Timeline) -> None:
    story(timeline)
    line = run("chat", "--since", "1h").output.splitlines()[1]
    assert line.endswith("acme            Pushed           main: more, commit da1560886d4f, by ada, from acme")


def test_since_about_and_lines_select(timeline: Timeline) -> None:
    story(timeline)
    assert reasons(run("chat", "--since", "1h")) == ["Pushed", "Released", "Restarted", "WorkflowSuccess"]
    assert reasons(run("--about", SHA[:7])) == ["Pushed", "Released", "WorkflowSuccess"]
    assert reasons(run("--about", "2")) == ["Released"]
    assert reasons(run("chat", "-n", "2")) == ["Restarted", "WorkflowSuccess"]
    assert "no event of chat was recorded in this time" in run("chat", "--since", "0s").output
    wrong = run("--since", "soon")
    assert wrong.exit_code == 2
    assert "soon is not a duration" in wrong.output


def test_json_is_a_list_with_every_field(timeline: Timeline) -> None:
    story(timeline)
    tree = json.loads(run("chat", "--json", "--about", "2").output)
    (entry,) = tree
    assert {name: entry[name] for name in ("service", "subject", "reason", "says", "warning", "fields")} == {
        "service": "model/chat",
        "subject": "model/chat",
        "reason": "Released",
        "says": "revision 2 changes it",
        "warning": False,
        "fields": {"commit": SHA, "revision": "2", "actor": "ada"},
    }
    assert entry["when"].endswith("Z")


def test_an_unknown_service_is_an_error_with_a_suggestion(timeline: Timeline) -> None:
    story(timeline)
    wrong = run("chatt")
    assert wrong.exit_code == 2
    assert "the timeline has no service chatt: did you mean `chat`?" in wrong.output


def test_where_no_instance_has_run_that_is_said(environ: dict[str, str]) -> None:
    assert environ
    found = run("chat")
    assert (found.exit_code, found.output) == (0, "the instance default has no timeline: it has never run\n")
    assert run("chat", "--json").output == "[]\n"


ATTACK = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e\n2026-01-01 00:00:00  model/chat  Ready  forged"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_escape_sequences_of_other_systems_are_shown_as_text(timeline: Timeline, form: list[str]) -> None:
    timeline.emit(event(1, ATTACK, ATTACK, ATTACK, actor=ATTACK, commit=ATTACK, link=ATTACK, source=ATTACK))
    timeline.close()
    shown = run(*form).output
    assert not [character for character in shown if ord(character) < 0x20 and character != "\n"]
    assert not {"\u009b", "\u202e", "\x7f"} & set(shown)
    assert len(shown.splitlines()) == (1 if form else 2), "no text of an event is a line of its own"
    if form:
        assert json.loads(shown)[0]["says"] == ATTACK


def test_escape_sequences_in_a_log_are_shown_as_text(environ: dict[str, str]) -> None:
    logs = paths("default", environ).logs
    logs.mkdir(parents=True)
    (logs / "model.chat.0.log").write_text("\x1b[2Jready\x07\n")
    assert CliRunner().invoke(show_logs, ["chat"]).output == "\\x1b[2Jready\\x07\n"


def test_follow_prints_events_as_they_arrive_also_the_push_that_a_release_explains(
    timeline: Timeline, environ: dict[str, str]
) -> None:
    timeline.emit(event(60, "model/chat", "Ready"))
    following = subprocess.Popen(
        [sys.executable, "-m", "bateau", "timeline", "chat", "--follow", "--json"],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    killer = threading.Timer(60, following.kill)
    killer.start()
    with following:
        assert following.stdout
        assert json.loads(following.stdout.readline())["reason"] == "Ready"
        timeline.emit(event(0, "acme", "Pushed", commit=SHA))
        timeline.emit(event(0, "app/shop", "Ready"))
        timeline.emit(event(0, "model/chat", "Draining"))
        assert json.loads(following.stdout.readline())["reason"] == "Draining"
        timeline.emit(event(0, "model/chat", "Released", commit=SHA))
        assert [json.loads(following.stdout.readline())["reason"] for _ in range(2)] == ["Pushed", "Released"]
        following.terminate()
    killer.cancel()


@pytest.mark.parametrize(("typed", "expected"), [("ch", ["chat"]), ("", ["chat", "shop"]), ("app/", ["app/shop"])])
def test_the_shell_completes_services(
    timeline: Timeline, environ: dict[str, str], typed: str, expected: list[str]
) -> None:
    story(timeline)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("bateau"))],
        env={
            **environ,
            "_BATEAU_COMPLETE": "bash_complete",
            "COMP_WORDS": f"bateau timeline {typed}",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted(line.partition(",")[2] for line in done.stdout.splitlines()) == sorted(expected), done.stderr
