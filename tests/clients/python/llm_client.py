"""The command `llm`."""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from suite import KEY, PARALLEL, QUESTION, URL, WRONG_KEY, quick, run

folder = Path(tempfile.mkdtemp(prefix="llm-"))
(folder / "extra-openai-models.yaml").write_text(
    "".join(
        f"- model_id: {name}\n  model_name: {name}\n  api_base: {URL}/v1\n  api_key_name: bateau\n"
        for name in ("chat", "nope")
    )
)


def llm(*words, key=KEY):
    command = [sys.executable, "-m", "llm", "prompt", *words, "--key", key, "-o", "max_tokens", "8", "--no-log"]
    environment = {**os.environ, "LLM_USER_PATH": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def ask(*words, **more):
    done = llm("-m", "chat", QUESTION, *words, **more)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def unknown_model():
    done = llm("-m", "nope", QUESTION)
    assert done.returncode == 1
    assert "model_not_found" in done.stderr


def wrong_key():
    done = llm("-m", "chat", QUESTION, key=WRONG_KEY)
    assert done.returncode == 1
    assert "invalid_api_key" in done.stderr


def cancel():
    for _ in range(2):
        command = [sys.executable, "-m", "llm", "prompt", "-m", "chat", QUESTION, "--key", KEY]
        environment = {**os.environ, "LLM_USER_PATH": str(folder), "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as running:
            assert running.stdout.read(1)
            running.kill()
    quick(ask)


def parallel():
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda _: ask(), range(PARALLEL)))


run({
    "chat": lambda: ask("--no-stream"), "stream": ask, "cancel": cancel, "unknown_model": unknown_model,
    "wrong_key": wrong_key, "parallel": parallel,
})  # fmt: skip
