"""Queries that choose nodes: `status:ok op:tune score>2.6 mean_error<0.001 round:10..40 is:pinned words`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import islice

from engine.state.node import Node
from engine.text import one_line

__all__ = ["Query", "QueryError", "parse_query"]

_NAMED = re.compile(r"^(?P<name>[^\s<>=:]+)(?P<sign><=|>=|<|>|:|=)(?P<value>.*)$")
_NAME = re.compile(r"[^\W\d]")
"""How a name starts; `->` and `-=` are ordinary words."""
_KEYS = ("status", "op", "operator", "prior", "is")
_MOST_METRICS = 12
_STATUSES = ("ok", "rejected", "invalid", "crashed", "timeout", "cancelled", "running", "failed")
_MARKS = ("best", "pinned", "pruned", "starred", "commented", "quarantined", "broken")

Test = Callable[[Node], bool]


class QueryError(ValueError):
    """The text is not a valid query; the message says why."""


@dataclass(frozen=True)
class Query:
    """A test on nodes; all parts must hold."""

    text: str
    tests: tuple[Test, ...]

    def __call__(self, node: Node) -> bool:
        return all(test(node) for test in self.tests)


def parse_query(
    text: str,
    is_marked: Callable[[str, Node], bool],
    metrics: Collection[str] = (),
    score: str = "score",
    model_of: Callable[[Node], str | None] | None = None,
) -> Query:
    """Parse a query.

    Args:
        text: parts separated by spaces, all of which must hold.
        is_marked: return whether a node has a mark (`best`, `pinned`, `pruned`, `starred`, `commented`, `quarantined`,
            `broken`).
        metrics: names of the nodes' metrics.
        score: the task's name for its score.
        model_of: return the model that wrote a node's program, None if none did; without it `model:` is not known.

    Raises:
        QueryError: a part is invalid.
    """
    return Query(text, tuple(_parse_part(part, is_marked, metrics, score, model_of) for part in text.split()))


def _known_names(metrics: Collection[str], score: str) -> str:
    """Return the names that a query may use, for messages; of many metrics only the first."""
    own = [] if score in (*_READERS, *metrics) else [one_line(score, 30)]
    told = f"status: op: prior: is: {' '.join([*_READERS, *own])}"
    if metrics:
        shown = [one_line(name, 30) for name in islice(metrics, _MOST_METRICS)]
        told += f"; metrics: {' '.join(shown)}{' …' if len(metrics) > _MOST_METRICS else ''}"
    return told


def _parse_part(
    part: str,
    is_marked: Callable[[str, Node], bool],
    metrics: Collection[str],
    score: str,
    model_of: Callable[[Node], str | None] | None,
) -> Test:
    if re.fullmatch(r"#\d+", part):
        wanted = int(part[1:])
        return lambda node: node.id == wanted
    if match := _NAMED.match(part):
        name, sign, value = match["name"], match["sign"], match["value"]
        if name == "model" and sign in ":=" and model_of is not None:
            return lambda node: (model_of(node) or "").startswith(value) if value else model_of(node) is None
        if name in _KEYS and sign in ":=":
            return _parse_keyed(name, value, is_marked)
        if name in _READERS:
            return _parse_comparison(name, _READERS[name], sign, value)
        if name == score:
            return _parse_comparison(name, _READERS["score"], sign, value)
        if name in metrics:
            return _parse_comparison(name, partial(_metric, name), sign, value)
        if _NAME.match(name):
            told = f"'{one_line(name, 40)}' is not known here; there are {_known_names(metrics, score)}"
            raise QueryError(f"'{name}' takes ':', not '{sign}'" if name in _KEYS else told)
    word = part.casefold()
    return lambda node: any(
        word in text.casefold() for text in (node.name, node.operator, node.motivation, node.lesson)
    )


def _parse_keyed(key: str, value: str, is_marked: Callable[[str, Node], bool]) -> Test:
    if key == "status":
        if value not in _STATUSES:
            raise QueryError(f"status is one of {', '.join(_STATUSES)}, not '{one_line(value, 40)}'")
        if value == "running":
            return lambda node: node.status is None
        if value == "failed":
            return lambda node: node.status not in (None, "ok")
        return lambda node: node.status == value
    if key in ("op", "operator"):
        return lambda node: node.operator.startswith(value)
    if key == "prior":
        return lambda node: value in node.priors
    if value not in _MARKS:
        raise QueryError(f"is: is one of {', '.join(_MARKS)}, not '{one_line(value, 40)}'")
    return lambda node: is_marked(value, node)


def _metric(name: str, node: Node) -> float | None:
    value = node.metrics.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _parse_comparison(key: str, read: Callable[[Node], float | None], sign: str, value: str) -> Test:
    low, divided, high = value.partition("..")
    if not divided and (span := re.fullmatch(r"(\d+)-(\d+)", value)):
        low, divided, high = span[1], "-", span[2]
    try:
        if divided and sign in ":=":
            least, most = float(low or "-inf"), float(high or "inf")
            return lambda node: (found := read(node)) is not None and least <= found <= most
        limit = float(value)
    except ValueError:
        raise QueryError(f"'{one_line(value, 40)}' is not a number (as in {key}>2.5, or {key}:2..3)") from None
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
