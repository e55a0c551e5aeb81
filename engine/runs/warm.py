"""Start a run's population from other runs: their best programs that differ from each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from engine.errors import UsageError
from engine.journal.database import sha256_of
from engine.journal.events import RunWarmed, WarmProgram
from engine.journal.reader import JournalReader
from engine.programs.minhash import mean_distance, read_sketch, sketch
from engine.programs.outline import ProgramError
from engine.runs.folder import Run
from engine.state.fold import fold_run
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.task.interface import check_program
from engine.task.spec import Task

__all__ = ["Warm", "warm_as", "warm_from"]

_FROM_EACH = 5
"""Programs of each run."""
_APART = 0.2
"""Share of lines that two of them differ in at least."""


class Warm(NamedTuple):
    """What a new run is given beside its task."""

    event: RunWarmed
    contents: list[bytes]
    """The programs."""


def warm_from(runs: Sequence[Run], task: Task) -> Warm:
    """Choose the programs that a run of a task starts with beside its seeds.

    Of each run these are up to five, the best first: those on its front, if it has several objectives, then by rank.
    One is left out if the task refuses it, if it is a seed or is chosen already, or if fewer than a fifth of its lines
    differ from one that is chosen.

    Args:
        runs: the other runs; they are only read.
        task: the task of the new run.

    Raises:
        UsageError: a run has no program that fits.
        JournalError: a journal cannot be read.
    """
    chosen, left_out, contents = _Chosen(task), [], []
    for run in runs:
        with JournalReader(run.db) as reader:
            state, taken, refused = fold_run(reader), 0, ""
            for node in _best_first(state):
                code = reader.text(node.program)
                try:
                    fits = chosen.add(code)
                except ProgramError as exc:
                    refused = refused or f"run '{run.name}', node {node.id}: {exc.check}: {exc.reason}"
                    continue
                if fits:
                    contents.append(code.encode())
                    chosen.programs.append(_described(code, run, state, node))
                    taken += 1
                if taken == _FROM_EACH:
                    break
        if not taken:
            raise UsageError(
                f"--warm {run.typed}: it has no program for {task.spec.name} that the new run would not have anyway",
                refused,
            )
        left_out += [refused] if refused else []
    return Warm(RunWarmed(chosen.programs, left_out), contents)


def warm_as(run: Run) -> Warm | None:
    """Return the programs of other runs that a run started with; None if there were none.

    Raises:
        JournalError: the journal cannot be read.
    """
    with JournalReader(run.db) as reader:
        warm = fold_run(reader).warm
        return Warm(RunWarmed(warm), [reader.blob(item.program) for item in warm]) if warm else None


class _Chosen:
    """What is chosen so far, beside the seeds."""

    def __init__(self, task: Task) -> None:
        self._spec, self._first = task.spec, task.seeds[0].code
        self.programs: list[WarmProgram] = []
        self._digests = {task.spec.language.outline(seed.code).digest for seed in task.seeds}
        self._sketches: list[np.ndarray[tuple[int], np.dtype[np.uint8]]] = []

    def add(self, code: str) -> bool:
        """Take a program; return False if it, or one much like it, is there.

        Raises:
            ProgramError: the task refuses it.
        """
        digest = check_program(code, self._spec, self._first).digest
        own = read_sketch(sketch(code, self._spec.language.comment))
        if digest in self._digests or own is None:
            return False
        if any(mean_distance(own, other[None]) < _APART for other in self._sketches):
            return False
        self._digests.add(digest)
        self._sketches.append(own)
        return True


def _best_first(state: RunState) -> Iterable[Node]:
    eligible = [node for node in state.nodes if node.eligible and node.same_as is None]
    return sorted(eligible, key=lambda node: (node.front != 1, -(node.fitness or 0.0), node.id))


def _described(code: str, run: Run, state: RunState, node: Node) -> WarmProgram:
    return WarmProgram(
        sha256_of(code.encode()), run.name, node.id, node.name, node.score, state.spec.metric, node.lesson
    )
