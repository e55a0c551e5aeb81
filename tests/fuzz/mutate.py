"""Change text, bytes and data at random, towards what breaks readers: depth, size, odd numbers, odd characters."""

from __future__ import annotations

import json
from random import Random
from typing import Any

__all__ = ["json_text", "mutated_bytes", "mutated_text", "odd_value"]

_ODD_TEXT = [
    "",
    "\0",
    "\ud800",
    "é\u202e",
    "\r\n",
    "'\"`",
    "{{",
    "{%",
    "../..",
    "a" * 5000,
    "-" * 20_000 + "1",
    "\x1b[2J",
    "NaN",
]
_ODD_NUMBERS = [0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 1e308, -1e308, 5e-324, 0.1]


def mutated_bytes(rng: Random, data: bytes, most: int = 8) -> bytes:
    """Return data with a few bytes changed, cut out, doubled or put in."""
    out = bytearray(data)
    for _ in range(rng.randint(1, most)):
        place = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0 if out:
                out[min(place, len(out) - 1)] = rng.randrange(256)
            case 1:
                del out[place : place + rng.choice([1, 4, 100])]
            case 2:
                out[place:place] = rng.randbytes(rng.choice([1, 4, 100]))
            case 3:
                start = rng.randrange(len(out) + 1)
                out[place:place] = out[start : start + rng.choice([8, 64, 512])]
            case 4:
                del out[place:]
    return bytes(out)


def mutated_text(rng: Random, text: str, pieces: list[str], most: int = 6) -> str:
    """Return text with some lines dropped, doubled or moved, and pieces or odd text put in."""
    lines = text.split("\n")
    for _ in range(rng.randint(0, most)):
        place = rng.randrange(len(lines) + 1)
        match rng.randrange(6):
            case 0:
                del lines[place : place + rng.randint(1, 3)]
            case 1:
                lines[place:place] = lines[rng.randrange(len(lines) + 1) :][: rng.randint(1, 5)]
            case 2:
                lines.insert(place, rng.choice(pieces))
            case 3 if lines:
                at = min(place, len(lines) - 1)
                cut = rng.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:cut] + rng.choice([*pieces, *_ODD_TEXT]) + lines[at][cut:]
            case 4:
                lines.reverse()
            case _:
                lines.insert(place, rng.choice(_ODD_TEXT))
        lines = lines or [""]
    return "\n".join(lines)


def odd_value(rng: Random, depth: int = 0) -> Any:
    """Return a value of JSON that a reader may not expect."""
    match rng.randrange(7 if depth < 3 else 4):
        case 0:
            return rng.choice(_ODD_NUMBERS)
        case 1:
            return rng.choice(_ODD_TEXT[3:])
        case 2:
            return rng.choice([None, True, False, [], {}])
        case 3:
            return rng.randrange(-3, 40)
        case 4:
            return [odd_value(rng, depth + 1) for _ in range(rng.randrange(4))]
        case 5:
            return {rng.choice(["a", "node", "", "models"]): odd_value(rng, depth + 1) for _ in range(rng.randrange(3))}
    value: Any = 1
    for _ in range(rng.choice([60, 400])):
        value = [value]
    return value


def json_text(rng: Random, value: Any) -> str:
    """Return a value as JSON with some of its parts replaced."""
    if rng.random() < 0.05:
        deep = rng.choice([500, 3_000, 200_000])
        return "[" * deep + "]" * rng.choice([0, deep])
    return json.dumps(_changed(rng, value, 0.3)).replace('"huge"', "9" * 5000).replace('"inf"', "1e999")


def _changed(rng: Random, value: Any, chance: float) -> Any:
    if rng.random() < chance * 0.3:
        return rng.choice(["huge", "inf", odd_value(rng)])
    if isinstance(value, dict):
        kept = {key: _changed(rng, below, chance) for key, below in value.items() if rng.random() > 0.03}
        return {**kept, "odd": odd_value(rng)} if rng.random() < 0.05 else kept
    if isinstance(value, list):
        return [_changed(rng, below, chance) for below in value]
    return value
