"""Write the run of another system as a journal, so that it replays, compares, exports, forks and goes on."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from engine.errors import EvolveError, RunError
from engine.journal import events as ev
from engine.journal.blobs import insert_blob
from engine.journal.clock import now_ms
from engine.journal.database import connect_writer, insert_event, sha256_of
from engine.programs.folders import check_editable, check_files
from engine.programs.minhash import sketch
from engine.programs.outline import ProgramError
from engine.runs.create import create_run
from engine.runs.folder import Run
from engine.runs.imports.asi_evolve import nodes_in, read_asi_evolve
from engine.runs.imports.asked import call_events
from engine.runs.imports.history import History, ImportedNode, clean, in_order
from engine.runs.imports.openevolve import output_in, read_openevolve
from engine.runs.imports.shinka import database_in, read_shinka
from engine.settings.model import Settings
from engine.task.spec import Task, TaskSpec
from engine.text import one_line

__all__ = ["Imported", "import_run", "read_history"]

_NAME_LENGTH = 200
_LESSON_LENGTH = 400
_MODES: dict[str, Literal["full", "diff", "crossover", "fix"]] = {
    "full": "full", "crossover": "crossover", "fix": "fix",
}  # fmt: skip


_OF_ROUND = ev.RoundStarted | ev.LearnDone | ev.CallStarted | ev.CallDone | ev.RoundEnded
"""Events of a round; the others are of its node."""


class Imported(NamedTuple):
    """A run that was made of another system's."""

    run: Run
    nodes: int
    best: int | None
    """The node with the best score."""
    theirs: int | None
    """The node that the other system calls its best; None if it names none."""
    lacking: list[str]


def read_history(folder: Path) -> History:
    """Return what a folder or file of another system's run holds.

    Raises:
        RunError: it is of no system that is known, or it cannot be read.
    """
    output = output_in(folder)
    if output is not None:
        return read_openevolve(output)
    nodes = nodes_in(folder)
    if nodes is not None:
        return read_asi_evolve(nodes)
    database = database_in(folder)
    if database is not None:
        return read_shinka(database)
    raise RunError(
        f"{folder} holds no run that is known here",
        "Known are checkpoints (metadata.json, programs/) and traces of OpenEvolve, databases of ShinkaEvolve "
        "(*.sqlite), and nodes.json of ASI-Evolve",
    )


def import_run(history: History, task: Task, settings: Settings, runs: Path, name: str, source: Path) -> Imported:
    """Write a run with the programs of another system's run; the task says how its search goes on.

    Args:
        history: that run.
        task: the task that it was about.
        settings: of the new run; `rounds` counts those after the import.
        runs: the folder for the run.
        name: its name; empty for one made of the task and the time.
        source: where it comes from.

    Raises:
        RunError: there is no program, ids contradict each other, or the run cannot be written.
    """
    clean(history)
    if task.spec.program.files:
        _check_folders(history.nodes, task)
    known = {node.key for node in history.nodes}
    for node in history.nodes:
        if not node.parents and node.operator == "imported":
            node.operator = "seed"
    lost = sum(1 for node in history.nodes if node.parents and known.isdisjoint(node.parents))
    if lost:
        history.lacking.append(
            f"{lost} program{'s have' if lost > 1 else ' has'} no parent left, and stand{'' if lost > 1 else 's'} as "
            f"{'ones' if lost > 1 else 'one'} to start from"
        )
    nodes = in_order(history.nodes)
    if not nodes:
        raise RunError(f"{source} holds no program")
    whole = msgspec.structs.replace(settings, rounds=settings.rounds + len(nodes) - 1)
    began = min((node.at for node in nodes if node.at), default=0) or now_ms()
    run = create_run(task, whole, runs, name, at=began)
    try:
        return _write(run, task.spec, history, nodes, source, began)
    except BaseException as exc:
        shutil.rmtree(run.folder, ignore_errors=True)
        if isinstance(exc, EvolveError) or not isinstance(exc, OSError | sqlite3.Error | ValueError):
            raise
        raise RunError(f"{run.folder} cannot be written: {exc}") from None


