"""Evaluations that are submitted to an executor which outlives engines: what is in flight, and what was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.journal import events as ev
from engine.journal.events import Event
from engine.state.node import Submitted
from engine.state.run_state import RunState
from engine.task.spec import TaskSpec

__all__ = ["SUBMISSION_HANDLERS", "machines_differ", "name_of_draw", "name_of_evaluation", "scores_depend_on_machine"]
__all__ += ["settle"]


def name_of_evaluation(node: int, stage: str, repeat: int) -> str:
    """Return the name of an evaluation within its run."""
    return f"{node}-{stage}-{repeat}"


def name_of_draw(node: int, draw: int, of: int) -> str:
    """Return the name of a measurement on fresh data: of one node's program, to verify a node."""
    return f"{node}-fresh{draw}-{of}"


def settle(state: RunState, name: str) -> None:
    """Forget the submission of an evaluation whose outcome is recorded."""
    state.submitted.pop(name, None)


def scores_depend_on_machine(spec: TaskSpec) -> bool:
    """Tell whether scores of a task may be compared only if one machine, or one kind of them, measured both."""
    return bool(spec.noisy or spec.exclusive or spec.gpu)


def machines_differ(state: RunState, node: int) -> str:
    """Return how the machine of a node's evaluation, which has not ended, differs from its parent's; empty if it does
    not, or if no score of the task depends on the machine."""
    spec, evaluation, parents = state.spec, state.evaluations.get(node), state.nodes[node].parents
    if not scores_depend_on_machine(spec) or not parents or evaluation is None or not evaluation.done:
        return ""
    there = [state.machines.get(key) for key in (state.nodes[parents[0]].machine, evaluation.done[-1].machine)]
    if there[0] is None or there[1] is None or there[0].machine == there[1].machine:
        return ""
    before, now = there[0].facts, there[1].facts
    changed = [f"{key} {before.get(key, 'none')} → {now.get(key, 'none')}" for key in sorted({*before, *now})
               if before.get(key) != now.get(key)]  # fmt: skip
    return f"measured on another machine than its parent #{parents[0]}: {', '.join(changed)}"


def _submitted(state: RunState, event: Event, data: ev.EvalSubmitted) -> None:
    before = state.submitted.get(data.work)
    avoid = before.avoid if before is not None and before.key == data.key else ()
    state.submitted[data.work] = Submitted(data.key, data.attempt, avoid=avoid, executor=data.executor)


def _placed(state: RunState, event: Event, data: ev.EvalPlaced) -> None:
    known = state.submitted.get(data.work)
    if known is not None and (known.key, known.attempt) == (data.key, data.attempt):
        known.handle, known.host = data.handle, data.host
    evaluation = state.evaluations.get(event.node or 0)
    if evaluation is not None:
        evaluation.host = data.host


def _lost(state: RunState, event: Event, data: ev.EvalLost) -> None:
    known = state.submitted.get(data.work)
    if known is not None and data.host and data.host not in known.avoid:
        known.avoid = (*known.avoid, data.host)
    state.losses[data.host] = state.losses.get(data.host, 0) + 1
    evaluation = state.evaluations.get(event.node or 0)
    if evaluation is not None:
        evaluation.host = ""


def _machine_seen(state: RunState, event: Event, data: ev.MachineSeen) -> None:
    state.machines[data.machine] = data


def _cluster_changed(state: RunState, event: Event, data: ev.ClusterChanged) -> None:
    for name in data.left:
        state.cluster.pop(name, None)
    state.cluster.update({machine.name: machine for machine in data.joined})


SUBMISSION_HANDLERS: dict[str, Callable[[RunState, Event, Any], None]] = {
    ev.EvalSubmitted.KIND: _submitted,
    ev.EvalPlaced.KIND: _placed,
    ev.EvalLost.KIND: _lost,
    ev.MachineSeen.KIND: _machine_seen,
    ev.ClusterChanged.KIND: _cluster_changed,
}
