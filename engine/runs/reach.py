"""Reach: the access of a task or a run beyond that of every task. A person must agree to it; one line each."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import UsageError
from engine.settings.decode import deep_merge
from engine.settings.executor import ExecutorSettings
from engine.settings.model import RetrievalSettings, Settings, designs_by_command
from engine.settings.models import ModelSpec
from engine.settings.named_paths import named_mounts
from engine.state.run_state import RunState
from engine.task.load import BUILTIN_TASKS
from engine.task.snapshot import large_paths, links_out
from engine.task.spec import Task, TaskSpec

__all__ = [
    "CONTAINERS",
    "NO_SANDBOX",
    "TRUSTED_EVALUATOR",
    "UNCONFINED",
    "Layer",
    "check_way_out",
    "foreign_endpoints",
    "paths_of_run",
    "reach_of_run",
]
__all__ += ["reach_of_settings", "reach_of_task", "reads_outside"]

Layer = tuple[str, Mapping[str, Any]]
"""The origin of a table of settings, and the table."""

NO_SANDBOX = "this machine has no sandbox, so that its code can do all that you can"
"""A property of this machine, not a request of the task."""
TRUSTED_EVALUATOR = 'its evaluator runs UNCONFINED, as evaluator = "trusted" asks: it can do all that you can'
CONTAINERS = (
    'its evaluator runs UNCONFINED, as evaluator = "container" asks, and runs candidates in containers: it can do all '
    "that you can, and so can the builds of its images"
)
UNCONFINED = frozenset({TRUSTED_EVALUATOR, CONTAINERS})


def reach_of_task(task: Task, settings: Settings, own: Sequence[Layer]) -> frozenset[str]:
    """Return the reach of a task folder.

    Args:
        task: the folder, read and checked.
        settings: those of its next run.
        own: the tables of settings that a person wrote; endpoints that they name are the person's.
    """
    reads = (f"it reads {path}" for path in reads_outside(task))
    return frozenset([*_of_spec(task.spec, task.folder), *reads, *reach_of_settings(settings, own)])


def reach_of_run(state: RunState, settings: Settings, own: Sequence[Layer]) -> frozenset[str]:
    """Return the reach of a run.

    A journal may come from anywhere, and so may its record of its origin: every path that it names here counts.

    Args:
        state: the run.
        settings: those that it goes on with.
        own: the tables of settings that a person wrote.
    """
    start = state.start
    reads = [f"it reads {path}" for path in paths_of_run(state)]
    if start.priors:
        reads.append(f"it reads priors in {start.priors}")
    return frozenset([*_of_spec(state.spec, Path(start.source)), *reads, *reach_of_settings(settings, own)])


def paths_of_run(state: RunState) -> list[Path]:
    """Return the paths that evaluations of a run read on this machine, except the run's own copy of its task."""
    mounts = [Path(os.path.realpath(Path(state.start.source, mount))) for mount in state.spec.all_mounts]
    return sorted({*mounts, *large_paths(state.start.large_files).values()})


def reads_outside(task: Task) -> list[Path]:
    """Return the paths that a task reads outside of its folder, by `mounts` or links, sorted.

    Built-in tasks share files by links: what they hold together is the application's own.
    """
    own = Path(os.path.realpath(task.folder))
    mounts = {Path(os.path.realpath(task.folder / mount)) for mount in task.spec.all_mounts}
    shared = own.parent if own.parent == Path(os.path.realpath(BUILTIN_TASKS)) else own
    links = (link for link in links_out(task.folder) if not link.is_relative_to(shared))
    return sorted({*(mount for mount in mounts if not mount.is_relative_to(own)), *links})


def check_way_out(reads: Iterable[Path], settings: Settings, own: Sequence[Layer]) -> None:
    """Refuse folders of this machine together with an endpoint, unless a person named one of the two.

    Args:
        reads: what evaluations read outside of the task's folder.
        settings: those of the run.
        own: the tables of settings that a person wrote.

    Raises:
        UsageError: it names the folder and the endpoint.
    """
    foreign = [endpoint for endpoint in foreign_endpoints(settings, own) if endpoint.base_url]
    allowed = [Path(os.path.realpath(path)) for path in named_mounts()]
    strange = [path for path in reads if not any(path.is_relative_to(folder) for folder in allowed)]
    if foreign and strange:
        table, url, _ = foreign[0]
        raise UsageError(
            f"the task lets its programs read {strange[0]} and sends texts to an endpoint of its own, {url}",
            f'If you trust it, name one of the two in config.toml: [mounts] paths = ["{strange[0]}"], or '
            f'base_url = "{url}" in [{table}]',
        )


