"""What a person types to find nodes: `status:ok op:tune score>2.6 round:10..40 is:pinned words`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from engine.state.node import Node

__all__ = ["Query", "QueryError", "parse_query"]

_COMPARISON = re.compile(r"^(?P<key>score|fitness|round|id|seconds|expanded)(?P<sign><=|>=|<|>|:|=)(?P<value>.+)$")
_KEYED = re.compile(r"^(?P<key>[a-z]+):(?P<value>.*)$")
_STATUSES = ("ok", "rejected", "invalid", "crashed", "timeout", "cancelled", "running", "failed")
_MARKS = ("best", "pinned", "pruned", "starred")

Test = Callable[[Node], bool]


class QueryError(ValueError):
    """The text is no query; says why."""


@dataclass(frozen=True)
class Query:
    """A test on nodes: all its parts must hold."""

    text: str
    tests: tuple[Test, ...]

    def __call__(self, node: Node) -> bool:
        return all(test(node) for test in self.tests)


def parse_query(text: str, is_marked: Callable[[str, Node], bool]) -> Query:
    """Read a query.

    Args:
        text: words divided by spaces, all of which must hold.
        is_marked: tells whether a node bears a mark (`best`, `pinned`, `pruned`, `starred`).

    Raises:
        QueryError: a part cannot be understood.
    """
    return Query(text, tuple(_parse_part(part, is_marked) for part in text.split()))


def _parse_part(part: str, is_marked: Callable[[str, Node], bool]) -> Test:
    if re.fullmatch(r"#\d+", part):
        wanted = int(part[1:])
        return lambda node: node.id == wanted
    if match := _COMPARISON.match(part):
        return _parse_comparison(match["key"], match["sign"], match["value"])
    if match := _KEYED.match(part):
        return _parse_keyed(match["key"], match["value"], is_marked)
    word = part.casefold()
    return lambda node: any(
        word in text.casefold() for text in (node.name, node.operator, node.motivation, node.lesson)
    )


def _parse_keyed(key: str, value: str, is_marked: Callable[[str, Node], bool]) -> Test:
    if key == "status":
        if value not in _STATUSES:
            raise QueryError(f"status is one of {', '.join(_STATUSES)}, not '{value}'")
        if value == "running":
            return lambda node: node.status is None
        if value == "failed":
            return lambda node: node.status not in (None, "ok")
        return lambda node: node.status == value
    if key in ("op", "operator"):
        return lambda node: node.operator.startswith(value)
    if key == "prior":
        return lambda node: value in node.priors
    if key == "is":
        if value not in _MARKS:
            raise QueryError(f"is: is one of {', '.join(_MARKS)}, not '{value}'")
        return lambda node: is_marked(value, node)
    raise QueryError(f"'{key}:' is not known; there are status: op: score: fitness: round: id: prior: is:")


def _parse_comparison(key: str, sign: str, value: str) -> Test:
    read = _READERS[key]
    low, divided, high = value.partition("..")
    if not divided and (span := re.fullmatch(r"(\d+)-(\d+)", value)):
        low, divided, high = span[1], "-", span[2]
    try:
        if divided and sign in ":=":
            least, most = float(low or "-inf"), float(high or "inf")
            return lambda node: (found := read(node)) is not None and least <= found <= most
        limit = float(value)
    except ValueError:
        raise QueryError(f"'{value}' is no number (as in {key}>2.5, or {key}:2..3)") from None
    compare = _SIGNS[sign]
    return lambda node: (found := read(node)) is not None and compare(found, limit)


_READERS: dict[str, Callable[[Node], float | None]] = {
    "score": lambda node: node.score,
    "fitness": lambda node: node.fitness,
    "round": lambda node: node.round,
    "id": lambda node: node.id,
    "seconds": lambda node: node.seconds,
    "expanded": lambda node: node.expanded,
}

_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    ":": lambda a, b: a == b,
    "=": lambda a, b: a == b,
}
