"""Rust."""

from __future__ import annotations

from engine.programs.languages.base import Language
from engine.programs.languages.kinds import Grammar

__all__ = ["LANGUAGE"]

_GRAMMAR = Grammar(
    module="tree_sitter_rust",
    functions=frozenset({"function_item"}),
    types=frozenset({"struct_item", "enum_item", "union_item", "trait_item", "type_item", "impl_item", "mod_item"}),
    values=frozenset({"const_item", "static_item", "macro_definition"}),
    imports=frozenset({"use_declaration"}),
    numbers=frozenset({"integer_literal", "float_literal"}),
    truths=frozenset({"boolean_literal"}),
    lists=frozenset({"array_expression", "tuple_expression"}),
    sizes=frozenset({"array_type", "index_expression", "type_arguments", "match_pattern", "enum_variant"}),
    leading=frozenset({"attribute_item"}),
)

_DISTANCE = """\
pub fn distance(x: f64, y: f64) -> f64 {
    (x * x + y * y).sqrt()
}
"""
_CENTRE = """\
pub fn centre(values: &mut [f64]) -> f64 {
    values.sort_by(|a, b| a.total_cmp(b));
    values[values.len() / 2]
}
"""

LANGUAGE = Language(
    name="rust",
    title="Rust",
    suffix=".rs",
    comment="//",
    fence="rust",
    fences=("rust", "rs"),
    lexer="rust",
    grammar=_GRAMMAR,
    example=(_DISTANCE, _CENTRE),
)
