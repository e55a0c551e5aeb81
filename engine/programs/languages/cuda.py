"""CUDA C++."""

from __future__ import annotations

import dataclasses

from engine.programs.languages import cpp

__all__ = ["LANGUAGE"]

LANGUAGE = dataclasses.replace(
    cpp.LANGUAGE,
    name="cuda",
    title="CUDA C++",
    suffix=".cu",
    fence="cuda",
    fences=("cuda", "cu", *cpp.LANGUAGE.fences),
    lexer="cuda",
    grammar=dataclasses.replace(cpp.GRAMMAR, module="tree_sitter_cuda"),
)
