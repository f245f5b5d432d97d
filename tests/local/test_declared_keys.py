"""Keys in the specs of a real instance: in force when they are saved, and no longer when they are removed."""

import http.client
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from bateau.kit.secret_key import hash_of, key_of
from local.stack import Stack, wait_for
from local.test_keys import create

# An API elsewhere, so that no engine has to start. Nobody asks it.
MODEL = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {{name: {name}}}
spec: {{engine: external, source: "http://127.0.0.1:9/v1"}}
"""
SECRET = key_of(bytes(range(24)))
OTHER = key_of(bytes(range(1, 25)))
KEY = """\
apiVersion: bateau.dev/v1alpha1
kind: Key
metadata: {{name: {name}}}
spec: {{sha256: "{sha256}", hint: "{hint}", models: [chat]}}
"""
# What the loop may take after a file was saved.
SOON_S = 3.0


def document(name: str, secret: str = SECRET) -> str:
    return KEY.format(name=name, sha256=hash_of(secret), hint=secret[-4:])


def asked(stack: Stack, secret: str | None = None) -> tuple[int, Any]:
    """Return the status and the answer to a request for the models; 0 where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    try:
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"} if secret else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except OSError:
        return 0, None
    finally:
        connection.close()


def status(stack: Stack, secret: str | None = None) -> int:
    return asked(stack, secret)[0]


def serve(stack: Stack) -> None:
    for name in ("chat", "embed"):
        stack.write(MODEL.format(name=name), f"{name}.yaml")


def test_a_key_is_in_force_as_long_as_its_document_is_there(stack: Stack) -> None:
    serve(stack)
    stack.up()
    wait_for(lambda: status(stack) == 200)
    made = stack.bateau("keys", "create", "ci", "--models", "chat", "--owner", "team", "--to-spec", ".")
    assert made.code == 0, made.err
    assert "key-ci.yaml, which has only its hash" in made.err
    secret = made.out.strip()
    wait_for(lambda: status(stack) == 401, timeout_s=SOON_S)
    found, tree = asked(stack, secret)
    assert (found, [each["id"] for each in tree["data"]]) == (200, ["chat"])
    row = json.loads(stack.bateau("keys", "list", "--json").out)["keys"][0]
    assert (row["name"], row["declaredAt"], row["created"]) == ("ci", "key-ci.yaml:4", None)
    assert "key-ci.yaml:4" in stack.bateau("keys", "list").out
    assert "key-ci.yaml:4" in stack.bateau("keys", "show", "ci").out
    for command in ("revoke", "rotate"):
        refused = stack.bateau("keys", command, "ci")
        assert refused.code == 3
        assert "is a key of the specs (key-ci.yaml:4)" in refused.err
    assert "1 key" in stack.bateau("check").out
    rotated = stack.bateau("keys", "rotate", "ci", "--to-spec", "key-ci.yaml", "--json")
    second = json.loads(rotated.out)["secret"]
    wait_for(lambda: status(stack, second) == 200, timeout_s=SOON_S)
    assert status(stack, secret) == 401
    (stack.specs / "key-ci.yaml").unlink()
    wait_for(lambda: status(stack, second) == 401, timeout_s=SOON_S)
    assert json.loads(stack.bateau("keys", "list", "--json").out) == {"required": True, "keys": []}
    for path in stack.base.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
            assert second.encode() not in path.read_bytes(), path


def test_from_the_first_start_on_a_key_of_the_specs_is_needed(stack: Stack) -> None:
    serve(stack)
    stack.write(document("ci"), "key.yaml")
    starting = stack.begin("up", "--detach", "--listen", f"127.0.0.1:{stack.port}")
    try:
        assert wait_for(lambda: status(stack), every_s=0.01) == 401
        wait_for(lambda: status(stack, SECRET) == 200, timeout_s=SOON_S)
    finally:
        starting.communicate()