def _of_spec(spec: TaskSpec, folder: Path) -> Iterator[str]:
    if spec.python is not None:
        named = os.path.normpath(folder / spec.python) if "/" in spec.python else spec.python
        yield f"its interpreter is {named}"
    if spec.unconfined:
        yield CONTAINERS if spec.evaluator == "container" else TRUSTED_EVALUATOR
    if spec.gpu:
        yield "it uses a GPU"


def reach_of_settings(settings: Settings, own: Sequence[Layer]) -> Iterator[str]:
    """Yield the reach that settings add: endpoints and folders of models that no person named."""
    for endpoint in foreign_endpoints(settings, own):
        what = "texts to compare" if endpoint.table == "run.retrieval" else "prompts"
        with_key = f", with the key in {endpoint.key_env}" if endpoint.key_env else ""
        yield f"it sends {what} to {endpoint.base_url or 'OpenAI'}{with_key}"
    yield from _of_executor(settings.executor, _said(own, "executor"))
    yield from _of_command(settings, _said(own, "command"))
    retrieval = settings.retrieval
    if retrieval.embedder == "sentence-transformers" and retrieval.model != _said(own, "retrieval").get("model"):
        yield f"it loads a model from {retrieval.model}"


def _of_executor(executor: ExecutorSettings, said: dict[str, Any]) -> Iterator[str]:
    """Yield the cluster that a run uses, unless a person named it."""
    if executor.name == "ray" and (said.get("name"), said.get("address", "auto")) != ("ray", executor.address):
        yield f"it runs its programs on a ray cluster, at {executor.address}"
    if executor.name == "slurm":
        known = (said.get("name"), said.get("options", []), said.get("scratch", ""), said.get("python", ""))
        if known != ("slurm", executor.options, executor.scratch, executor.python):
            given = " ".join([executor.python, executor.scratch, *executor.options]).strip()
            yield f"it submits its programs to a slurm cluster{f', by {given}' if given else ''}"


def _of_command(settings: Settings, said: dict[str, Any]) -> Iterator[str]:
    """Yield the command that a run designs with, and what it may, unless a person named that for the same command."""
    command = settings.command
    if not designs_by_command(settings) or settings.answers:
        return
    if command.run != said.get("run", []):
        yield f"its programs are written by a command that runs here: {shlex.join(command.run)}"
        said = {}  # what a person lets a command of theirs have is not for another one
    if command.network and not said.get("network"):
        yield "that command uses the network, and all that you reach by it"
    given = [name for name in command.environment if name not in said.get("environment", [])]
    if given:
        yield f"that command gets the variables {', '.join(given)}"
    reads = [path for path in command.readable if path not in said.get("readable", [])]
    # Files that its words name are shown to it, too.
    reads += [word for word in command.run[1:] if word.startswith("/") and word not in said.get("run", [])]
    for path in reads:
        yield f"that command reads {path}"


class Endpoint(NamedTuple):
    """Where texts are sent."""

    table: str
    """The key of config.toml that would name it."""
    base_url: str
    key_env: str


def foreign_endpoints(settings: Settings, own: Sequence[Layer]) -> list[Endpoint]:
    """Return the endpoints of a run that no person named.

    Args:
        settings: those of the run.
        own: the tables of settings that a person wrote.
    """
    tables = [(table, ModelSpec().key_env) for table in _said(own, "models").values()]
    tables.append((_said(own, "retrieval"), RetrievalSettings().key_env))
    named = {(table.get("base_url", ""), table.get("key_env", default)) for table, default in tables}
    found = []
    if not settings.answers:  # else recorded answers are given again
        found += [Endpoint(f"models.{name}", each.base_url, each.key_env) for name, each in settings.models.items()]
    if settings.retrieval.embedder == "endpoint":
        found.append(Endpoint("run.retrieval", settings.retrieval.base_url, settings.retrieval.key_env))
    return [endpoint for endpoint in found if (endpoint.base_url, endpoint.key_env) not in named]


def _said(own: Sequence[Layer], key: str) -> dict[str, Any]:
    """Return a person's settings under one key."""
    said: dict[str, Any] = {}
    for _, layer in own:
        said = deep_merge(said, layer.get(key, {}))
    return said
