"""Read programs of a language that tree-sitter has a grammar for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from engine.programs.languages.parsed import Grammar, Parsed, parse, texts
from engine.programs.languages.passage import Passage
from engine.programs.outline import Outline, ProgramError

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["GrammarReader"]


class GrammarReader:
    """Read programs by a grammar.

    Args:
        grammar: the grammar.
        strict: whether a syntax error is one: a grammar may not know what a compiler takes.
    """

    def __init__(self, grammar: Grammar, strict: bool = True) -> None:
        self.grammar = grammar
        self._strict = strict

    def parsed(self, code: str) -> Parsed:
        """Return a program, parted at its top level.

        Raises:
            ProgramError: it has a syntax error.
        """
        found = parse(self.grammar, code)
        if found.error and self._strict:
            raise ProgramError("syntax", found.error)
        return found

    def outline(self, code: str) -> Outline:
        """Return a program's outline.

        Raises:
            ProgramError: it has a syntax error.
        """
        found = self.parsed(code)
        parts: dict[str, str] = {}
        for part in found.parts:
            for name in part.names or ("<other>",):
                parts[name] = hashlib.sha256((parts.get(name, "") + part.text).encode()).hexdigest()
        return Outline(
            digest=found.digest,
            parts=parts,
            functions=frozenset(name for part in found.parts if part.kind == "function" for name in part.names),
            classes=frozenset(name for part in found.parts if part.kind == "type" for name in part.names),
            imports=frozenset(name for part in found.parts if part.kind == "import" for name in _imported(part.node)),
            names=frozenset(name for part in found.parts for name in part.words),
        )

    def canonical_digest(self, code: str, required: Sequence[str]) -> str:
        """Return nothing: names count."""
        return ""

    def unbound_names(self, code: str) -> list[str]:
        """Return nothing: headers may define any name."""
        return []

    def passages(self, code: str) -> list[Passage]:
        """Return a program's top-level definitions in order.

        Raises:
            ProgramError: it has a syntax error.
        """
        found = self.parsed(code)
        passages: list[Passage] = []
        for part in found.parts:
            first = found.source.count(b"\n", 0, part.start)
            last = part.node.end_point[0]
            # A directive of the preprocessor ends at the beginning of the next line.
            end = last + 1 if part.node.end_point[1] else last
            body = next((node for node in _within(part.node) if node.type in _BODIES), None)
            opening = body.start_point[0] + 1 if part.kind == "function" and body is not None else end
            names = () if part.kind == "import" else part.names
            passages.append(Passage(names, part.kind, first, end, opening))
        return passages


_BODIES = frozenset({"compound_statement", "block", "statement_block"})
_QUOTED = re.compile(r"[\"'`<]([^\"'`<>\n]+)[\"'`>]")


def _within(node: Node) -> Iterator[Node]:
    for child in node.children:
        yield child
        yield from _within(child)


def _imported(node: Node) -> list[str]:
    """Return what an import names: `stdio.h` for `#include <stdio.h>`, `std::mem` for `use std::mem;`."""
    text = texts(node)
    quoted = _QUOTED.findall(text)
    if quoted:
        return list(quoted)
    return [name.strip() for name in text.partition(" ")[2].rstrip("; \n").split(",") if name.strip()]
