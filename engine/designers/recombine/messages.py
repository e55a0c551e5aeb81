"""The messages between the designer and its child process: one JSON object per line."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.programs.outline import Outline

__all__ = [
    "Apply",
    "Difference",
    "Donor",
    "Edit",
    "Edited",
    "Failed",
    "Graft",
    "Hello",
    "Kind",
    "Options",
    "Replaced",
    "Reply",
    "Request",
    "Revert",
    "SetValue",
    "Survey",
    "TakeValues",
    "Tunable",
    "Value",
]

Kind = Literal["effort", "scale", "tolerance", "flip", "choice"]
"""How a value is changed: by factors of two, by adaptive steps, by powers of ten, to its negation, to a listed one."""

Value = bool | int | float | str | None
"""The value of a literal in a program."""


class Donor(msgspec.Struct, frozen=True):
    """Code from which a function may be taken: a recipe, or another node's program."""

    key: str
    code: str


class Graft(msgspec.Struct, frozen=True, tag=True):
    """Replace a function by the donor's, with the helpers, constants and imports that it needs."""

    function: str
    code: str


class SetValue(msgspec.Struct, frozen=True, tag=True):
    """Change one literal's value; do nothing if the literal at that place is another one."""

    owner: str
    """The name that its top-level statement defines."""
    index: int
    """Its position among the statement's literals."""
    old: Value
    new: Value


class TakeValues(msgspec.Struct, frozen=True, tag=True):
    """Give some numbers used by a function the values that they have in a donor with the same function."""

    function: str
    code: str
    seed: int
    """Seed for the choice among differing numbers: each with probability one half, at least one."""


class Revert(msgspec.Struct, frozen=True, tag=True):
    """Replace a function by a seed's version."""

    function: str
    seed: int


Edit = Graft | SetValue | TakeValues | Revert


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first message to a child: parameters common to all programs of the run."""

    seeds: list[str]
    required: list[str]
    """Functions and classes that every program must keep."""
    max_bytes: int
    language: str = "python"
    strict: bool = True
    """Whether a syntax error that the language's grammar finds is one."""


class Survey(msgspec.Struct, frozen=True, tag=True):
    """Ask for the possible changes of a program."""

    id: int
    program: str
    recipes: list[Donor]
    nodes: list[Donor]


class Apply(msgspec.Struct, frozen=True, tag=True):
    """Ask for a program with edits applied, in order."""

    id: int
    program: str
    edits: list[Edit]


Request = Hello | Survey | Apply


class Replaced(msgspec.Struct, frozen=True):
    """A function that can be replaced by a donor's version."""

    function: str
    donor: str
    """The donor's key; for a seed's version the seed's index."""


class Tunable(msgspec.Struct, frozen=True):
    """A literal in the program whose value can be changed."""

    owner: str
    """The name that its top-level statement defines."""
    index: int
    """Its position among the statement's literals."""
    arm: str
    """Its key for the bandit and the step sizes."""
    name: str
    """Its readable name: `WEIGHTS[2]`, `score(depth)`, `a number in refine()`."""
    kind: Kind
    value: Value
    low: float = 0.0
    """Bounds of a number: of its magnitude, or of the number itself if `low` is negative."""
    high: float = 0.0
    choices: list[Value] = []
    """The options of a `choice`."""


class Difference(msgspec.Struct, frozen=True):
    """One difference between the reachable parts of two programs."""

    what: Literal["value", "changed", "added", "removed"]
    owner: str
    """The top-level name that contains it."""
    name: str
    """The name; for a value its readable name."""
    old: str = ""
    new: str = ""


class Options(msgspec.Struct, frozen=True, tag=True):
    """The answer to `Survey`."""

    id: int
    functions: list[str]
    swaps: list[Replaced]
    exchanges: list[Replaced]
    crossings: list[Replaced]
    """Functions that another node has with other numbers only."""
    reverts: list[Replaced]
    tunables: list[Tunable]
    shared: list[Replaced]
    """Functions that another node has identically, numbers included."""


class Edited(msgspec.Struct, frozen=True, tag=True):
    """The answer to `Apply`: the program, and the changes of each edit."""

    id: int
    program: str
    changes: list[list[Difference]]
    """For each edit its changes to the reachable program; empty if it made no difference."""
    problem: str = ""
    """Why an edit could not be applied."""
    outline: Outline | None = None
    """The outline of the edited program; None if nothing reachable differs."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request could not be carried out."""

    id: int
    error: str


Reply = Options | Edited | Failed
