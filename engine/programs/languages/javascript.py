"""JavaScript."""

from __future__ import annotations

from engine.programs.languages.base import Language
from engine.programs.languages.kinds import Grammar

__all__ = ["LANGUAGE"]

_GRAMMAR = Grammar(
    module="tree_sitter_javascript",
    functions=frozenset({"function_declaration", "generator_function_declaration"}),
    types=frozenset({"class_declaration"}),
    values=frozenset({"lexical_declaration", "variable_declaration"}),
    imports=frozenset({"import_statement"}),
    numbers=frozenset({"number"}),
    truths=frozenset({"true", "false"}),
    lists=frozenset({"array", "object"}),
    sizes=frozenset({"subscript_expression", "switch_case"}),
    binders=frozenset({"variable_declarator"}),
    wrappers=frozenset({"export_statement"}),
    lambdas=frozenset({"arrow_function", "function_expression"}),
)

_DISTANCE = """\
function distance(x, y) {
  return Math.sqrt(x * x + y * y);
}
"""
_CENTRE = """\
function centre(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
"""

LANGUAGE = Language(
    name="javascript",
    title="JavaScript",
    suffix=".js",
    comment="//",
    fence="javascript",
    fences=("javascript", "js", "mjs", "node"),
    lexer="javascript",
    grammar=_GRAMMAR,
    example=(_DISTANCE, _CENTRE),
)
