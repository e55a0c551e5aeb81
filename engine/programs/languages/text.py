"""Text of any other language."""

from __future__ import annotations

from engine.programs.languages.base import Language

__all__ = ["LANGUAGE"]

LANGUAGE = Language(
    name="text",
    title="",
    suffix=".txt",
    comment="",
    fence="",
    fences=("text", "txt", "plaintext"),
    lexer="",
    example=("the program, line by line\n", ""),
    has_functions=False,
)
