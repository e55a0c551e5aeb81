"""The evolution trace of OpenEvolve: one step from a parent to a child a line, as JSON lines, gzip of them, or JSON."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import RunError
from engine.runs.imports.history import ImportedCall, count_of

__all__ = ["Step", "call_of", "read_trace", "traces_in"]

_LARGEST = 1 << 30
"""Most bytes that are read, once unpacked."""
_NAME = "evolution_trace"
_ENDINGS = (".jsonl", ".jsonl.gz", ".json")


class Step(NamedTuple):
    """A child that was made of a parent."""

    parent: str
    child: str
    parent_code: str
    """Empty if the trace has no code."""
    child_code: str
    parent_metrics: object
    child_metrics: object
    timestamp: object
    island: int | None
    changes: object
    artifacts: object
    from_first: bool
    """Whether the parent is of generation 0: the initial program, or a copy of it."""
    call: ImportedCall | None


def traces_in(path: Path) -> list[Path]:
    """Return the trace that a file is by its name, or those in a folder.

    Raises:
        RunError: the only one is in HDF5.
    """
    if path.is_file():
        is_trace = path.name.endswith(_ENDINGS) and path.name != "nodes.json"
        candidates = [path] if is_trace or path.suffix in (".h5", ".hdf5") else []
    else:
        candidates = [path / f"{_NAME}{ending}" for ending in (*_ENDINGS, ".hdf5", ".h5")]
    found = [candidate for candidate in candidates if candidate.is_file()]
    readable = [candidate for candidate in found if candidate.name.endswith(_ENDINGS)]
    if found and not readable and path.is_file():
        raise RunError(
            f"{found[0]} is a trace in HDF5, which is not read here",
            "OpenEvolve's load_traces and export_traces (openevolve.utils.trace_export_utils) turn it into .jsonl",
        )
    return readable


def read_trace(path: Path) -> list[Step]:
    """Return the steps of a trace, in its order.

    Raises:
        RunError: it cannot be read, or it is no trace of OpenEvolve.
    """
    steps = []
    for number, found in enumerate(_records(path), start=1):
        parent, child = found.get("parent_id"), found.get("child_id")
        if not isinstance(parent, str) or not isinstance(child, str):
            raise RunError(f"{path} is no trace of OpenEvolve: its step {number} has no parent_id or no child_id")
        metadata = found.get("metadata")
        more: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
        island = found.get("island_id")
        steps.append(
            Step(
                parent, child, _code(found.get("parent_code")), _code(found.get("child_code")),
                found.get("parent_metrics"), found.get("child_metrics"), found.get("timestamp"),
                island if isinstance(island, int) and island >= 0 else None,
                more.get("changes") or found.get("child_changes_description"), found.get("artifacts"),
                found.get("generation") == 1,
                call_of(found.get("prompt"), found.get("llm_response"), more.get("token_usage")),
            )
        )  # fmt: skip
    return steps


def call_of(prompt: object, answer: object, usage: object) -> ImportedCall | None:
    """Return the call of a model as OpenEvolve writes it; None if nothing of it was kept."""
    asked: dict[str, Any] = prompt if isinstance(prompt, dict) else {}
    used: dict[str, Any] = usage if isinstance(usage, dict) else {}
    answers = asked.get("responses")
    if not isinstance(answer, str):
        answer = answers[0] if isinstance(answers, list) and answers and isinstance(answers[0], str) else ""
    call = ImportedCall(
        model=used["model"] if isinstance(used.get("model"), str) else "",
        prompt=[(role, asked[role]) for role in ("system", "user") if isinstance(asked.get(role), str)],
        answer=answer,
        tokens_in=count_of(used.get("prompt_tokens")),
        tokens_out=count_of(used.get("completion_tokens")),
    )
    return call if call.prompt or call.answer or call.tokens_in or call.tokens_out else None


def _code(value: object) -> str:
    return value if isinstance(value, str) else ""


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = _text(path)
        if path.suffix == ".json":
            whole = json.loads(text)
            listed = whole.get("traces") if isinstance(whole, dict) else whole
        else:
            lines = [line for line in text.split("\n") if line.strip()]
            # Each line is written at once, but a run that was killed may have left half of its last one.
            listed = [json.loads(line) for line in lines[:-1]]
            if lines and (text.endswith("\n") or lines[-1].endswith("}")):
                listed.append(json.loads(lines[-1]))
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as exc:
        raise RunError(f"{path} cannot be read: {exc}") from None
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise RunError(f"{path} is no trace of OpenEvolve: it holds no list of steps")
    yield from listed


def _text(path: Path) -> str:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise RunError(f"{path} holds more than {_LARGEST >> 30} GiB")
    return content.decode("utf-8")
