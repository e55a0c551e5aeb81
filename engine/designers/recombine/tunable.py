"""Decide which literals are tuned and how, whatever language they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal as OneOf
from typing import Protocol

from engine.designers.recombine.comments import Rule, Rules, TuneError
from engine.designers.recombine.literals import Place
from engine.designers.recombine.messages import Kind, Tunable, Value

__all__ = ["Blank", "Owner", "Valued", "name_of", "owner_of", "tunables_of"]

Blank = OneOf["nothing", "tunables", "numbers", "all"]
"""Which values to ignore in a comparison."""

_FACTOR = 10.0
"""Factor by which a number without declared bounds may change from its present value."""


class Owner(Protocol):
    """A top-level statement."""

    @property
    def index(self) -> int:
        """Its place in the program."""

    @property
    def kind(self) -> str:
        """`import`, `function`, `class`, `assign` or `other`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it defines."""


class Valued(Protocol):
    """A literal, as `literals.Literal` describes it."""

    @property
    def value(self) -> Value:
        """Its value."""

    @property
    def label(self) -> str:
        """Its readable name; empty if it has none."""

    @property
    def place(self) -> Place:
        """Where it stands."""

    @property
    def company(self) -> float:
        """The largest magnitude among the numbers beside it."""


class Holder(Protocol):
    """A program, as far as its literals are concerned."""

    @property
    def literals(self) -> Sequence[Sequence[Valued]]:
        """The literals whose value can be changed, by statement."""

    @property
    def rules(self) -> Rules:
        """The rules of its `tune:` comments."""


def owner_of(item: Owner) -> str:
    """Return the name under which a statement's literals are listed."""
    return item.names[0] if item.names and item.kind != "other" else f"<{item.index}>"


def tunables_of(program: Holder, item: Owner) -> list[Tunable]:
    """Return the values of a statement that can be tuned, reachable or not."""
    found = (
        _tunable(item, index, literal, program.rules.of.get((item.index, index)))
        for index, literal in enumerate(program.literals[item.index])
    )
    return [tunable for tunable in found if tunable is not None]


def _tunable(item: Owner, index: int, literal: Valued, rule: Rule | TuneError | None) -> Tunable | None:
    """Return a statement's literal as a value that can be tuned; None if it is not.

    Args:
        item: the statement.
        index: the literal's position among its literals.
        literal: the literal.
        rule: what a comment says of it.
    """
    value = literal.value
    if isinstance(rule, TuneError):
        return None
    bounds: tuple[float, float] | None = None
    choices: list[Value] = []
    kind: Kind = "scale"
    if rule is None:
        if isinstance(value, bool):
            if literal.place != "element":
                return None
            kind = "flip"
        elif isinstance(value, int | float):
            bounds = _undeclared(literal, value)
        else:
            return None
    elif rule.kind == "fixed":
        return None
    elif rule.kind == "flip":
        kind = "flip"
    elif rule.kind == "choice":
        kind, choices = "choice", rule.choices
    elif isinstance(value, int | float):
        kind, bounds = rule.kind, rule.bounds or _around(value)
    if kind not in ("flip", "choice") and bounds is None:
        return None
    low, high = bounds or (0.0, 0.0)
    return Tunable(owner_of(item), index, _arm(item, literal), name_of(item, literal), kind, value, low, high, choices)


def _undeclared(literal: Valued, value: int | float) -> tuple[float, float] | None:
    """Return the bounds of a number without a comment; None if it is not tuned.

    A float is a parameter at any place. A whole number is one in a list, dict, array, dataclass, keyword argument or
    default; elsewhere it is more often a count or an index.
    """
    element = literal.place == "element"
    if literal.place == "structure" or not (element or isinstance(value, float)):
        return None
    if value == 0:
        # A zero has no scale of its own: the numbers beside it set its range. A single whole 0 is an index.
        size = literal.company or (1.0 if isinstance(value, float) else 0.0)
        return (-size, size) if element and size else None
    return _around(value)


def _around(value: int | float) -> tuple[float, float] | None:
    if value == 0:
        return None
    low = abs(value) / _FACTOR
    return max(1.0, low) if isinstance(value, int) else low, abs(value) * _FACTOR


def _owner_label(item: Owner) -> str:
    """Return the owner's name, with brackets for a function: `in place()` does not read as `in place`."""
    owner = owner_of(item)
    return f"{owner}()" if item.kind == "function" else owner


def _arm(item: Owner, literal: Valued) -> str:
    """Return the bandit's arm: `tune/RATE`, `tune/WEIGHTS/WEIGHTS[2]`; numbers without a name share one."""
    label = literal.label.replace("/", "|")
    if label in item.names and item.kind == "assign":
        return f"tune/{label}"
    return f"tune/{_owner_label(item)}" + (f"/{label}" if label else "")


def name_of(item: Owner, literal: Valued) -> str:
    """Return the readable name of a literal."""
    owner = owner_of(item)
    outside = item.kind == "other"
    if not literal.label:
        return "a number outside of functions" if outside else f"a number in {_owner_label(item)}"
    own = outside or literal.label in item.names or literal.label.startswith((f"{owner}[", f"{owner}.", f"{owner}("))
    return literal.label if own else f"{literal.label} in {_owner_label(item)}"
