"""What a program taken apart must tell, in whatever language, to be compared and to get other values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from engine.designers.recombine.comments import Rules
from engine.designers.recombine.messages import Value
from engine.designers.recombine.tunable import Blank, Owner, Valued

__all__ = ["Part", "Parted"]


class Part(Owner, Protocol):
    """A top-level statement of a program."""

    @property
    def locals(self) -> frozenset[str]:
        """Names that are local in some inner scope."""


class Parted(Protocol):
    """A program taken apart at its top level."""

    @property
    def code(self) -> str:
        """Its text."""

    @property
    def items(self) -> Sequence[Part]:
        """Its statements, in order."""

    @property
    def by_name(self) -> Mapping[str, Sequence[Part]]:
        """Statements by the names that they define."""

    @property
    def owners(self) -> Mapping[str, Part]:
        """Every statement by the name of its literals."""

    @property
    def literals(self) -> Sequence[Sequence[Valued]]:
        """The literals whose value can be changed, by statement."""

    @property
    def rules(self) -> Rules:
        """The rules of its `tune:` comments."""

    @property
    def parameters(self) -> Mapping[str, int]:
        """How many parameters each function has that is defined once at the top level."""

    @property
    def public(self) -> set[str]:
        """The functions to keep, if nothing calls them, in a run without seeds."""

    def live(self, required: Iterable[str]) -> set[str]:
        """Return the names that are reachable from those that the task requires and from loose statements."""

    def origins(self, name: str) -> set[str]:
        """Return where a name is imported from; empty if it is not imported, or also defined otherwise."""

    def form(self, index: int) -> object:
        """Return what equals for statements that differ in comments and layout alone."""

    def shape(self, index: int, blank: Blank = "nothing") -> tuple[str, tuple[str, ...]]:
        """Return a statement as text without names and without some of its values, and the names in order."""

    def with_values(self, values: Sequence[tuple[int, int, Value]]) -> str:
        """Return the source with some of its literals changed.

        Args:
            values: for each literal its statement, its place among the statement's literals, and the new value.
        """
