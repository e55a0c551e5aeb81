"""What another system's run says of its programs, the same for all systems."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeGuard

from engine.errors import RunError
from engine.journal.events import Status

__all__ = [
    "History",
    "ImportedCall",
    "ImportedNode",
    "clean",
    "count_of",
    "in_order",
    "is_number",
    "numbers_of",
    "score_by",
    "seconds_of",
]


@dataclass
class ImportedCall:
    """The call of a model that wrote a program.

    Attributes:
        model: the model's name; empty if it is not known.
        prompt: role and text of each message; empty if they were not kept.
        answer: its text; empty if it was not kept.
        thoughts: what the model thought before.
        tokens_in: tokens of the prompt.
        tokens_out: tokens of the answer, thoughts included.
        usd: its cost; 0 if that is not known.
        seconds: how long it took; 0 if that is not known.
    """

    model: str = ""
    prompt: list[tuple[str, str]] = field(default_factory=list)
    answer: str = ""
    thoughts: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    seconds: float = 0.0


@dataclass
class ImportedNode:
    """One program.

    Attributes:
        key: the other system's name for it.
        parents: keys of the programs that it was made from, the edited one first.
        shown: keys of further programs that its design was shown.
        code: the program.
        at: when it was made, in milliseconds since 1970; 0 if that is not known.
        score: None if it failed.
        status: how it failed; it counts only if there is no score.
        seconds: how long its evaluation took; 0 if that is not known.
        metrics: all figures.
        name: a short title.
        motivation: why it was made.
        operator: how.
        reason: why it failed.
        lesson: what was learned from it.
        note: the whole report on it, if that is not the lesson alone.
        feedback: what its evaluator said in words.
        island: the island it was born on.
        call: the call that wrote it; None if nothing of it was kept.
    """

    key: str
    parents: list[str]
    code: str
    at: int = 0
    score: float | None = None
    status: Status = "invalid"
    seconds: float = 0.0
    shown: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    motivation: str = ""
    operator: str = "imported"
    reason: str = ""
    lesson: str = ""
    note: str = ""
    feedback: str = ""
    island: int | None = None
    call: ImportedCall | None = None


@dataclass
class History:
    """A run.

    Attributes:
        format: the system, as people name it.
        nodes: its programs.
        lacking: what the format does not have or what cannot be read, a sentence each.
        best: key of the program that the other system calls its best; empty if it names none.
    """

    format: str
    nodes: list[ImportedNode]
    lacking: list[str] = field(default_factory=list)
    best: str = ""


def score_by(history: History, key: str, required: bool) -> None:
    """Rank a run by one of its figures.

    Args:
        history: the run; its scores are replaced.
        key: the figure's name.
        required: whether scores of another name are of no use; else a run without that figure stays as it is.

    Raises:
        RunError: it is required, and no program has it.
    """
    scored = [node for node in history.nodes if node.score is not None]
    if not any(is_number(node.metrics.get(key)) for node in scored):
        if required and scored:
            raise RunError(
                f"no program has a figure {key[:60]!r}, by which the task ranks",
                f"Figures of the first are {', '.join(list(scored[0].metrics)[:12]) or 'none'}; --task names the task",
            )
        return
    for node in scored:
        value = node.metrics.get(key)
        node.score = float(value) if is_number(value) else None
        node.reason = "" if is_number(value) else f"it has no figure {key!r}"


def clean(history: History) -> None:
    """Make all texts of a run such as can be written: JSON may hold halves of characters."""
    for node in history.nodes:
        for item in fields(node):
            value = getattr(node, item.name)
            if isinstance(value, str):
                setattr(node, item.name, _clean(value))
        node.parents, node.shown = list(map(_clean, node.parents)), list(map(_clean, node.shown))
        node.metrics = {
            _clean(name): _clean(value) if isinstance(value, str) else value for name, value in node.metrics.items()
        }
        if node.call is not None:
            call = node.call
            call.model, call.answer, call.thoughts = map(_clean, (call.model, call.answer, call.thoughts))
            call.prompt = [(_clean(role), _clean(text)) for role, text in call.prompt]
    history.best = _clean(history.best)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def in_order(nodes: Iterable[ImportedNode]) -> list[ImportedNode]:
    """Return programs by their time, each behind its parents; parents that are not among them are left out.

    Raises:
        RunError: two programs have one key, or a program is its own ancestor.
    """
    by_key: dict[str, ImportedNode] = {}
    for node in nodes:
        if node.key in by_key:
            raise RunError(f"two programs have the id {node.key[:60]!r}")
        by_key[node.key] = node
    for node in by_key.values():
        node.parents = [key for key in dict.fromkeys(node.parents) if key in by_key and key != node.key]
        node.shown = [
            key for key in dict.fromkeys(node.shown) if key in by_key and key not in (node.key, *node.parents)
        ]
    done: set[str] = set()
    ordered: list[ImportedNode] = []
    for first in sorted(by_key.values(), key=lambda node: (node.at, node.key)):
        # Depth first, without recursion: a line of descent may be thousands long.
        path, on_path = [first], {first.key}
        while path:
            node = path[-1]
            waiting = next((key for key in node.parents if key not in done), None)
            if node.key in done or waiting is None:
                if node.key not in done:
                    done.add(node.key)
                    ordered.append(node)
                on_path.discard(path.pop().key)
            elif waiting in on_path:
                raise RunError(f"the program {waiting[:60]!r} is its own ancestor")
            else:
                path.append(by_key[waiting])
                on_path.add(waiting)
    return ordered


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value can be a score."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300


def count_of(value: object) -> int:
    """Return a number of tokens; 0 if it is none."""
    return int(value) if is_number(value) and 0 <= value < 1e12 else 0


def seconds_of(value: object) -> float:
    """Return how long something took; 0 if that is not known."""
    return float(value) if is_number(value) and 0 <= value < 1e9 else 0.0


def numbers_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics that a journal keeps: numbers, booleans, texts; those of inner tables by `table.name`.

    Tables within inner tables are left out.
    """
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": item for key, item in value.items() if "." not in key})
        else:
            flat[name] = value
    kept: dict[str, Any] = {}
    for name, value in flat.items():
        if isinstance(value, bool | str) or value is None:
            kept[name] = value[:4096] if isinstance(value, str) else value
        elif isinstance(value, int | float):
            kept[name] = value if math.isfinite(value) and abs(value) <= 1e300 else None
    return dict(list(kept.items())[:256])
