"""How a node is named on the command line: by its number, or `best`."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.errors import RunError
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.state.fold import fold_run
from engine.state.run_state import RunState

__all__ = ["BEST", "NodeArgument", "NodeNumber", "parse_node", "resolve", "resolve_in"]

BEST = -1
"""What stands for the best node until the run is known."""


def parse_node(text: str | int) -> int:
    """Return the number of a node, or `BEST` for the word.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text in ("best", BEST):
        return BEST
    if not str(text).isdecimal():
        raise typer.BadParameter(f"'{text}' names no node: name its number, or best")
    return int(text)


def resolve(run: Run, state: RunState, node: int) -> int:
    """Return the number of a node as `parse_node` read it.

    Raises:
        RunError: the run has no such node, or no best one yet.
    """
    if node == BEST:
        if state.best is None:
            raise RunError(f"run '{run.name}' has no best node yet: no node has a score that counts")
        return state.best
    if node >= len(state.nodes):
        raise RunError(f"run '{run.name}' has no node {node}; its nodes are 0 to {len(state.nodes) - 1}")
    return node


def resolve_in(run: Run, node: int) -> int:
    """Return the number of a node; the run is read only for the word, since its engine checks a number.

    Raises:
        RunError: the run has no best node yet.
    """
    if node != BEST:
        return node
    with JournalReader(run.db) as reader:
        return resolve(run, fold_run(reader), node)


NodeNumber = Annotated[int, typer.Argument(metavar="NODE", help="Number of a node, or 'best'.", parser=parse_node)]
NodeArgument = Annotated[
    int | None, typer.Argument(metavar="NODE", help="Number of a node, or 'best'.", parser=parse_node)
]
