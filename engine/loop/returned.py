"""Lines that were deleted on the way to a parent, and that designs have put back since."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.programs.near import lines_of
from engine.state.attempts import Attempts
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.text import one_line

__all__ = ["returned_lines"]

_GENERATIONS = 8
"""Ancestors that are looked at."""
_SHOWN = 8
_LENGTH = 120
_LEAST = 6
"""Letters and digits of a line that means something by itself: `else:` does not."""


def returned_lines(
    state: RunState, parent: Node, text: Callable[[str], str], outcome: Callable[[Node], str]
) -> list[str]:
    """Return lines that one of the last eight ancestors had, that were deleted since, and that came back.

    They came back in another ancestor, or in one of the last five designs made from the parent. A line in the parent
    itself is left out. At most eight, those that came back most often first, of equals the last deleted.

    Args:
        state: the run.
        parent: what the next design starts from.
        text: returns a blob as text.
        outcome: tells what came of a node, against its parent.
    """
    comment = state.spec.language.comment

    def lines(node: Node) -> frozenset[str]:
        return lines_of(text(node.program), comment)

    line = _lineage(state, parent)
    deleted: dict[str, int] = {}
    back: dict[str, list[Node]] = {}
    now = before = lines(line[0])
    for node in line[1:]:
        now = lines(node)
        for gone in sorted(before - now):
            # The last deletion comes last.
            deleted.pop(gone, None)
            deleted[gone] = node.id
        _note(back, deleted, now - before, node)
        before = now
    for child in state.attempts.get(parent.id, Attempts()).newest:
        _note(back, deleted, lines(state.nodes[child]) - now, state.nodes[child])
    newest = [code for code in reversed(deleted) if code in back and code not in now]
    newest.sort(key=lambda code: -len(back[code]))
    return [_told(code, deleted[code], back[code], outcome) for code in newest[:_SHOWN]]


def _lineage(state: RunState, node: Node) -> Sequence[Node]:
    """Return a node's ancestors, the oldest first, and the node."""
    line = [node]
    while line[-1].parents and len(line) <= _GENERATIONS:
        line.append(state.nodes[line[-1].parents[0]])
    return line[::-1]


def _note(back: dict[str, list[Node]], deleted: dict[str, int], come: frozenset[str], node: Node) -> None:
    for code in sorted(come & deleted.keys()):
        if sum(map(str.isalnum, code)) >= _LEAST:
            back.setdefault(code, []).append(node)


def _told(code: str, gone: int, nodes: Sequence[Node], outcome: Callable[[Node], str]) -> str:
    last = outcome(nodes[-1])
    times = f", {len(nodes)} times" if len(nodes) > 1 else ""
    return (
        f"{one_line(code, _LENGTH)}   (deleted in #{gone}, back in #{nodes[-1].id}{f': {last}' if last else ''}{times})"
    )
