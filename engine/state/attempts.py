"""Results of the designs made from a node: the newest of them, and their failures by cause."""

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


class Failure(msgspec.Struct, gc=False):
    """Designs that failed alike."""

    count: int
    told: str
    """What happened to the newest of them, on one line."""


class Attempts(msgspec.Struct, gc=False):
    """Results of the designs made from one node."""

    newest: list[int] = []
    """The last five that were measured, oldest first."""
    failures: dict[str, Failure] = {}
    """By cause in which numbers do not count; at most eight, the rarest are forgotten first."""


def behaves_as(node: Node, parent: Node) -> int | None:
    """Return the node whose metrics a measured node repeats to the last digit; None if they differ from its parent's.

    A line of nodes that all behave the same refers to its first.
    """
    if node.score is None or node.score != parent.score or not node.metrics or node.metrics != parent.metrics:
        return None
    return parent.id if parent.same_as is None else parent.same_as


def count_child(attempts: dict[int, Attempts], node: Node) -> None:
    """Count a node that was measured for the first time among the results of its parent."""
    found = attempts.setdefault(node.parents[0], Attempts())
    found.newest.append(node.id)
    del found.newest[:-_NEWEST]
    if node.status not in ("ok", "cancelled"):
        _count(found, f"{node.status}: {node.reason}" if node.reason else str(node.status))


def count_refused(attempts: dict[int, Attempts], parent: int, rejected: DesignRejected) -> None:
    """Count a program that failed a check before any measurement among the results of its parent."""
    if rejected.check in _REFUSALS:
        # The text after a semicolon is advice for the designer.
        _count(
            attempts.setdefault(parent, Attempts()), f"refused, {rejected.check}: {rejected.reason.partition('; ')[0]}"
        )


def _count(found: Attempts, told: str) -> None:
    told = one_line(told, _CAUSE_LENGTH)
    cause = _NUMBER.sub("#", told)
    known = found.failures.get(cause)
    if known is not None:
        known.count += 1
        known.told = told
        return
    if len(found.failures) >= _CAUSES:
        del found.failures[min(found.failures, key=lambda name: found.failures[name].count)]
    found.failures[cause] = Failure(1, told)
