"""C."""

from __future__ import annotations

from engine.programs.languages.base import Language
from engine.programs.languages.kinds import Grammar

__all__ = ["GRAMMAR", "LANGUAGE"]

GRAMMAR = Grammar(
    module="tree_sitter_c",
    functions=frozenset({"function_definition"}),
    types=frozenset({"type_definition", "struct_specifier", "union_specifier", "enum_specifier"}),
    values=frozenset({"declaration", "preproc_def", "preproc_function_def"}),
    imports=frozenset({"preproc_include"}),
    numbers=frozenset({"number_literal"}),
    truths=frozenset({"true", "false"}),
    lists=frozenset({"initializer_list"}),
    sizes=frozenset({"array_declarator", "subscript_expression", "case_statement", "bitfield_clause", "enumerator"}),
    binders=frozenset({"init_declarator"}),
    containers=frozenset({"preproc_if", "preproc_ifdef", "preproc_else", "preproc_elif", "preproc_elifdef"}),
    opaque=frozenset({"preproc_arg"}),
    ordered=True,
)

_DISTANCE = """\
#include <math.h>

double distance(double x, double y)
{
    return sqrt(x * x + y * y);
}
"""
_CENTRE = """\
double centre(const double *values, int count)
{
    double sum = 0.0;
    for (int i = 0; i < count; ++i)
        sum += values[i];
    return sum / count;
}
"""

LANGUAGE = Language(
    name="c",
    title="C",
    suffix=".c",
    comment="//",
    fence="c",
    fences=("c", "h", "c99", "c11", "c17"),
    lexer="c",
    grammar=GRAMMAR,
    example=(_DISTANCE, _CENTRE),
)