def _check_folders(nodes: Iterable[ImportedNode], task: Task) -> None:
    """Take the scores of programs that the task, whose programs are folders, could never measure."""
    program = task.spec.program
    for node in nodes:
        try:
            check_files(node.code, program.files)
            if program.editable:
                check_editable(task.seeds[0].code, node.code, program.editable)
        except ProgramError as exc:
            node.score, node.status, node.reason = None, "invalid", f"it is no program of this task: {exc.reason}"


def _write(run: Run, spec: TaskSpec, history: History, nodes: list[ImportedNode], source: Path, began: int) -> Imported:
    numbers = {node.key: number for number, node in enumerate(nodes)}
    connection = connect_writer(run.db)
    try:
        row = connection.execute("SELECT max(seq) FROM events").fetchone()
        seq, at = int(row[0]), began
        connection.execute("BEGIN IMMEDIATE")
        best: tuple[float, int] | None = None
        for number, node in enumerate(nodes):
            at = max(at, node.at)
            asked, blobs = ([], []) if node.call is None else call_events(number + 1, node.call, history.format)
            for blob in (_bytes(node.code), _bytes(node.feedback), *blobs):
                if blob:
                    insert_blob(connection, blob)
            for data in _events(number, node, numbers, spec, asked):
                seq += 1
                of_node = None if isinstance(data, _OF_ROUND) else number
                insert_event(connection, ev.Event(seq, at, number, of_node, data))
                score = data.score if isinstance(data, ev.EvalDone) else None
                if score is not None and (best is None or spec.better(score, best[0])):
                    previous = None if best is None else best[1]
                    best = (score, number)
                    seq += 1
                    insert_event(connection, ev.Event(seq, at, number, number, ev.BestCrowned(score, previous)))
        reason = f"imported from {history.format}: {source}"
        insert_event(connection, ev.Event(seq + 1, at, None, None, ev.RunStopped(reason)))
        connection.execute("COMMIT")
    finally:
        connection.close()
    return Imported(run, len(nodes), None if best is None else best[1], numbers.get(history.best), history.lacking)


def _events(
    number: int, node: ImportedNode, numbers: dict[str, int], spec: TaskSpec, asked: list[ev.Data]
) -> Iterator[ev.Data]:
    """Yield what the engine would have written of a node, as far as it is known."""
    parents = [numbers[key] for key in node.parents]
    yield ev.RoundStarted()
    if parents:
        # A program may be older than what its design is said to have been shown: clocks differ.
        shown = [numbers[key] for key in node.shown if numbers[key] < number]
        yield ev.LearnDone(
            parents[0],
            [*parents[1:], *shown],
            why="imported",
            island=node.island,
            mode=_MODES.get(node.operator, "diff"),
        )
    yield from asked
    content = _bytes(node.code)
    try:
        digest = spec.language.outline(node.code).digest
    except ProgramError:
        digest = ""
    yield ev.DesignDone(
        program=sha256_of(content),
        operator=node.operator,
        name=one_line(node.name or node.key, _NAME_LENGTH),
        motivation=node.motivation,
        parents=parents,
        digest=digest,
        size=len(content),
        sketch=sketch(node.code, spec.language.comment),
        origin=node.key,
    )
    status: ev.Status = "ok" if node.score is not None else node.status
    reason = one_line(node.reason, 4000) if node.score is None else ""
    feedback = sha256_of(_bytes(node.feedback)) if node.feedback else ""
    stage = spec.score_stage.name
    yield ev.EvalStarted(stage)
    yield ev.EvalStageDone(
        stage, status, score=node.score, metrics=node.metrics, reason=reason, seconds=node.seconds,
        feedback_blob=feedback,
    )  # fmt: skip
    yield ev.EvalDone(status, node.score, node.metrics, reason, stage=stage, seconds=node.seconds)
    lesson = one_line(node.lesson, _LESSON_LENGTH)
    note = node.note or (node.lesson if node.lesson != lesson else "")
    yield ev.AnalyzeDone(lesson, note, analyzer="imported" if lesson else "off")
    yield ev.RoundEnded("node")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
