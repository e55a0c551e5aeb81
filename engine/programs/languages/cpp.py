"""C++."""

from __future__ import annotations

import dataclasses

from engine.programs.languages import c
from engine.programs.languages.base import Language

__all__ = ["GRAMMAR", "LANGUAGE"]

GRAMMAR = dataclasses.replace(
    c.GRAMMAR,
    module="tree_sitter_cpp",
    types=c.GRAMMAR.types | {"class_specifier", "alias_declaration", "concept_definition"},
    sizes=c.GRAMMAR.sizes | {"template_argument_list", "subscript_argument_list"},
    containers=c.GRAMMAR.containers | {"namespace_definition", "linkage_specification"},
    wrappers=frozenset({"template_declaration", "linkage_specification"}),
    lambdas=frozenset({"lambda_expression"}),
)

_DISTANCE = """\
#include <cmath>

double distance(double x, double y)
{
    return std::sqrt(x * x + y * y);
}
"""
_CENTRE = """\
#include <algorithm>
#include <vector>

double centre(std::vector<double> values)
{
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}
"""

LANGUAGE = Language(
    name="cpp",
    title="C++",
    suffix=".cpp",
    comment="//",
    fence="cpp",
    fences=("cpp", "c++", "cc", "cxx", "hpp", "c"),
    lexer="cpp",
    grammar=GRAMMAR,
    example=(_DISTANCE, _CENTRE),
)
