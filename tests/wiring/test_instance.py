"""Where an instance keeps its things, that it has one control plane, and what it remembers."""

import json
import os
import shutil
from pathlib import Path

import pytest

from bateau.domain.errors import ControlError
from bateau.store import StateFile
from bateau.wiring.local import Settings
from bateau.wiring.lock import is_removed
from bateau.wiring.paths import lock_holder, make, paths


def settings(folder: Path, instance: str = "default", port: int = 8080) -> Settings:
    folders = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("STATE", "CACHE")}
    environ = {**folders, "XDG_RUNTIME_DIR": str(folder / "run")}
    return Settings(instance=instance, directory=folder, listen=("127.0.0.1", port), environ=environ)


def test_directories_follow_xdg_and_the_name() -> None:
    environ = {"HOME": "/home/me", "XDG_RUNTIME_DIR": "/run/user/7"}
    found = paths("blue", environ)
    assert found.state == Path("/home/me/.local/state/bateau/blue")
    assert found.cache == Path("/home/me/.cache/bateau")
    assert found.control_socket == Path("/home/me/.local/state/bateau/blue/run/control.sock")


def test_sockets_lie_where_only_their_user_can_go(tmp_path: Path) -> None:
    found = settings(tmp_path).paths
    found.runtime.parent.mkdir(parents=True)
    found.runtime.parent.chmod(0o777)
    make(found)
    assert found.runtime.parent.stat().st_mode & 0o777 == 0o700
    assert found.runtime.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ControlError) as caught:
        make(settings(tmp_path).paths)
    assert caught.value.hint == "set XDG_STATE_HOME to a writable directory"


def test_an_instance_has_one_control_plane(tmp_path: Path) -> None:
    lock = settings(tmp_path, port=8090).lock()
    with pytest.raises(ControlError) as caught:
        settings(tmp_path).lock()
    assert caught.value.message.startswith("default is up already")
    assert f"pid {os.getpid()}" in caught.value.message
    assert "http://127.0.0.1:8090" in caught.value.message
    settings(tmp_path, "other").lock().close()
    lock.close()
    settings(tmp_path).lock().close()


def test_a_removed_lock_is_noticed_and_so_is_a_control_plane_that_has_taken_it(tmp_path: Path) -> None:
    """Issue 8, `Shows`: after the removal of its runtime directory, an instance had two control planes."""
    where = settings(tmp_path).paths
    first = settings(tmp_path).lock()
    assert not is_removed(first, where)
    shutil.rmtree(where.runtime)
    assert is_removed(first, where)
    assert lock_holder(where) is None
    second = settings(tmp_path).lock()
    assert is_removed(first, where)
    assert lock_holder(where) == os.getpid()
    assert not is_removed(second, where)
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("listen", "url"), [(("127.0.0.1", 80), "http://127.0.0.1:80"), (("::1", 80), "http://[::1]:80")]
)
def test_the_url_is_one_that_clients_can_use(tmp_path: Path, listen: tuple[str, int], url: str) -> None:
    assert Settings(instance="x", directory=tmp_path, listen=listen).listen_url == url


def test_what_is_remembered_outlives_the_one_who_saved_it(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    assert StateFile(path).load() == {}
    StateFile(path).save({"texts": {"a.yaml": "é"}, "app_ports": {"app/shop/http": 30001}})
    StateFile(path).save({"app_ports": {"app/shop/http": 30002}})
    assert StateFile(path).load() == {"app_ports": {"app/shop/http": 30002}}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00\x00"])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "control.json"
    path.write_text(content)
    assert StateFile(path).load() == {}


def test_bytes_that_are_no_text_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    path.write_bytes(b"\xff\xfe{}")
    assert StateFile(path).load() == {}


def test_a_save_that_fails_says_so_and_keeps_the_old(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    StateFile(path).save({"a": 1})
    path.with_suffix(".partial").mkdir()
    with pytest.raises(ControlError, match="cannot write"):
        StateFile(path).save({"a": 2})
    assert json.loads(path.read_text()) == {"format": 2, "a": 1}


def test_a_file_of_the_previous_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    path.write_text('{"app_ports": {"app/shop/http": 30001}}')  # it had no number
    assert StateFile(path).load() == {"app_ports": {"app/shop/http": 30001}}


@pytest.mark.parametrize(
    "content", ['{"format": 3, "texts": {"a.yaml": ""}}', '{"format": "x"}', '{"format": [2]}', "{"]
)
def test_what_cannot_be_read_is_kept_beside_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    path = tmp_path / "control.json"
    path.write_text(content)
    file = StateFile(path)
    assert file.load() == {}
    assert path.read_text() == content  # another process may only look
    assert "cannot be read" in caplog.text
    file.save({"a": 1})
    assert file.load() == {"a": 1}
    assert (tmp_path / "control.damaged").read_text() == content
