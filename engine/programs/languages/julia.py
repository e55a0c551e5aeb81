"""Julia."""

from __future__ import annotations

from engine.programs.languages.base import Language
from engine.programs.languages.kinds import Grammar

__all__ = ["LANGUAGE"]

_GRAMMAR = Grammar(
    module="tree_sitter_julia",
    functions=frozenset({"function_definition", "macro_definition"}),
    types=frozenset({"struct_definition", "abstract_definition", "primitive_definition"}),
    values=frozenset({"const_statement", "assignment"}),
    imports=frozenset({"using_statement", "import_statement"}),
    numbers=frozenset({"integer_literal", "float_literal"}),
    truths=frozenset({"boolean_literal"}),
    lists=frozenset({"vector_expression", "matrix_expression", "tuple_expression", "matrix_row"}),
    sizes=frozenset({"index_expression", "curly_expression", "range_expression"}),
    containers=frozenset({"module_definition"}),
    # `[x -1]` has two elements, and so has a macro called with `x -1`; `x - 1` is one.
    spaced=frozenset({"vector_expression", "matrix_expression", "comprehension_expression", "macrocall_expression"}),
    fields=frozenset(),
)

_DISTANCE = """\
function distance(x, y)
    return sqrt(x^2 + y^2)
end
"""
_CENTRE = """\
function centre(values)
    return sort(values)[(end + 1) ÷ 2]
end
"""

LANGUAGE = Language(
    name="julia",
    title="Julia",
    suffix=".jl",
    comment="#",
    fence="julia",
    fences=("julia", "jl"),
    lexer="julia",
    grammar=_GRAMMAR,
    example=(_DISTANCE, _CENTRE),
)
