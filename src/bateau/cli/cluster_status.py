"""`bateau status` and `bateau logs` of an environment that runs on clusters.

Called by cli.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from bateau.cli.exit_codes import EXIT_WORLD_FAILED

if TYPE_CHECKING:
    from pathlib import Path

    from bateau.control.destinations import Destination
    from bateau.domain.change import Delivery
    from bateau.domain.errors import ClusterError
    from bateau.kit.json_value import Json, JsonObject
    from bateau.ports.runtime import Observed
    from bateau.wiring.question import Question


def places_of(environment: str, directory: "Path") -> "tuple[Question, Sequence[Destination]]":
    """Return the clusters of an environment. Raises UsageError if it has none."""
    from bateau.wiring.comparing import clusters_of, why_without_clusters
    from bateau.wiring.question import Question

    question = Question(directory=directory, environment=environment)
    places = clusters_of(question)
    if not places:
        raise click.UsageError(f"{why_without_clusters(question)}; without --env, this machine is shown")
    return question, places


def named(places: "Sequence[Destination]", environment: str, cluster: str | None) -> "Sequence[Destination]":
    """Return the cluster of a name, or all without one. Raises UsageError if the environment has no such cluster."""
    found = [each for each in places if cluster in (None, each.name)]
    if not found:
        from bateau.kit.suggest import listed

        raise click.UsageError(f"{environment} has no cluster {cluster}: {listed([each.name for each in places])}")
    return found


def show_status(environment: str, directory: "Path", *, as_json: bool) -> int:
    """Print one line per service and cluster, and return the exit code."""
    from bateau.cli.table import table
    from bateau.domain.errors import ClusterError
    from bateau.kit.json_value import array_at, is_object
    from bateau.kit.visible import visible

    question, places = places_of(environment, directory)
    trees: list[JsonObject] = []
    code = 0
    for place, seen, plan in asyncio.run(_seen(question, places)):
        if isinstance(seen, ClusterError):
            trees.append({"cluster": place.name, "unknown": seen.message, "hint": seen.hint})
            code = EXIT_WORLD_FAILED
        else:
            trees.append({"cluster": place.name, "services": [*_services(seen, plan)], "drift": _drift(plan)})
    if as_json:
        from bateau.api.encoding import encode

        click.echo(encode({"environment": environment, "clusters": trees}))
        return code
    rows = [
        (str(tree["cluster"]), *(str(each[key]) for key in ("service", "state", "ready", "restarts")))
        for tree in trees
        for each in filter(is_object, array_at(tree, "services"))
    ]
    notes = [note for tree in trees for note in _notes(tree)]
    if rows or notes:
        click.echo(table(("CLUSTER", "SERVICE", "STATE", "READY", "RESTARTS"), rows))
    else:
        click.echo(f"nothing of {environment} is applied; use `bateau apply --env {environment}`")
    for note in notes:
        click.echo(visible(note))
    return code


def _notes(tree: "JsonObject") -> "Iterator[str]":
    """Yield why a cluster is unknown, why a service is not ready, and the drift."""
    from bateau.kit.json_value import array_at, is_object

    name = tree["cluster"]
    if "unknown" in tree:
        yield f"{name}: unknown: {tree['unknown']}" + (f"\n  hint: {tree['hint']}" if tree["hint"] else "")
    elif tree["drift"] is None:
        yield f"{name}: drift is not known: the specs have errors; see `bateau check`"
    for each in filter(is_object, array_at(tree, "services")):
        if each["reason"]:
            yield f"{name}  {each['service']}: {each['reason']}"
    for each in filter(is_object, array_at(tree, "drift")):
        yield f"{name}  {each['object']}: {each['field']} was {each['did']} by {each['manager']}"


async def _seen(
    question: "Question", places: "Sequence[Destination]"
) -> "Sequence[tuple[Destination, Observed | ClusterError, Delivery | None]]":
    """Return the state of each cluster, and its plan; None if the specs have errors."""
    from bateau.wiring.clusters import observed_on, on_each, plans_on
    from bateau.wiring.delivery import rendered

    made = await asyncio.to_thread(rendered, question)
    if made.mistaken:
        return [(place, seen, None) for place, seen in await on_each(places, partial(observed_on, question))]
    answers, plans = await asyncio.gather(
        on_each(places, partial(observed_on, question)), plans_on(question, places, made, confirmed=None)
    )
    return [(place, seen, plan) for (place, seen), plan in zip(answers, plans, strict=True)]


def _drift(plan: "Delivery | None") -> "Json":
    """Return the fields that others have changed or added; None if there is no plan."""
    from bateau.domain.change import object_name

    if plan is None:
        return None
    if plan.drift is None:
        return []
    return [
        {"object": object_name(key), "field": path, "manager": manager, "did": did}
        for did, fields in (
            ("changed", (*plan.drift.repaired, *plan.drift.left)),
            ("added", plan.drift.added),
        )
        for key, path, manager in fields
    ]


def show_logs(environment: str, directory: "Path", service: str, *, lines: int) -> int:
    """Print the last lines of each pod of a service, and return the exit code."""
    from bateau.cli.problems import error_text
    from bateau.domain.errors import ClusterError
    from bateau.kit.visible import visible
    from bateau.wiring.clusters import logs_on, on_each

    question, places = places_of(environment, directory)
    keys = [service] if "/" in service else [f"model/{service}", f"app/{service}"]
    code = 0
    shown = False

    async def logs(place: "Destination") -> "Mapping[str, str]":
        return await logs_on(question, place, keys, lines=lines)

    for place, found in asyncio.run(on_each(places, logs)):
        if isinstance(found, ClusterError):
            click.echo(visible(f"{place.name}: unknown: {error_text(found)}"), err=True)
            code = EXIT_WORLD_FAILED
            continue
        for pod, text in found.items():
            shown = True
            for line in text.splitlines():
                click.echo(visible(f"{place.name}/{pod}  {line}"))
    if not shown and code == 0:
        raise click.UsageError(f"no pod of {service} runs in {environment}")
    return code


def _services(seen: "Observed", plan: "Delivery | None") -> "Sequence[JsonObject]":
    from bateau.control.rollout import parts_of, service_state, troubles_of

    troubles = troubles_of(seen)
    waits = _waits(seen, plan)
    found: list[JsonObject] = []
    for service, part in sorted(parts_of(seen).items()):
        if not part.objects:
            continue
        replicas = [each for each in part.replicas if not each.draining]
        ready = sum(each.state.value in ("Ready", "Done") for each in replicas)
        found.append(
            {
                "service": service,
                "state": service_state(part, service).value,
                "ready": f"{ready}/{len(replicas)}" if replicas else "-",
                "restarts": sum(each.restarts for each in replicas),
                "reason": troubles.get(service) or waits.get(service),
                "replicas": [{"id": r.id, "state": r.state.value, "reason": r.reason} for r in replicas],
            }
        )
    return found


def _waits(seen: "Observed", plan: "Delivery | None") -> "Mapping[str, str]":
    """Return what each service waits for: its objects that do not exist, or the first one that is not healthy.

    An object that the account may not read is not known to be healthy.
    """
    from bateau.domain.change import object_name

    found: dict[str, str] = {}
    missing: dict[str, list[str]] = {}
    for change in plan.changes if plan else ():
        if change.act == "create" and change.service:
            missing.setdefault(change.service, []).append(object_name(change.key))
    for each in seen.objects:
        if each.service and (not each.settled or each.reason == "Forbidden"):
            found.setdefault(each.service, f"{object_name(each.key)}: {each.says}")
    return {service: f"not on the cluster: {', '.join(names)}" for service, names in missing.items()} | found
