"""Find JSON objects in an answer, also those that models write wrongly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["in_object", "is_placeholder", "json_object"]

_MOST = 200
"""Most places to look for an object at, from either end."""
_MOST_REPAIRED, _LONGEST_REPAIRED = 6, 40_000
"""Most objects to mend, and most characters of one."""
_CONTROL = [
    (re.compile(r"\x08(?=(?:eta|egin|ar|inom|oldsymbol)\b)"), r"\\b"),
    (re.compile(r"\f(?=(?:rac|orall)\b)"), r"\\f"),
    (re.compile(r"\t(?=(?:heta|imes|ext|au|anh?|ilde)\b)"), r"\\t"),
    (re.compile(r"\r(?=(?:ho|ight|angle)\b)"), r"\\r"),
    (re.compile(r"\n(?=(?:abla|eq)\b)"), r"\\n"),
]
"""Escapes of JSON that are the beginning of a formula's command."""


def is_placeholder(value: object) -> bool:
    """Return whether a text is nothing but dots, as forms have them where an answer is to be filled in."""
    return isinstance(value, str) and not value.strip(" .…\n\t<>[](){}\"'")


def in_object(text: str, at: int) -> bool:
    """Return whether an offset lies within a JSON object."""
    return any(start <= at < end for start, end, _ in _objects(text))


def json_object(
    text: str, *keys: str, usable: Callable[[dict[str, Any]], bool] = bool, mend: bool = True
) -> dict[str, Any] | None:
    """Return the last usable JSON object in an answer that has one of these keys, whatever surrounds it; else None.

    Args:
        text: the answer.
        keys: of the object.
        usable: tells an answer from an echoed example.
        mend: whether to read also what is nearly JSON: an answer that was cut off would look complete.
    """

    def fits(found: Any) -> bool:
        return isinstance(found, dict) and any(key in found for key in keys) and usable(found)

    good = [found for _, _, found in _objects(text) if fits(found)]
    if not good and mend and any(key in text for key in keys):
        good = [found for found in _mended(text) if fits(found)]
    return _with_formulas(good[-1]) if good else None


def _objects(text: str) -> Iterator[tuple[int, int, Any]]:
    """Yield the outermost objects with their offsets."""
    decoder = json.JSONDecoder(strict=False)
    end = 0
    for at in _places(text):
        if at < end:
            continue
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        yield at, end, found


def _places(text: str) -> list[int]:
    places = [match.start() for match in re.finditer(r"\{", text)]
    return places if len(places) <= 2 * _MOST else places[:_MOST] + places[-_MOST:]


def _mended(text: str) -> Iterator[Any]:
    """Yield what may be meant by objects with trailing commas, single quotes, comments, backslashes."""
    from json_repair import loads

    end = 0
    tried = 0
    last = text.rfind("}") + 1
    for at in _places(text):
        if at < end or at >= last:
            continue
        # A formula's braces are no object.
        if not re.match(r"\{\s*(?:[\"'“‘]|//|/\*|#|\w+\s*:)", text[at : at + 200]):
            continue
        tried += 1
        if tried > _MOST_REPAIRED or last - at > _LONGEST_REPAIRED:
            return
        try:
            found = loads(text[at:last])
        except (ValueError, RecursionError):
            continue
        yield from found if isinstance(found, list) else [found]
        end = last if isinstance(found, dict | list) and found else end


def _with_formulas(value: Any) -> Any:
    """Return a value whose texts have the backslashes back that JSON took for escapes."""
    if isinstance(value, str):
        for pattern, meant in _CONTROL:
            value = pattern.sub(meant, value)
        return value
    if isinstance(value, list):
        return [_with_formulas(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_formulas(item) for key, item in value.items()}
    return value
