"""Leave out imports that a splice has made idle or double, where the language takes such a one as an error (Go)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from engine.designers.recombine.languages.source import Item, Source
from engine.programs.languages.grammar import GrammarReader
from engine.programs.languages.parsed import texts

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["without_idle_imports"]

_VERSION = re.compile(r"v\d+")


class _Import(NamedTuple):
    name: str
    """The name by which the program reads it."""
    text: str
    item: Item
    node: Node
    alone: bool
    """Whether its item imports nothing else."""


def without_idle_imports(before: Source, after: Source) -> str:
    """Return a program without the imports that it has twice in a file, or that nothing in their file reads any more.

    An import that was idle before stays: its name may be another than its path tells.

    Args:
        before: the program before the edit.
        after: the program.
    """
    reader = after.language.reader
    if not isinstance(reader, GrammarReader) or not reader.grammar.specs:
        return after.code
    known = {
        (path, one.text): one.name in words
        for path, items, words in _files(before)
        for one in _imports(items, reader.grammar.specs)
    }
    gone: list[tuple[int, int]] = []
    for path, items, words in _files(after):
        seen: set[str] = set()
        for one in _imports(items, reader.grammar.specs):
            # The path of a version, or with a hyphen, does not tell the name.
            plain = one.name.isidentifier() and not _VERSION.fullmatch(one.name) and one.name not in ("_", "C")
            double = one.text in seen and one.name != "C"
            idle = plain and one.name not in words and known.get((path, one.text), True)
            seen.add(one.text)
            if double or idle:
                gone.append((one.item.start, one.item.end) if one.alone else (one.node.start_byte, one.node.end_byte))
    code = after.bytes
    for start, end in sorted(gone, reverse=True):
        first = code.rfind(b"\n", 0, start) + 1
        whole_line = not code[first:start].strip() and code[end : end + 1] in (b"\n", b"")
        code = code[:first] + code[end + 1 :] if whole_line else code[:start] + code[end:]
    return code.decode("utf-8", "surrogatepass")


def _files(source: Source) -> Iterator[tuple[str, list[Item], set[str]]]:
    """Yield each file's path, its items and the names that occur in them; one path is empty if it is one file."""
    found: dict[str, tuple[list[Item], set[str]]] = {}
    for item in source.items:
        items, words = found.setdefault(source.file_of(item.start), ([], set()))
        items.append(item)
        if item.kind != "import" and item.part is not None:
            words |= item.part.words
    for path, (items, words) in found.items():
        yield path, items, words


def _imports(items: list[Item], specs: frozenset[str]) -> Iterator[_Import]:
    for item in items:
        if item.kind != "import" or item.part is None:
            continue
        found: list[Node] = []
        pending = [item.part.node]
        while pending:
            node = pending.pop()
            if node.type in specs:
                found.append(node)
            else:
                pending += reversed(node.children)
        for node in found:
            path, alias = node.child_by_field_name("path"), node.child_by_field_name("name")
            if path is not None:
                own = texts(path).strip('"`').rpartition("/")[2]
                yield _Import(
                    texts(alias) if alias else own, " ".join(texts(node).split()), item, node, len(found) == 1
                )
