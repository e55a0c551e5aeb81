"""Helpers that the `evolve priors` commands share: find the collection, read and print priors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from cognition.collection import Collection
from cognition.entry import Entry
from cognition.prior import PriorError, check_text, head_problem
from cognition.store import CognitionError
from cognition.sync import Problem, Sync
from engine.cli.app import print_json
from engine.cli.complete import task_names
from engine.errors import EvolveError, UsageError
from engine.journal.clock import iso_time
from engine.text import visible

__all__ = [
    "PriorId",
    "TaskOption",
    "find",
    "iso",
    "opened",
    "read_text",
    "state_of",
    "tell",
    "warn_of_head",
    "whole",
]

TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="A built-in task, a task folder or a run folder; by default the one used last.",
        autocompletion=task_names,
    ),
]
PriorId = Annotated[str, typer.Argument(metavar="ID", help="The prior's id, or its beginning.")]


@contextmanager
def opened(task: str | None, warns: bool = True) -> Iterator[Collection]:
    """Open the collection of `--task`; sync its files with the base before and after.

    Args:
        task: the option.
        warns: whether problems with its files are printed on stderr.

    Raises:
        EvolveError: there is no such collection, or the command cannot be carried out.
    """
    from engine.priors.place import open_collection

    try:
        collection = open_collection(_place(task))
        try:
            _sync(collection, warns)
            generation = collection.generation()
            yield collection
            if collection.generation() != generation:
                _sync(collection, warns)
        finally:
            collection.store.close()
    except CognitionError as exc:
        raise EvolveError(exc.message, exc.hint) from None
    except PriorError as exc:
        raise UsageError(str(exc)) from None


def _sync(collection: Collection, warns: bool) -> None:
    report = Sync(collection).run()
    for problem in report.problems:
        # One that is about no file is gone with this pass.
        if warns or not problem.name:
            print(f"warning: {_describe(collection, problem)}", file=sys.stderr)


def _describe(collection: Collection, problem: Problem) -> str:
    return visible(f"{collection.folder / problem.name}: {problem.text}" if problem.name else problem.text)


def _place(task: str | None) -> Any:
    """Return the place of the priors of `--task`."""
    from cognition.store import Store
    from engine.journal.reader import JournalReader
    from engine.priors.place import PriorPlace, base_path, place_in_journal, place_of_task
    from engine.runs.folder import Run
    from engine.task.load import find_task, load_task

    if task is not None and (Path(task) / "run.db").is_file():
        run = Run(Path(task).absolute())
        with JournalReader(run.db) as reader:
            return place_in_journal(run.folder, reader)
    if task is not None:
        return place_of_task(load_task(find_task(task)))
    known = []
    if base_path().exists():
        with Store(base_path()) as store:
            known = store.collections()
    if not known:
        raise UsageError("no task's priors have been used yet", "Name the task with --task TASK")
    if len(known) > 1:
        print(f"priors of {visible(known[0].id)} (others: {_names(known[1:])})", file=sys.stderr)
    return PriorPlace(base_path(), known[0].id, known[0].name, known[0].folder)


def _names(known: list[Any]) -> str:
    return visible(", ".join(info.id for info in known[:5])) + (", …" if len(known) > 5 else "")


def find(collection: Collection, name: str) -> Entry:
    """Return the prior with this id, or the only one whose id begins so."""
    exact = collection.find(name)
    if exact is not None:
        return exact
    everything = collection.entries("active", "pending", "rejected", "removed")
    fitting = [entry for entry in everything if entry.id.startswith(name)]
    if len(fitting) > 1:
        raise UsageError(
            f"'{name}' matches several priors: {', '.join(e.id for e in fitting[:8])}", "Type more of the id"
        )
    return fitting[0] if fitting else collection.get(name)


def state_of(entry: Entry) -> str:
    """Return a word or two that say whether the prior is in use."""
    if entry.status != "active":
        return entry.status
    return "file is gone" if entry.gone else "on" if entry.prior.enabled else "off"


def whole(entry: Entry) -> dict[str, Any]:
    """Return a prior as plain data for JSON."""
    prior = entry.prior
    return {
        "id": prior.id, "revision": prior.number, "sha256": prior.revision, "title": prior.title,
        "tags": list(prior.tags), "source": prior.source, "origin": entry.origin, "weight": prior.weight,
        "enabled": prior.enabled, "status": entry.status, "gone": entry.gone, "author": entry.author,
        "message": entry.message, "changed": iso(entry.changed_at), "evidence": dict(entry.evidence),
        "reason": entry.reason, "former": list(entry.former),
    }  # fmt: skip


def iso(at: int) -> str:
    """Format milliseconds since 1970 as an ISO time in UTC; empty for 0."""
    return iso_time(at) if at else ""


def tell(entry: Entry, json: bool) -> None:
    """Print a prior after a change."""
    if json:
        print_json(whole(entry))
    else:
        print(f"{visible(entry.id)}: revision {entry.prior.number}, {state_of(entry)}, weight {entry.prior.weight:g}")


def warn_of_head(entry: Entry) -> None:
    """Warn on stderr if a prior's front matter cannot be read as front matter."""
    problem = head_problem(entry.prior.text)
    if problem:
        print(f"warning: {visible(entry.id)}: {visible(problem)}", file=sys.stderr)


def read_text(file: Path) -> str:
    """Return the text of a file that is to become a prior.

    Raises:
        UsageError: the file cannot be read, or its text cannot be a prior.
    """
    try:
        text = file.read_text(encoding="utf-8")
        check_text(text)
        return text
    except PriorError as exc:
        raise UsageError(f"{file}: {exc}") from None
    except UnicodeDecodeError as exc:
        raise UsageError(f"{file} is not UTF-8 text: {exc.reason} at byte {exc.start}") from None
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror}") from None
