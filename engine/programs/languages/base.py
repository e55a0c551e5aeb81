"""What the engine must know of a language: how its programs are checked, compared, shown and taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from engine.programs.languages.kinds import Grammar
from engine.programs.languages.passage import Passage

if TYPE_CHECKING:
    from engine.programs.outline import Outline

__all__ = ["Language", "Reader"]


class Reader(Protocol):
    """Read programs of one language without running them."""

    def outline(self, code: str) -> Outline:
        """Return a program's outline.

        Raises:
            ProgramError: it is not a valid program.
        """

    def canonical_digest(self, code: str, required: Sequence[str]) -> str:
        """Return a digest in which names do not count; empty if the language has none.

        Raises:
            ProgramError: it is not a valid program.
        """

    def unbound_names(self, code: str) -> list[str]:
        """Return names that a program reads but nothing defines; none if the language cannot tell.

        Raises:
            ProgramError: it is not a valid program.
        """

    def passages(self, code: str) -> list[Passage]:
        """Return a program's top-level definitions in order; none if the language has no parser.

        Raises:
            ProgramError: it is not a valid program.
        """


@dataclass(frozen=True)
class Language:
    """A language."""

    name: str
    """Its name in task.toml."""
    title: str
    """Its name in sentences: `C++`."""
    suffix: str
    """The suffix of a candidate's file, with its dot."""
    comment: str
    """The sign that begins a comment to the end of the line; empty if that is not known."""
    fence: str
    """The word after a fence in prompts."""
    fences: tuple[str, ...]
    """Words after a fence by which an answer marks code of this language, in lower case."""
    lexer: str
    """The Pygments lexer that colours it; empty for plain text."""
    example: tuple[str, str] = ("", "")
    """A program with the function `distance`, and a function `centre`: examples in prompts."""
    has_functions: bool = True
    """Whether functions can be told apart in its programs."""
    grammar: Grammar | None = None
    """The grammar by which its programs are read."""
    strict: bool = True
    """Whether a syntax error that the grammar finds is one."""

    @property
    def is_python(self) -> bool:
        """Return whether its programs are Python modules."""
        return self.lexer == "python"

    @cached_property
    def reader(self) -> Reader:
        """Return what reads its programs; loaded at first use, since the application reads none."""
        if self.grammar is not None:
            from engine.programs.languages.grammar import GrammarReader

            return GrammarReader(self.grammar, self.strict)
        if self.is_python:
            from engine.programs.languages.python_reader import PythonReader

            return PythonReader()
        from engine.programs.languages.text_reader import TextReader

        return TextReader()

    def file(self, stem: str) -> str:
        """Return the name of a file in this language."""
        return stem + self.suffix

    def outline(self, code: str) -> Outline:
        """Return a program's outline.

        Raises:
            ProgramError: it is not a valid program.
        """
        return self.reader.outline(code)

    def canonical_digest(self, code: str, required: Sequence[str]) -> str:
        """Return a digest in which names do not count; empty if the language has none.

        Raises:
            ProgramError: it is not a valid program.
        """
        return self.reader.canonical_digest(code, required)

    def unbound_names(self, code: str) -> list[str]:
        """Return names that a program reads but nothing defines; none if the language cannot tell.

        Raises:
            ProgramError: it is not a valid program.
        """
        return self.reader.unbound_names(code)

    def passages(self, code: str) -> list[Passage]:
        """Return a program's top-level definitions in order; none if the language has no parser.

        Raises:
            ProgramError: it is not a valid program.
        """
        return self.reader.passages(code)

    def changed_parts(self, before: str, after: str) -> list[str]:
        """Return names of the top-level parts that differ between two programs, in the order of `after`, removed last.

        Raises:
            ProgramError: one of them is not a valid program.
        """
        old, new = self.outline(before).parts, self.outline(after).parts
        changed = [name for name, digest in new.items() if old.get(name) != digest]
        return changed + [name for name in old if name not in new]

    def same(self, before: str, after: str) -> bool:
        """Tell whether two programs differ in layout and comments alone."""
        from engine.programs.outline import ProgramError

        try:
            return self.outline(before).digest == self.outline(after).digest
        except ProgramError:
            return before == after
