"""Constraints on metrics: `loss = "<= parent * 1.05"`. A node that breaks one is kept and never crowned.

A constraint is a comparison and a bound, several are parted by commas. A bound is a number, or the metric's value of
the first parent or of the first seed (`parent`, `seed`), times a number and plus or minus a number if these follow. It
is parsed by this grammar alone, never evaluated as code:

    constraints = constraint {"," constraint}
    constraint  = ("<=" | ">=" | "<" | ">") (number | node ["*" number] [("+" | "-") number])
    node        = "parent" | "seed"
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

__all__ = ["Breach", "Constraint", "breach_of", "finite", "names_seed", "parse_constraints"]

_UNSIGNED = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = rf"[+-]?{_UNSIGNED}"
_CONSTRAINT = re.compile(
    rf"\s*(?P<op><=|>=|<|>)\s*(?:(?P<number>{_NUMBER})|"
    rf"(?P<node>parent|seed)\b(?:\s*\*\s*(?P<factor>{_NUMBER}))?(?:\s*(?P<sign>[+-])\s*(?P<shift>{_UNSIGNED}))?)\s*",
    re.ASCII,
)


class Constraint(NamedTuple):
    """One comparison of a metric with a bound."""

    op: Literal["<=", ">=", "<", ">"]
    node: Literal["", "parent", "seed"]
    """Whose value the bound follows from; empty: the bound is `shift` itself."""
    factor: float
    shift: float
    text: str
    """As it was written."""

    def bound(self, of: float | None) -> float | None:
        """Return the bound; None if it follows from a value that does not exist.

        Args:
            of: the metric's value of the node that it names.
        """
        if not self.node:
            return self.shift
        return None if of is None else finite(of * self.factor + self.shift)

    def excess(self, value: float, bound: float) -> float | None:
        """Return by how much a value is past the bound, 0 or more; None if it holds."""
        past = value - bound if self.op in ("<=", "<") else bound - value
        return past if past > 0.0 or (past == 0.0 and self.op in ("<", ">")) else None


class Breach(NamedTuple):
    """What a node breaks."""

    reason: str
    """Each broken constraint with the metric's name, value and bound."""
    excess: float
    """Sum of the relative excesses over the bounds; infinite if a metric is missing."""


@lru_cache(maxsize=64)
def parse_constraints(text: str) -> tuple[Constraint, ...]:
    """Return the constraints on one metric.

    Raises:
        ValueError: the text is none.
    """
    found = []
    for part in text.split(","):
        match = _CONSTRAINT.fullmatch(part)
        if match is None:
            raise ValueError(
                f"{part.strip()!r} is no constraint; write a comparison and a bound, such as '>= 1000' or "
                "'<= parent * 1.05'"
            )
        shift = float(match["number"] or match["shift"] or 0.0) * (-1.0 if match["sign"] == "-" else 1.0)
        factor = float(match["factor"] or 1.0)
        if not (math.isfinite(shift) and math.isfinite(factor)):
            raise ValueError(f"{part.strip()!r} has a number that is too large")
        op: Any = match["op"]
        node: Any = match["node"] or ""
        found.append(Constraint(op, node, factor, shift, " ".join(part.split())))
    return tuple(found)


def names_seed(require: Mapping[str, str]) -> bool:
    """Return whether a bound follows from the seed."""
    return any(constraint.node == "seed" for text in require.values() for constraint in parse_constraints(text))


def breach_of(
    require: Mapping[str, str], measured: Mapping[str, Any], parent: Mapping[str, Any], seed: Mapping[str, Any]
) -> Breach | None:
    """Return what metrics break; None if all constraints hold.

    Args:
        require: constraints by the name of their metric.
        measured: the node's metrics, the score included.
        parent: those of its first parent; empty for a seed. A bound without a value to follow from holds.
        seed: those of the first seed.
    """
    told, excess = [], 0.0
    for name, text in require.items():
        value = finite(measured.get(name))
        if value is None:
            told.append(f"{name} is missing or no number, and {text.strip()} is required")
            excess = math.inf
            continue
        for constraint in parse_constraints(text):
            of = {"parent": parent, "seed": seed}.get(constraint.node, {})
            bound = constraint.bound(finite(of.get(name)))
            past = None if bound is None else constraint.excess(value, bound)
            if bound is not None and past is not None:
                shown = f" = {bound:.6g}" if constraint.node else ""
                told.append(f"{name} = {value:.6g} breaks {constraint.text}{shown}")
                excess += past / (abs(bound) or 1.0)
    return Breach("; ".join(told), excess) if told else None


def finite(value: object) -> float | None:
    """Return a metric as a number; None if it is none, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
