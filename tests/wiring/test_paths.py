"""Files that an instance needs are in directories that a logout does not remove (serving case A1)."""

from pathlib import Path

from bateau.wiring.paths import paths

ENVIRON = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": "/run/user/1000"}


def test_sockets_and_the_lock_are_kept_beside_the_state() -> None:
    """A1: /run/user/UID is removed at logout, while a detached instance runs on."""
    where = paths("default", ENVIRON)
    assert where.runtime == Path("/home/ada/.local/state/bateau/default/run")
    assert where.control_lock.is_relative_to(where.state)
    assert where.control_socket.is_relative_to(where.state)


def test_a_path_that_is_too_long_for_sockets_is_not_used() -> None:
    where = paths("default", {**ENVIRON, "XDG_STATE_HOME": "/home/ada/" + "long/" * 20})
    assert where.runtime == Path("/run/user/1000/bateau/default")


def test_an_instance_of_an_earlier_release_is_found_where_it_is(tmp_path: Path) -> None:
    environ = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": str(tmp_path)}
    left = tmp_path / "bateau" / "default"
    left.mkdir(parents=True)
    assert paths("default", environ).runtime == Path("/home/ada/.local/state/bateau/default/run")
    (left / "control.lock").touch()
    assert paths("default", environ).runtime == left
    assert paths("other", environ).runtime == Path("/home/ada/.local/state/bateau/other/run")
