"""Read a story (commands, `----`, output), run its commands again, and compare the output.

The commands: `want SERVICE REVISION REPLICAS [drain=SECONDS] [surge=N]`, `unwant SERVICE`, `ready ID...`, `dies ID`,
`restarts ID`, `unready ID`, `stopping ID`, `stopped ID`, `flight ID N|unknown`, `wait SECONDS`, `plan` (carries out
what it prints; a stopped replica is gone at once) and `show`.
"""

from collections.abc import Callable, Sequence

from bateau.domain.replica import ReplicaState
from bateau.runtimes.local.steps import Desired
from runtimes.simulation import Simulation

RULER = "----"
_STATES = {
    "ready": ReplicaState.READY,
    "dies": ReplicaState.BACKOFF,
    "restarts": ReplicaState.STARTING,
    "unready": ReplicaState.UNREADY,
    "stopping": ReplicaState.STOPPING,
}


def retell(text: str) -> str:
    """Return the story with the outputs that come out now; comments and commands stay as they are."""
    world = Simulation()
    told: list[str] = []
    for block in text.strip("\n").split("\n\n"):
        head, ruler, _ = block.partition(f"\n{RULER}")
        if not ruler:
            told.append(block)
            continue
        commands = [line for line in head.splitlines() if not line.startswith("#")]
        lines = [line for command in commands for line in _carry_out(world, command.split())]
        told.append("\n".join([head, RULER, *(lines or ["ok"])]))
    return "\n\n".join(told) + "\n"


def _carry_out(world: Simulation, words: Sequence[str]) -> list[str]:
    command, *arguments = words
    if command in _STATES:
        for replica in arguments:
            world.move(replica, _STATES[command])
        return []
    does: dict[str, Callable[[Simulation, Sequence[str]], list[str]]] = {
        "want": _want,
        "unwant": _unwant,
        "flight": _flight,
        "stopped": _stopped,
        "wait": _wait,
        "plan": _plan,
        "show": _show,
    }
    return does[command](world, arguments)


def _want(world: Simulation, arguments: Sequence[str]) -> list[str]:
    service, revision, replicas, *more = arguments
    options = dict(option.split("=") for option in more)
    world.desired[service] = Desired(
        service=service,
        revision=revision,
        replicas=int(replicas),
        drain_timeout_s=float(options.get("drain", 30)),
        max_surge=int(options.get("surge", 1)),
    )
    return []


def _unwant(world: Simulation, arguments: Sequence[str]) -> list[str]:
    del world.desired[arguments[0]]
    return []


def _flight(world: Simulation, arguments: Sequence[str]) -> list[str]:
    replica, count = arguments
    world.in_flight[replica] = None if count == "unknown" else int(count)
    return []


def _stopped(world: Simulation, arguments: Sequence[str]) -> list[str]:
    world.remove(arguments[0])
    return []


def _wait(world: Simulation, arguments: Sequence[str]) -> list[str]:
    world.now += float(arguments[0])
    return []


def _plan(world: Simulation, _: Sequence[str]) -> list[str]:
    steps = world.plan()
    world.carry_out(steps)
    return [f"{step.act:5} {step.replica}: {step.reason}" for step in steps] or ["nothing to do"]


def _show(world: Simulation, _: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for replica in sorted(world.replicas.values(), key=lambda r: r.id):
        draining = f", draining for {world.draining[replica.id].seconds:g} s" if replica.id in world.draining else ""
        lines.append(f"{replica.id} {replica.revision} {replica.state}{draining}")
    return lines or ["no replicas"]
