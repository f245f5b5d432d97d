"""Failures of processes, and their effect on requests."""

import asyncio
import os
import shutil
import signal

import aiohttp
import pytest

from local.load import Load
from local.stack import CHAT, Stack, chat_body, wait_for

THREE = CHAT.replace("replicas: 1", "replicas: 3")


@pytest.mark.timeout(900)
async def test_twenty_kills_of_the_control_plane_lose_no_request_and_restart_no_replica(stack: Stack):
    assert stack.up().code == 0
    before = {**stack.pids(), **stack.pids("gateway/envoy")}
    async with Load(stack.url, clients=200) as load:
        for _ in range(20):
            await asyncio.to_thread(stack.kill_control)
            done = await asyncio.to_thread(stack.up)
            assert done.code == 0, done.err
        assert {**stack.pids(), **stack.pids("gateway/envoy")} == before
    assert load.tally.failures == []
    assert load.tally.whole > 0


async def test_a_killed_replica_loses_only_its_own_requests(stack: Stack):
    stack.write(THREE)
    assert stack.up().code == 0
    victim, pid = next(iter(stack.pids().items()))
    async with Load(stack.url, clients=9, max_tokens=16) as load:
        await asyncio.sleep(1.0)
        os.kill(pid, signal.SIGKILL)
        killed_at = asyncio.get_running_loop().time()
        await asyncio.to_thread(wait_for, lambda: any(at > killed_at for at in load.tally.whole_started_at))
        await asyncio.to_thread(wait_for, lambda: stack.pids().get(victim) not in (None, pid))
    # A stream that had begun on the victim is cut and can't be told again; all others go elsewhere, and what comes
    # after the kill does not meet the dead at all.
    assert all(at < killed_at + 1.0 for at in load.tally.failed_started_at)
    assert len(load.tally.failures) <= 4
    assert [each for each in load.tally.failures if not each.startswith("cut after") and "payload" not in each] == []


async def test_a_killed_gateway_restarts_and_the_replicas_keep_running(stack: Stack):
    assert stack.up().code == 0
    before = stack.pids()
    (pid,) = stack.pids("gateway/envoy").values()
    os.kill(pid, signal.SIGKILL)
    killed_at = asyncio.get_running_loop().time()
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(f"{stack.url}/v1/chat/completions", json=chat_body(max_tokens=1)) as response:
                    if response.status == 200:
                        break
            except aiohttp.ClientError:
                pass
            assert asyncio.get_running_loop().time() - killed_at < 20
            await asyncio.sleep(0.01)
    assert stack.pids() == before


async def test_scaling_up_and_down_under_load_loses_no_request(stack: Stack):
    assert stack.up().code == 0
    async with Load(stack.url, clients=12) as load:
        stack.write(THREE)
        await asyncio.to_thread(wait_for, lambda: len(stack.pids()) == 3)
        await asyncio.sleep(1.0)
        stack.write(CHAT)
        await asyncio.to_thread(wait_for, lambda: len(stack.replicas()) == 1, timeout_s=60)
        await asyncio.sleep(0.5)
    assert load.tally.failures == []


async def test_a_new_revision_under_load_loses_no_request(stack: Stack):
    assert stack.up().code == 0
    before = stack.pids()
    async with Load(stack.url, clients=6) as load:
        stack.write(CHAT.replace("parallel: 4", "parallel: 2"))
        await asyncio.to_thread(
            wait_for, lambda: len(stack.replicas()) == 1 and stack.pids() and stack.pids() != before, timeout_s=60
        )
    assert load.tally.failures == []


def test_a_hanging_replica_is_restarted(stack: Stack):
    stack.write(CHAT + "  health: {interval: 500ms, timeout: 1s, failureThreshold: 2}\n")
    assert stack.up().code == 0
    (pid,) = stack.pids().values()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: stack.pids() and pid not in stack.pids().values())


async def test_600_clients_at_one_replica_do_not_get_it_killed_for_being_busy(stack: Stack):
    """A2: number 513 held up the health probe, and the replica was killed with everything it was doing."""
    stack.write(CHAT + "  health: {interval: 500ms, timeout: 1s}\n")
    assert stack.up().code == 0
    before = stack.pids()
    answers: list[int] = []

    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.post(f"{stack.url}/v1/chat/completions", json=chat_body(max_tokens=48)) as response:
            answers.append(response.status)

    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        asking = [asyncio.create_task(ask(session)) for _ in range(600)]
        for _ in range(20):
            await asyncio.sleep(1.0)
            assert await asyncio.to_thread(stack.pids) == before, "the replica is not ready any more"
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    assert set(answers) <= {200}
    assert [replica["restarts"] for replica in stack.replicas()] == [0]


def test_a_spec_error_is_reported_and_changes_no_replica(stack: Stack):
    assert stack.up().code == 0
    before = stack.pids()
    stack.write(CHAT.replace("replicas: 1", "replcas: 3"))
    tree = wait_for(lambda: (stack.ask_status() or {}).get("problems"))
    assert "replcas" in tree[0]["says"]
    assert tree[0]["where"] == {"file": "chat.yaml", "line": 6, "column": 3}
    assert stack.pids() == before
    shown = stack.bateau("status")
    assert "chat.yaml:6:3" in shown.out
    stack.write(CHAT)
    wait_for(lambda: not (stack.ask_status() or {"problems": 1})["problems"])
    assert stack.pids() == before


def test_a_restart_with_broken_specs_keeps_the_replicas(stack: Stack):
    assert stack.up().code == 0
    before = stack.pids()
    stack.kill_control()
    stack.write("apiVersion: bateau.dev/v1alpha1\nkind: Modle\n")
    stack.up()
    assert stack.pids() == before


def test_removing_the_runtime_directory_of_the_login_affects_nothing(stack: Stack):
    """A1: /run/user/UID is removed at logout, while a detached instance runs on."""
    assert stack.up().code == 0
    before = {**stack.pids(), **stack.pids("gateway/envoy")}
    shutil.rmtree(stack.base / "run")
    assert stack.post("/v1/chat/completions", chat_body())["choices"]
    assert {**stack.pids(), **stack.pids("gateway/envoy")} == before
    stack.write(THREE)
    wait_for(lambda: len(stack.pids()) == 3)
    done = stack.bateau("down")
    assert done.code == 0, done.err
    assert stack.processes() == []


def test_an_instance_whose_sockets_are_removed_serves_again_with_the_same_control_plane(stack: Stack):
    """Issue 8, `Shows`: Envoy waited for its control channel for ever, and the next `up` was a second control plane."""
    assert stack.up().code == 0
    control = stack.control_pid()
    shutil.rmtree(stack.base / "state" / "bateau" / "default" / "run")
    wait_for(stack.ask_status)
    assert stack.control_pid() == control
    again = stack.up()
    assert again.code == 3
    assert "default is up already" in again.err
    # Envoy and the replica are restarted, because nothing can reach them.
    wait_for(lambda: stack.replicas("gateway/envoy")[0]["restarts"] and stack.pids("gateway/envoy"), timeout_s=60)
    wait_for(stack.pids, timeout_s=60)
    assert stack.post("/v1/chat/completions", chat_body())["choices"]
    done = stack.bateau("down")
    assert done.code == 0, done.err
    assert stack.processes() == []


def test_down_after_a_dead_control_plane_leaves_nothing(stack: Stack):
    assert stack.up().code == 0
    stack.kill_control()
    done = stack.bateau("down")
    assert done.code == 0, done.err
    assert stack.processes() == []
