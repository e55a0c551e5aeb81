"""Choose what a run searches of a task: one of its instances, and whether programs construct or improve."""

from __future__ import annotations

import dataclasses

import msgspec

from engine.errors import TaskError
from engine.task.spec import Task, TaskSpec

__all__ = ["choose"]


def choose(task: Task, instance: str = "", kind: str = "") -> Task:
    """Return a task with the settings of an instance, and of a kind.

    Args:
        task: the task as it was loaded.
        instance: the instance's name; empty for the one in `[settings]`.
        kind: `construct` or `improve`; empty for the task's own.

    Raises:
        TaskError: it has no such instance, or programs of this kind cannot be asked of it.
    """
    spec = task.spec
    if instance:
        spec = _of_instance(spec, instance)
    if kind:
        if kind not in ("construct", "improve"):
            raise TaskError(f"a task's kind is construct or improve, not '{kind}'")
        spec = _of_kind(spec, kind)
    return task if spec is task.spec else dataclasses.replace(task, spec=spec)


def _of_instance(spec: TaskSpec, name: str) -> TaskSpec:
    found = spec.instances.get(name)
    if found is None:
        known = ", ".join(spec.instances)
        raise TaskError(
            f"the task '{spec.name}' has no instance '{name}'",
            f"It has {known}"
            if known
            else "Its task.toml has no [instances.NAME]: it has one instance, its [settings]",
        )
    return msgspec.structs.replace(
        spec,
        instance=name,
        summary=found.summary or spec.summary,
        settings={**spec.settings, **found.settings},
        direction=found.direction or spec.direction,
        bound=found.bound,
        bound_source=found.bound_source,
        min_gain=spec.min_gain if found.min_gain is None else found.min_gain,
    )


def _of_kind(spec: TaskSpec, kind: str) -> TaskSpec:
    """Return a task of a kind, with the functions that it requires of a program."""
    improving = spec.interface.improving
    functions = [name for name in spec.interface.functions if name not in improving]
    table = msgspec.to_builtins(spec)
    table["interface"]["functions"] = functions + improving if kind == "improve" else functions
    try:
        return msgspec.convert({**table, "kind": kind}, TaskSpec)
    except msgspec.ValidationError as exc:
        raise TaskError(f"the task '{spec.name}' cannot be of the kind '{kind}': {exc}") from None
