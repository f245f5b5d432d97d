"""Engines beside llama.cpp, and models that do not fit."""

import shutil

import openai
import pytest

from local.stack import CHAT, Stack


@pytest.mark.parametrize("engine", ["vllm", "ollama"])
def test_an_engine_that_is_not_installed_is_named(stack: Stack, engine: str):
    assert shutil.which(engine, path="/usr/bin:/bin") is None
    stack.write(CHAT.replace("  replicas: 1\n", f"  replicas: 1\n  engine: {engine}\n"))
    done = stack.bateau("up", str(stack.specs), "--detach", "--listen", f":{stack.port}", PATH="/usr/bin:/bin")
    assert done.code == 3
    assert f"there is no program `{engine}` on PATH" in done.err
    assert "Traceback" not in done.err


def test_an_external_api_answers_under_its_name_here(stack: Stack, running: Stack):
    stack.write(
        "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: remote}\n"
        f"spec: {{engine: external, source: '{running.url}/v1', external: {{model: chat}}}}\n"
    )
    assert stack.up().code == 0
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="remote", messages=[{"role": "user", "content": "hi"}], max_tokens=4
        )
    assert answer.model == "chat"
    assert answer.usage is not None and answer.usage.completion_tokens == 4


def test_a_model_that_cannot_fit_is_refused_with_both_figures_and_hinders_no_other(stack: Stack):
    stack.write(
        "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: huge}\n"
        "spec: {source: smollm2, contextLength: 100000000}\n",
        "huge.yaml",
    )
    done = stack.up()
    assert done.code == 3
    assert "a replica of huge needs about" in done.err
    assert "this machine has" in done.err
    assert stack.pids("model/chat")
