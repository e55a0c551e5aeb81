"""Parts of programs in other languages than Python for prompts, found by their top-level definitions."""

from __future__ import annotations

import re
from collections.abc import Collection

from engine.programs.languages.base import Language
from engine.programs.languages.passage import Passage
from engine.programs.outline import ProgramError

__all__ = ["outlined", "shortened", "signature", "source_of"]

_WORD = re.compile(r"[^\W\d]\w*")


def shortened(code: str, wanted: Collection[str], language: Language) -> str:
    """Return the functions of a recipe that are wanted, with the definitions and imports that they need.

    The whole code is returned if it is not valid or defines nothing that is wanted.
    """
    passages, lines = _passages(code, language), code.splitlines()
    needed = {name for item in passages for name in item.names if name in wanted}
    if not needed:
        return code
    texts = ["\n".join(lines[item.start : item.end]) for item in passages]
    while True:
        words = {
            word
            for item, text in zip(passages, texts, strict=True)
            if needed.intersection(item.names)
            for word in _WORD.findall(text)
        }
        if words <= needed:
            break
        needed |= words
    kept = [
        text
        for item, text in zip(passages, texts, strict=True)
        if item.kind == "import" or needed.intersection(item.names)
    ]
    return "\n".join(kept) + "\n"


def source_of(code: str, name: str, language: Language) -> str:
    """Return a top-level function or type of a program as it is written; empty if there is none of this name."""
    found = _named(code, name, language)
    return "\n".join(code.splitlines()[found.start : found.end]) if found else ""


def signature(code: str, name: str, language: Language) -> str:
    """Return the line or lines that open a top-level function or type; empty if there is none of this name."""
    found = _named(code, name, language)
    if found is None:
        return ""
    opening = found.opening if found.opening < found.end else found.start + 1
    return "\n".join(code.splitlines()[found.start : opening])


def outlined(code: str, whole: Collection[str], language: Language) -> str:
    """Return a program in which only some functions are whole; of the others their first lines are shown.

    The code is returned unchanged if it is not valid.
    """
    lines, out, at = code.splitlines(), [], 0
    for item in _passages(code, language):
        if (
            item.kind == "function"
            and not set(item.names) & set(whole)
            and item.opening < item.end
            and item.start >= at
        ):
            out += [*lines[at : item.opening], f"    {language.comment} ...", lines[item.end - 1]]
            at = item.end
    return "\n".join([*out, *lines[at:]]) + "\n"


def _named(code: str, name: str, language: Language) -> Passage | None:
    found = [item for item in _passages(code, language) if name in item.names and item.kind in ("function", "type")]
    return found[-1] if found else None


def _passages(code: str, language: Language) -> list[Passage]:
    try:
        return language.passages(code)
    except ProgramError:
        return []
