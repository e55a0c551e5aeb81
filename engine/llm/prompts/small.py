"""The short prompt for small models: they are asked for one function, and shown little more than it needs."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from engine.llm.prompts.excerpts import outlined, shortened, signature, source_of, untuned
from engine.llm.requests import DesignRequest
from engine.programs.languages.base import Language
from engine.programs.outline import ProgramError

__all__ = ["small_part"]

_WHOLE = 2_200
"""Characters of a program up to which it is shown whole."""
_EXAMPLE = 1_500
"""Most characters of another version of the function."""
_FRAME = re.compile(r"\bin ([A-Za-z_]\w*)")


def small_part(
    request: DesignRequest, functions: Sequence[str], language: Language, required: Collection[str] = ()
) -> dict[str, Any]:
    """Return the variables that the short prompt has beside those of the others.

    Args:
        request: the request; its seed draws the function that is asked for.
        functions: names of the parent's functions and classes.
        language: of the program.
        required: those of them that the evaluator uses; empty if it is not known.

    Returns:
        `focus`, the function that is asked for, empty for the whole program; its `signature`; `shown`, the parent,
        in which only that function is whole if the parent is long; `example`, another version of the function.
    """
    code = request.parent.code
    if required:
        # A new version of a function that nothing uses changes nothing: it would be refused as a duplicate.
        functions = [name for name in functions if name in required or _is_used(code, name, language)]
    versions = _versions(request, functions, language)
    focus = _focus(request, functions, versions)
    example = versions.get(focus)
    return {
        "focus": focus,
        "signature": signature(code, focus, language) if focus else "",
        "shown": untuned(code if len(code) <= _WHOLE or not focus else outlined(code, [focus], language), language),
        "example": {"title": example[0], "code": example[1]} if example else None,
    }


def _focus(request: DesignRequest, functions: Sequence[str], versions: Mapping[str, tuple[str, str]]) -> str:
    """Choose the function that is asked for: the one that failed, else half of the time one with another version."""
    if not functions:
        return ""
    rng = random.Random(f"{request.seed}/focus")
    if request.mode == "fix":
        named = [name for name in _FRAME.findall(request.parent.error) if name in functions]
        return named[-1] if named else ""
    if versions and (request.mode == "crossover" or rng.random() < 0.5):
        return rng.choice(list(versions))
    return rng.choice(list(functions))


def _is_used(code: str, name: str, language: Language) -> bool:
    """Return whether a program names one of its functions outside of that function."""
    rest = code.replace(source_of(code, name, language), "", 1)
    return re.search(rf"\b{re.escape(name)}\b", rest) is not None


def _versions(request: DesignRequest, functions: Sequence[str], language: Language) -> dict[str, tuple[str, str]]:
    """Return, by function, where another version of it stands and that version; of a crossover the other program's."""
    found: dict[str, tuple[str, str]] = {}
    if request.mode == "crossover":
        for node in request.inspirations[:1]:
            for name in functions:
                other = source_of(node.code, name, language)
                if other and other != source_of(request.parent.code, name, language) and len(other) <= _EXAMPLE:
                    found[name] = (f"Program #{node.id} has it so", other)
        return found
    for prior in request.priors:
        for recipe in prior.recipes:
            if recipe.language not in language.fences:
                continue
            for name in functions:
                if name not in found and name in _functions(recipe.code, language):
                    version = shortened(recipe.code, [name], language)
                    if len(version) <= _EXAMPLE:
                        found[name] = (prior.title, version)
    return found


def _functions(code: str, language: Language) -> frozenset[str]:
    try:
        return language.outline(code).functions
    except ProgramError:
        return frozenset()
