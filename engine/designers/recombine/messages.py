"""What the designer and its child process say to each other: one JSON object a line."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.program import Outline

__all__ = [
    "Apply",
    "Constant",
    "Donor",
    "Edit",
    "Edited",
    "Failed",
    "Graft",
    "Hello",
    "Options",
    "Replaced",
    "Reply",
    "Request",
    "Revert",
    "SetConstant",
    "SetLiteral",
    "Survey",
]

Kind = Literal["effort", "scale", "tolerance"]


class Donor(msgspec.Struct, frozen=True):
    """Code that a function may be taken from: a recipe, or another node's program."""

    key: str
    code: str


class Graft(msgspec.Struct, frozen=True, tag=True):
    """Replace a function by the donor's, with the helpers, constants and imports that it needs."""

    function: str
    code: str


class SetConstant(msgspec.Struct, frozen=True, tag=True):
    """Give a module-level constant another value."""

    name: str
    value: int | float


class SetLiteral(msgspec.Struct, frozen=True, tag=True):
    """Give the `index`-th float literal of a function another value."""

    function: str
    index: int
    value: float


class Revert(msgspec.Struct, frozen=True, tag=True):
    """Replace a function by the one of a seed."""

    function: str
    seed: int


Edit = Graft | SetConstant | SetLiteral | Revert


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


class Constant(msgspec.Struct, frozen=True):
    """A number in the program that can be tuned."""

    name: str
    """The constant, or for a literal the function that it stands in."""
    kind: Kind
    value: int | float
    low: float
    high: float
    index: int | None = None
    """For a literal: its position among the function's float literals."""


class Options(msgspec.Struct, frozen=True, tag=True):
    """The answer to `Survey`."""

    id: int
    functions: list[str]
    swaps: list[Replaced]
    exchanges: list[Replaced]
    reverts: list[Replaced]
    constants: list[Constant]
    shared: list[Replaced]
    """Functions that another node has just the same."""


class Edited(msgspec.Struct, frozen=True, tag=True):
    """The answer to `Apply`: the program, and which of the edits went into it."""

    id: int
    program: str
    done: list[bool]
    problem: str = ""
    """Why an edit did not go in."""
    outline: Outline | None = None
    """Of the edited program; None where nothing that it runs is different."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request could not be carried out."""

    id: int
    error: str


Reply = Options | Edited | Failed
