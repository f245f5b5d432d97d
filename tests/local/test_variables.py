"""No value that `env()` reads is stored on disk, by any command: issue 8, part 1, item 13."""

import os
import signal
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

from backports import zstd

from local.stack import Finished, Stack, wait_for

PLANTED = "tr0ub4dor-and-3"
SPECS = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: web, labels: {team: t}, annotations: {note: "${ env('PLANTED') }"}}
spec:
  command: [python3, -c, "PROGRAM", "${ ports.http }", "${ 'word-' + env('PLANTED') }", WORD]
  image: registry.example/web:1
  ports: {http: {protocol: http}}
  env: {TOKEN: "${ env('PLANTED') }", URL: "postgres://u:${ env('PLANTED') }@db/x", COPY: "${ spec.env.TOKEN }"}
  health: {path: "/${ env('PLANTED') }", interval: 500ms, startTimeout: 20s}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: other, labels: {team: t}}
spec: {image: "registry.example/other:1", ports: {http: {protocol: http}}, uses: [app/web]}
---
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec:
  env: [PLANTED]
  patches:
    - match: {kind: Deployment, name: other}
      set: {"metadata.annotations.note": "${ env('PLANTED') }"}
"""
PROGRAM = (
    "import http.server as h, os, sys\\n"
    "assert os.environ['COPY'] == os.environ['TOKEN'] == sys.argv[2].removeprefix('word-')\\n"
    "class H(h.BaseHTTPRequestHandler):\\n"
    "    def log_message(self, *args): pass\\n"
    "    def do_GET(self):\\n"
    "        ok = self.path == '/' + os.environ['TOKEN']\\n"
    "        self.send_response(200 if ok else 404); self.end_headers()\\n"
    "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\\n"
)


def write(stack: Stack, word: str) -> None:
    (stack.specs / "chat.yaml").unlink(missing_ok=True)
    stack.write(SPECS.replace("PROGRAM", PROGRAM).replace("WORD", word), "web.yaml")


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the content of every file, and every value of databases, decompressed."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        yield path, path.read_bytes()
        if path.suffix in {".sqlite", ".db"}:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                for table in tables:
                    for row in database.execute(f"SELECT * FROM {table}"):  # noqa: S608 - its own tables
                        for value in (value for value in row if isinstance(value, bytes)):
                            yield path, unpacked(value)
            database.close()


def unpacked(value: bytes) -> bytes:
    """Return what zlib or, somewhere in it, Zstandard has compressed; else the bytes themselves."""
    try:
        return zlib.decompress(value)
    except zlib.error:
        start = value.find(b"\x28\xb5\x2f\xfd")
    try:
        return zstd.ZstdDecompressor().decompress(value[start:]) if start >= 0 else value
    except zstd.ZstdError:
        return value


def held(stack: Stack) -> list[str]:
    folders = (stack.base / "state", stack.base / "run", stack.base / "cache")
    return [str(path) for folder in folders for path, data in contents(folder) if PLANTED.encode() in data]


def test_what_env_reads_is_in_no_file_after_any_command(stack: Stack) -> None:
    def run(*words: str) -> Finished:
        return stack.bateau(*words, PLANTED=PLANTED, XDG_CACHE_HOME=str(stack.base / "cache"))

    write(stack, "one")
    apply = ("apply", "--env", "prod", "--yes", "--listen", f":{stack.port}")
    done = run(*apply)
    assert done.code == 0, done.out + done.err
    write(stack, "two")
    done = run(*apply)
    assert done.code == 0, done.out + done.err
    back = run("rollback", "web", "--env", "prod")
    assert back.code == 0, back.err
    for _ in range(2):
        rendered = run("render", "--env", "prod", "--output", str(stack.base / "out"))
        assert rendered.code == 0, rendered.err
    rendered_files = [path.read_text() for path in (stack.base / "out").rglob("*.yaml")]
    assert PLANTED in str(rendered_files)  # what was asked for has it
    words = (("plan", "--env", "prod"), ("status",), ("history",), ("explain", "web", "--env", "prod"))
    said = [run(*each) for each in words]
    assert not [each for each in said if PLANTED in each.out + each.err]
    assert held(stack) == []

    # A control plane without the variable adopts what runs; a replica that dies waits for its value, and says so.
    serve = ("up", "-C", str(stack.specs), "--detach", "--env", "prod", "--listen", f"127.0.0.1:{stack.port}")
    stack.kill_control()
    without = stack.bateau(*serve)
    assert "PLANTED" in without.out + without.err
    os.kill(next(iter(stack.pids("app/web").values())), signal.SIGKILL)
    wait_for(lambda: "waits for" in str(stack.replicas("app/web")[0]["reason"]))
    assert held(stack) == []
    stack.kill_control()
    run(*serve)
    wait_for(lambda: stack.pids("app/web"))
    assert held(stack) == []
