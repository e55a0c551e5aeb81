"""Results of the designs made from a node: the newest of them, and their failures by cause.

They are replaced, never changed: the states that a replay keeps share them, thousands of each.
"""

from __future__ import annotations

import re

import msgspec

from engine.journal.events import DesignRejected
from engine.state.node import Node
from engine.text import one_line

__all__ = ["Attempts", "Failure", "behaves_as", "count_child", "count_refused"]

_NEWEST = 5
"""Measured designs that are remembered of a node."""
_CAUSES = 8
"""How many causes are counted separately."""
_CAUSE_LENGTH = 160
_REFUSALS = ("syntax", "size", "interface", "static", "duplicate", "near")
"""Checks that say something about a program; the others are about an answer or a designer."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Designs that failed alike."""

    count: int
    told: str
    """What happened to the newest of them, on one line."""


class Attempts(msgspec.Struct, frozen=True, gc=False):
    """Results of the designs made from one node."""

    newest: tuple[int, ...] = ()
    """The last five that were measured, oldest first."""
    failures: dict[str, Failure] = {}
    """By cause in which numbers do not count; at most eight, the rarest are forgotten first."""


_NONE = Attempts()


def behaves_as(node: Node, parent: Node) -> int | None:
    """Return the node whose metrics a measured node repeats to the last digit; None if they differ from its parent's.

    A line of nodes that all behave the same refers to its first.
    """
    if node.score is None or node.score != parent.score or not node.metrics or node.metrics != parent.metrics:
        return None
    return parent.id if parent.same_as is None else parent.same_as


def count_child(attempts: dict[int, Attempts], node: Node) -> None:
    """Count a node that was measured for the first time among the results of its parent."""
    found = attempts.get(node.parents[0], _NONE)
    failures = found.failures
    if node.status not in ("ok", "cancelled"):
        failures = _counted(failures, f"{node.status}: {node.reason}" if node.reason else str(node.status))
    attempts[node.parents[0]] = Attempts((*found.newest, node.id)[-_NEWEST:], failures)


def count_refused(attempts: dict[int, Attempts], parent: int, rejected: DesignRejected) -> None:
    """Count a program that failed a check before any measurement among the results of its parent."""
    if rejected.check in _REFUSALS:
        found = attempts.get(parent, _NONE)
        # The text after a semicolon is advice for the designer.
        told = f"refused, {rejected.check}: {rejected.reason.partition('; ')[0]}"
        attempts[parent] = Attempts(found.newest, _counted(found.failures, told))


def _counted(failures: dict[str, Failure], told: str) -> dict[str, Failure]:
    """Return the failures with one more."""
    told = one_line(told, _CAUSE_LENGTH)
    cause = _NUMBER.sub("#", told)
    after = failures.copy()
    known = after.get(cause)
    if known is None and len(after) >= _CAUSES:
        del after[min(after, key=lambda name: after[name].count)]
    after[cause] = Failure(1 if known is None else known.count + 1, told)
    return after
