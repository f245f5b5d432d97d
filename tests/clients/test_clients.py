"""Unmodified clients of four APIs, with keys on: each program runs the same cases against one real instance.

The programs are in `python`, `node` and `go`, each with its locked packages; `.ci/clients` installs them.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import Stack
from local.test_keys import create
from local.tiny_models import MEAN, RANK, write_bert

HERE = Path(__file__).parent
ALL = {"chat", "stream", "cancel", "unknown_model", "wrong_key", "embeddings", "parallel"}
# They take seconds, and minutes where two engines share few cores with other tests.
LIMIT_S = 390
MODELS = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec: {source: smollm2, contextLength: 1024, parallel: 4, resources: {cpu: "1"}, servedNames: [gpt-4o-mini]}
---
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: embed}
spec: {source: ./embed.gguf, parallel: 1}
---
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: rank}
spec: {source: ./rank.gguf, parallel: 1}
"""
# Beyond the cases of all, and those of them that an API or a client does not have.
PROGRAMS = {
    "python/openai_client.py": ALL | {"responses", "tools", "schema", "names", "messages"},
    "python/anthropic_client.py": ALL - {"embeddings"} | {"count_tokens", "messages"},
    "python/ollama_client.py": ALL | {"generate", "schema", "tools", "names", "keep_alive"},
    "python/langchain_client.py": ALL,
    "python/llama_index_client.py": ALL,
    "python/llm_client.py": ALL - {"embeddings"},
    "python/open_inference_client.py": ALL - {"stream", "cancel"} | {"health", "rank"},
    "node/openai_client.mjs": ALL | {"responses"},
    "node/anthropic_client.mjs": ALL - {"embeddings"} | {"count_tokens"},
    "node/ollama_client.mjs": ALL | {"generate", "names"},
    "node/ai_client.mjs": ALL,
    "go": ALL | {"heartbeat", "names"},
}


@pytest.fixture(scope="module")
def installed() -> Path:
    """The folder with the installed clients."""
    root = HERE.parent.parent
    done = subprocess.run([str(root / ".ci/clients")], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip(f"the clients cannot be installed: {done.stderr[-300:]}")
    return Path(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def keyed(cache: Path) -> Iterator[tuple[Stack, str]]:
    """An instance with a chat model and an embedding model, and a key for it."""
    made = Stack(cache)
    try:
        write_bert(made.specs / "embed.gguf", pooling=MEAN)
        write_bert(made.specs / "rank.gguf", pooling=RANK)
        made.write(MODELS, "models.yaml")
        secret = create(made, "ci")
        done = made.up()
        assert done.code == 0, done.err
        yield made, secret
    finally:
        made.destroy()


@pytest.mark.timeout(LIMIT_S + 30)
@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unmodified_client_passes_every_case(installed: Path, keyed: tuple[Stack, str], program: str) -> None:
    stack, secret = keyed
    language, _, name = program.partition("/")
    command = {
        "python": [str(installed / "python/bin/python"), name],
        "node": ["node", name],
        "go": [str(installed / "go/clients")],
    }[language]
    environment = {
        **os.environ,
        "BATEAU_URL": stack.url,
        "BATEAU_KEY": secret,
        "BATEAU_WRONG_KEY": secret[:-8] + "00000000",
        "PATH": f"{installed / 'tools/bin'}:{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    where = installed / "node" if language == "node" else HERE / language
    done = subprocess.run(
        command, cwd=where, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert {line.removeprefix("ok ") for line in done.stdout.splitlines()} == PROGRAMS[program]


def test_curl_as_in_the_documentation_of_ollama(keyed: tuple[Stack, str]) -> None:
    stack, secret = keyed
    body = '{"model": "chat", "prompt": "Why is the sky blue?", "stream": false, "options": {"num_predict": 4}}'
    command = ["curl", "-s", f"{stack.url}/api/generate", "-H", f"authorization: Bearer {secret}", "-d", body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert '"done_reason": "length"' in done.stdout
    refused = subprocess.run([*command[:3], "-d", body], capture_output=True, text=True, timeout=60, check=True)
    assert refused.stdout.startswith('{"error":"This endpoint needs an API key')
