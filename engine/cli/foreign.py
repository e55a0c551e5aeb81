"""Open a task by name, and tell what became of a folder of another system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.progress import tell
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.settings.named_paths import name_interpreter
from engine.state.fold import fold_run
from engine.task.load import find_task, load_task
from engine.task.spec import Container, Task
from engine.text import visible

__all__ = [
    "ContainerOption",
    "InstanceOption",
    "KindOption",
    "MetricOption",
    "NetworkOption",
    "PythonOption",
    "allowed_containers",
    "choice_of",
    "given_interpreter",
    "keep_interpreter",
    "open_like",
    "open_task",
]

PythonOption = Annotated[
    str, typer.Option("--python", metavar="PATH", help="Interpreter for a task of another system.")
]
MetricOption = Annotated[
    str,
    typer.Option("--metric", metavar="KEY", help="Key of the score of a task of another system, if not its format's."),
]
ContainerOption = Annotated[
    bool, typer.Option("--container", help="Run the evaluator of a task of another system in containers.")
]
InstanceOption = Annotated[
    str, typer.Option("--instance", metavar="NAME", help="The task's instance to search, by its name in task.toml.")
]
KindOption = Annotated[
    str,
    typer.Option(
        "--kind", metavar="KIND", help="construct, or improve: programs are handed the best construction so far."
    ),
]
NetworkOption = Annotated[bool, typer.Option("--container-network", help="The same, and give them the network.")]


def open_task(
    name: str,
    python: str = "",
    metric: str = "",
    container: bool = False,
    container_network: bool = False,
    instance: str = "",
    kind: str = "",
) -> Task:
    """Return a task, and print on stderr what was taken from a folder of another system.

    Args:
        name: a built-in task or a folder.
        python: the interpreter that a person gives; a relative path starts at the working directory.
        metric: the key of the score that a person gives.
        container: whether containers may be started.
        container_network: whether they may, and get the network.
        instance: the instance to search.
        kind: whether programs construct or improve.

    Raises:
        TaskError: there is no such task, or a part of it is wrong.
    """
    allowed = allowed_containers(container, container_network)
    task = load_task(find_task(name), given_interpreter(python), metric, allowed, instance, kind)
    for note in task.notes:
        tell(visible(note))
    return task


def choice_of(run: Run) -> tuple[str, str]:
    """Return the instance and the kind that a run was started with."""
    with JournalReader(run.db) as reader:
        spec = fold_run(reader).spec
    return spec.instance, spec.kind


def open_like(name: str, run: Run) -> Task:
    """Return a task to go on with: its instance and its kind are those of a run.

    Raises:
        TaskError: there is no such task, a part of it is wrong, or it has no such instance or kind.
    """
    instance, kind = choice_of(run)
    return open_task(name, instance=instance, kind=kind)


def allowed_containers(container: bool, container_network: bool) -> Container | None:
    """Return what a person allows for containers; None if none may be started."""
    return Container(container_network) if container or container_network else None


def given_interpreter(python: str) -> str:
    """Return an interpreter that a person gives; a path is made absolute."""
    # Links are not followed: they lead out of a virtual environment.
    return os.path.normpath(Path.cwd() / Path(python).expanduser()) if "/" in python else python


def keep_interpreter(python: str) -> None:
    """Remember an interpreter that a person gives, once the task is loaded and the person has agreed to it.

    Raises:
        UsageError: that cannot be kept.
    """
    if "/" in python:
        name_interpreter(given_interpreter(python))
