"""Read prompts with verifiable answers from the user's JSONL file."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

__all__ = ["SetupError", "is_right", "read_rows", "split_rows"]

_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_SAID = re.compile(r"(?:####|[Aa]nswer(?: is)?\s*:?)\s*([^\n]+)")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


class SetupError(Exception):
    """One of the user's files is missing or invalid; the message names the file and the row."""


def read_rows(path: str) -> list[dict[str, Any]]:
    """Read the rows of a JSONL file: `prompt`, `answer` (text) and `line` (line number from 1).

    Raises:
        SetupError: the file is missing or empty, or a line is not an object with the texts `prompt` and `answer`.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise SetupError(f"`data` = '{path}' does not exist here (is its folder among `mounts`?)") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise SetupError(f"`data` = '{path}' cannot be read: {exc}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as exc:
            raise SetupError(f"{path}:{number}: not JSON: {exc}") from None
        if not isinstance(found, dict):
            raise SetupError(f"{path}:{number}: a row must be an object, not {type(found).__name__}")
        for key in ("prompt", "answer"):
            value = found.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool) and key == "answer":
                found[key] = value = str(value)
            if not isinstance(value, str) or not value.strip():
                keys = ", ".join(map(str, found)) or "none"
                raise SetupError(f"{path}:{number}: a row needs a text as '{key}' (its keys: {keys})")
        rows.append({"prompt": found["prompt"], "answer": found["answer"], "line": number})
    if not rows:
        raise SetupError(f"`data` = '{path}' holds no rows")
    return rows


def split_rows(
    rows: list[dict[str, Any]], held_out: int, path: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Split rows into training and held-out ones by a hash of the prompt, so that equal prompts stay together.

    Raises:
        SetupError: there are fewer than two prompts on a side.
    """
    order = sorted({row["prompt"] for row in rows}, key=lambda text: hashlib.sha256(text.encode()).digest())
    chosen = set(order[: min(held_out, len(order) // 5)])
    if len(chosen) < 2:
        raise SetupError(f"`data` = '{path}' has {len(order)} different prompts; 10 or more are needed")
    return [row for row in rows if row["prompt"] not in chosen], [row for row in rows if row["prompt"] in chosen]


def is_right(text: str, answer: str) -> bool:
    """Tell whether a written answer matches the right one.

    The answer is the last \\boxed{…}, else the text after the last '####' or 'answer:', else the whole text, else its
    last number if the right answer is a number.
    """
    wanted = _plain(answer)
    said = _BOXED.findall(text) or _SAID.findall(text)
    if said:
        return _plain(said[-1]) == wanted
    if _plain(text) == wanted:
        return True
    numbers = _NUMBER.findall(text)
    return bool(numbers) and _NUMBER.fullmatch(answer.strip()) is not None and _plain(numbers[-1]) == wanted


def _plain(text: str) -> str:
    """Normalise a text: remove case, spaces and surrounding punctuation; write numbers in one format."""
    text = " ".join(text.strip().strip("$.").lower().split())
    if _NUMBER.fullmatch(text):
        number = float(text.replace(",", ""))
        return str(int(number)) if number.is_integer() else repr(number)
    return text
