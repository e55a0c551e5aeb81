"""Which kinds of nodes of a tree-sitter grammar stand for what."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Grammar"]


@dataclass(frozen=True)
class Grammar:
    """A tree-sitter grammar: which of its kinds of nodes stand for what."""

    module: str
    """The module that holds it."""
    functions: frozenset[str]
    """Definitions of functions."""
    types: frozenset[str]
    """Definitions of types, with their methods."""
    values: frozenset[str]
    """Definitions of constants, variables and macros."""
    imports: frozenset[str]
    numbers: frozenset[str]
    truths: frozenset[str]
    """`true` and `false`."""
    lists: frozenset[str]
    """Lists and arrays of values, whose numbers have an index."""
    sizes: frozenset[str]
    """Nodes in which a number is a size, an index or a part of a type, which is never tuned."""
    binders: frozenset[str] = frozenset()
    """Nodes within `values`, `types` and `imports` that each bind a name."""
    containers: frozenset[str] = frozenset()
    """Nodes whose content counts as the program's top level."""
    wrappers: frozenset[str] = frozenset()
    """Nodes around one definition, such as its template."""
    leading: frozenset[str] = frozenset()
    """Nodes that belong to the definition after them."""
    lambdas: frozenset[str] = frozenset()
    """Values that are functions."""
    directives: re.Pattern[str] | None = None
    """How comments begin that a compiler obeys."""
    preambles: frozenset[str] = frozenset()
    """Imports of `"C"`, for which the comment directly before is code."""
    specs: frozenset[str] = frozenset()
    """Imports of one module each, where one that nothing reads, or one made twice, is an error."""
    ordered: bool = False
    """Whether a definition must stand before what uses it."""
    spaced: frozenset[str] = frozenset()
    """Nodes in which spaces and new lines part elements."""
    opaque: frozenset[str] = frozenset()
    """Leaves that hold text of the program which the grammar does not take apart."""
    names: frozenset[str] = frozenset({"identifier", "type_identifier", "namespace_identifier"})
    fields: frozenset[str] = frozenset({"field_identifier", "property_identifier", "package_identifier"})
    """Names of parts of objects, which are no names of the top level."""