def test_where_keys_are_required_nobody_gets_in_before_the_first_one(stack: Stack) -> None:
    serve(stack)
    assert stack.up("--open", "--require-keys").code == 2
    stack.up("--require-keys")
    assert wait_for(lambda: status(stack)) == 401
    stack.write(document("ci"), "key.yaml")
    wait_for(lambda: status(stack, SECRET) == 200, timeout_s=SOON_S)
    assert status(stack) == 401


def test_specs_that_cannot_be_read_drop_no_key_and_open_nothing(stack: Stack) -> None:
    serve(stack)
    stack.write(document("ci"), "key.yaml")
    stack.up()
    wait_for(lambda: status(stack, SECRET) == 200)

    def is_unchanged() -> bool:
        return (status(stack), status(stack, SECRET)) == (401, 200)

    stack.write(document("ci", OTHER).replace("spec:", "spek:"), "key.yaml")
    wait_for(lambda: "spek" in stack.bateau("status").out)
    assert is_unchanged()
    stack.write("{ bateau.dev/", "key.yaml")
    wait_for(lambda: "spek" not in stack.bateau("status").out)
    assert is_unchanged()
    # The next control plane has none of it in its memory, and cannot read the specs either.
    stack.kill_control()
    for path in stack.base.glob("state/bateau/*/control.json"):
        path.unlink()
    stack.up()
    assert is_unchanged()
    assert stack.ask_status()
    (stack.specs / "key.yaml").unlink()
    stack.write(document("ci", OTHER), "other.yaml")
    wait_for(lambda: status(stack, OTHER) == 200, timeout_s=SOON_S)
    assert [status(stack), status(stack, SECRET)] == [401, 401]


def test_a_key_of_a_command_and_one_of_the_specs_have_no_name_in_common(stack: Stack) -> None:
    serve(stack)
    stack.up()
    wait_for(lambda: status(stack) == 200)
    secret = create(stack, "ci")
    stack.write(document("ci"), "key.yaml")
    stack.write(document("shop", OTHER), "shop.yaml")
    says = wait_for(
        lambda: next((each["says"] for each in stack.status()["problems"] if "no effect" in each["says"]), None)
    )
    assert says.startswith("Key ci at key.yaml:3 has no effect: it has the name of ci, which `bateau keys create`")
    wait_for(lambda: status(stack, OTHER) == 200, timeout_s=SOON_S)
    assert [status(stack, secret), status(stack, SECRET)] == [200, 401]
    assert stack.bateau("keys", "create", "shop").code == 3
    assert stack.bateau("keys", "revoke", "ci").code == 0
    wait_for(lambda: status(stack, SECRET) == 200, timeout_s=SOON_S)
    assert status(stack, secret) == 401
    assert not [each for each in stack.status()["problems"] if "no effect" in each["says"]]


def test_a_commit_admits_a_key_and_the_next_one_revokes_it(stack: Stack, tmp_path: Path) -> None:
    repository = tmp_path / "acme"
    repository.mkdir()

    def git(*words: str) -> None:
        mine = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
        mine |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
        subprocess.run(["git", "-C", str(repository), *words], check=True, capture_output=True, env=os.environ | mine)

    def commit() -> None:
        git("add", "--all")
        git("commit", "--quiet", "--message", "keys")

    git("init", "--quiet", "--initial-branch=main")
    (repository / "chat.yaml").write_text(MODEL.format(name="chat"))
    (repository / "key.yaml").write_text(document("ci"))
    commit()
    stack.bateau("up", f"git+file://{repository}@main", "--detach", "--listen", f":{stack.port}")
    wait_for(lambda: status(stack, SECRET) == 200)
    assert status(stack) == 401
    (repository / "key.yaml").unlink()
    (repository / "other.yaml").write_text(document("other", OTHER))
    commit()
    wait_for(lambda: status(stack, OTHER) == 200)
    assert [status(stack), status(stack, SECRET)] == [401, 401]
