"""What the designer and its child process say to each other: one JSON object a line."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.programs.outline import Outline

__all__ = [
    "Apply",
    "Change",
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
"""How a value moves: by factors of two, by adaptive steps, by powers of ten, to its opposite, to one of a few."""

Value = bool | int | float | str | None
"""What a literal in a program says."""


class Donor(msgspec.Struct, frozen=True):
    """Code that a function may be taken from: a recipe, or another node's program."""

    key: str
    code: str


class Graft(msgspec.Struct, frozen=True, tag=True):
    """Replace a function by the donor's, with the helpers, constants and imports that it needs."""

    function: str
    code: str


class SetValue(msgspec.Struct, frozen=True, tag=True):
    """Give one literal another value; nothing is done where it is not the one that was meant."""

    owner: str
    """The top-level statement that it stands in, by the name that this defines."""
    index: int
    """Its position among the statement's literals."""
    old: Value
    new: Value


class TakeValues(msgspec.Struct, frozen=True, tag=True):
    """Give some numbers that a function computes with the values that they have in a donor with the same function."""

    function: str
    code: str
    seed: int
    """Decides which of the numbers that differ are taken: each by even chance, one at least."""


class Revert(msgspec.Struct, frozen=True, tag=True):
    """Replace a function by the one of a seed."""

    function: str
    seed: int


Edit = Graft | SetValue | TakeValues | Revert


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first line to a child: what holds for all programs of the run."""

    seeds: list[str]
    required: list[str]
    """Functions and classes that every program must keep."""
    max_bytes: int


class Survey(msgspec.Struct, frozen=True, tag=True):
    """Ask what can be changed in a program."""

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
    """A function for which a donor has an alternative."""

    function: str
    donor: str
    """The donor's key; for the version of a seed its position."""


class Tunable(msgspec.Struct, frozen=True):
    """A literal in the program that can be given another value."""

    owner: str
    """The top-level statement that it stands in, by the name that this defines."""
    index: int
    """Its position among the statement's literals."""
    arm: str
    """What the bandit and the step sizes know it by."""
    name: str
    """What a person knows it by: `WEIGHTS[2]`, `score(depth)`, `a number in refine`."""
    kind: Kind
    value: Value
    low: float = 0.0
    """Bounds of a number: of its magnitude, or of itself where `low` is negative."""
    high: float = 0.0
    choices: list[Value] = []
    """What a `choice` is among."""


class Change(msgspec.Struct, frozen=True):
    """One respect in which what runs differs between two programs."""

    what: Literal["value", "changed", "added", "removed"]
    owner: str
    """The top-level name that it is in."""
    name: str
    """The name, or for a value what a person knows it by."""
    old: str = ""
    new: str = ""


class Options(msgspec.Struct, frozen=True, tag=True):
    """The answer to `Survey`."""

    id: int
    functions: list[str]
    swaps: list[Replaced]
    exchanges: list[Replaced]
    crossings: list[Replaced]
    """Functions that another node has just the same but for numbers."""
    reverts: list[Replaced]
    tunables: list[Tunable]
    shared: list[Replaced]
    """Functions that another node has just the same, to the last number."""


class Edited(msgspec.Struct, frozen=True, tag=True):
    """The answer to `Apply`: the program, and what each of the edits came to."""

    id: int
    program: str
    changes: list[list[Change]]
    """By edit: how what runs differs from the program that was edited; empty for one that made no difference."""
    problem: str = ""
    """Why an edit did not go in."""
    outline: Outline | None = None
    """Of the edited program; None where nothing that it runs is different."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request could not be carried out."""

    id: int
    error: str


Reply = Options | Edited | Failed
