"""Go."""

from __future__ import annotations

import re

from engine.programs.languages.base import Language
from engine.programs.languages.kinds import Grammar

__all__ = ["LANGUAGE"]

_GRAMMAR = Grammar(
    module="tree_sitter_go",
    functions=frozenset({"function_declaration", "method_declaration"}),
    types=frozenset({"type_declaration"}),
    values=frozenset({"const_declaration", "var_declaration"}),
    imports=frozenset({"import_declaration"}),
    numbers=frozenset({"int_literal", "float_literal"}),
    truths=frozenset({"true", "false"}),
    lists=frozenset({"literal_value"}),
    sizes=frozenset({"array_type", "index_expression", "slice_expression", "expression_case"}),
    binders=frozenset({"const_spec", "var_spec", "type_spec", "type_alias"}),
    lambdas=frozenset({"func_literal"}),
    directives=re.compile(r"//(?:[a-z0-9]+:[a-z0-9]|export |extern |line )|/\*line |//\s*\+build "),
    preambles=frozenset({"import_declaration", "import_spec"}),
    specs=frozenset({"import_spec"}),
)

_DISTANCE = """\
package main

import "math"

func distance(x, y float64) float64 {
	return math.Sqrt(x*x + y*y)
}
"""
_CENTRE = """\
func centre(values []float64) float64 {
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	return sorted[len(sorted)/2]
}
"""

LANGUAGE = Language(
    name="go",
    title="Go",
    suffix=".go",
    comment="//",
    fence="go",
    fences=("go", "golang"),
    lexer="go",
    grammar=_GRAMMAR,
    example=(_DISTANCE, _CENTRE),
)
