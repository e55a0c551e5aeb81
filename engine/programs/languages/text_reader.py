"""Read programs of a language that nothing is known of: lines are all there is to compare."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from engine.programs.languages.passage import Passage
from engine.programs.outline import Outline, ProgramError

__all__ = ["TextReader"]


class TextReader:
    """Read programs as lines."""

    def outline(self, code: str) -> Outline:
        """Return a program's outline, in which layout does not count.

        Raises:
            ProgramError: it is empty.
        """
        lines = [" ".join(line.split()) for line in code.splitlines()]
        text = "\n".join(line for line in lines if line)
        if not text:
            raise ProgramError("syntax", "it is empty")
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        nothing: frozenset[str] = frozenset()
        return Outline(digest, {"<other>": digest}, nothing, nothing, nothing, frozenset(text.split()))

    def canonical_digest(self, code: str, required: Sequence[str]) -> str:
        """Return nothing: it is not known what a name is."""
        return ""

    def unbound_names(self, code: str) -> list[str]:
        """Return nothing: it is not known what a name is."""
        return []

    def passages(self, code: str) -> list[Passage]:
        """Return nothing: it is not known what a definition is."""
        return []
