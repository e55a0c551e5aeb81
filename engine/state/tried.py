"""What was tried since the last gain, in groups of like ideas, for a designer in a standstill."""

from __future__ import annotations

import re

from engine.state.node import Node
from engine.state.run_state import RunState
from engine.text import one_line

__all__ = ["tried_in_vain"]

_NEWEST = 40
"""Designs that are looked at."""
_GROUPS = 8
_ALIKE = 0.3
"""Share of words that two ideas have in common from which they are of one group (Jaccard)."""
_LENGTH = 220
_WORD = re.compile(r"[^\W\d_]{3,}")
_COMMON = frozenset(
    {"and", "are", "but", "for", "from", "has", "into", "its", "more", "not", "now", "that", "the", "them", "this",
     "was", "were", "with", "without", "better", "best", "change", "changed", "program", "score", "same"}
)  # fmt: skip
"""Words that ideas share without being alike."""


def tried_in_vain(state: RunState) -> list[str]:
    """Return a line for each group of designs since the last gain that counted, the largest group first.

    Of at most 40 designs; a design joins the first group whose first idea shares enough words with its own. A line
    gives the number of designs, the idea that came nearest to a gain and the lesson from it.
    """
    groups: list[tuple[frozenset[str], list[Node]]] = []
    since = min(_NEWEST, state.standstill.waited)
    for node in state.nodes[: -since - 1 : -1] if since else []:
        if node.status is None or not node.round:
            continue
        words = _words(node)
        for first, members in groups:
            if _likeness(words, first) >= _ALIKE:
                members.append(node)
                break
        else:
            groups.append((words, [node]))
    groups.sort(key=lambda group: -len(group[1]))
    return [_line(members) for _, members in groups[:_GROUPS]]


def _words(node: Node) -> frozenset[str]:
    text = f"{node.name} {node.motivation}".lower()
    return frozenset(word for word in _WORD.findall(text) if word not in _COMMON)


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    both = one | other
    return len(one & other) / len(both) if both else 1.0


def _line(nodes: list[Node]) -> str:
    near = max(nodes, key=lambda node: (node.fitness is not None, node.fitness or 0.0))
    failed = sum(node.status != "ok" for node in nodes)
    bad = f", {failed} failed" if failed else ""
    # A lesson by rules names the change itself.
    said = near.lesson or near.name
    told = said if near.name in said else f"{near.name}: {said}"
    return one_line(f"{len(nodes)} ×{bad}: {told}", _LENGTH)
