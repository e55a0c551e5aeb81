"""Output of OpenEvolve: checkpoints, each a folder with metadata.json and a JSON file for each program, and its trace.

Its database drops programs, so that one checkpoint lacks parents which an earlier one or the trace still has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.errors import RunError
from engine.journal.events import Status
from engine.runs.imports.exported import EXPORTED, restore
from engine.runs.imports.history import History, ImportedNode, is_number, numbers_of
from engine.runs.imports.openevolve_trace import Step, call_of, read_trace, traces_in

__all__ = ["Output", "output_in", "read_openevolve"]

_LARGEST = 64 << 20


class Output(NamedTuple):
    """What a folder or file holds of a run."""

    checkpoints: list[Path]
    """The newest first."""
    trace: Path | None


def output_in(path: Path) -> Output | None:
    """Return the checkpoint or trace that a path is, or all that an output folder holds; None if it is neither."""
    if path.is_file():
        return Output([], path) if path in traces_in(path) else None
    if _is_checkpoint(path):
        return Output([path], None)
    checkpoints = {
        folder.resolve(): int(folder.name.rpartition("_")[2])
        for place in (path, path / "checkpoints", path / "openevolve_output" / "checkpoints")
        for folder in place.glob("checkpoint_*")
        if _is_checkpoint(folder) and folder.name.rpartition("_")[2].isdigit()
    }
    traces = traces_in(path) or traces_in(path / "openevolve_output")
    if not checkpoints and not traces:
        return None
    newest_first = sorted(checkpoints, key=lambda folder: checkpoints[folder], reverse=True)
    return Output(newest_first, traces[0] if traces else None)


def _is_checkpoint(folder: Path) -> bool:
    return (folder / "metadata.json").is_file() and (folder / "programs").is_dir()


def read_openevolve(output: Output) -> History:
    """Return the programs of all checkpoints, and those that only the trace has.

    Raises:
        RunError: a file cannot be read.
    """
    nodes: dict[str, ImportedNode] = {}
    files: set[str] = set()
    dimensions: frozenset[str] = frozenset()
    best = ""
    for folder in output.checkpoints:
        metadata = _read(folder / "metadata.json")
        stats = metadata.get("feature_stats")
        dimensions = dimensions or frozenset(stats if isinstance(stats, dict) else ())
        best = best or str(metadata.get("best_program_id") or "")
        places = _places(metadata.get("islands"))
        # A program has the same file in all checkpoints that hold it.
        fresh = [path for path in sorted((folder / "programs").glob("*.json")) if path.name not in files]
        files.update(path.name for path in fresh)
        for path in fresh:
            node = _node(_read(path), path, dimensions)
            if node.key in nodes:
                raise RunError(f"two programs have the id {node.key[:60]!r}")
            node.island = places.get(node.key) if node.island is None else node.island
            nodes[node.key] = node
    lacking = ["OpenEvolve keeps no lesson, and no program that its database dropped between two checkpoints"]
    if output.trace is not None:
        lacking = ["OpenEvolve keeps no lesson"]
        missed = _add_trace(nodes, read_trace(output.trace), dimensions)
        if missed:
            what = f"{missed} programs" if missed > 1 else "1 program"
            lacking.append(
                f"{what} of {output.trace.name} {'are' if missed > 1 else 'is'} left out: without "
                f"evolution_trace.include_code {'they have' if missed > 1 else 'it has'} no code"
            )
    if not nodes and output.trace is not None:
        raise RunError(
            f"{output.trace} holds no program", "OpenEvolve writes them if evolution_trace.include_code is true"
        )
    return History("OpenEvolve", list(nodes.values()), lacking, best)


def _places(islands: object) -> dict[str, int]:
    listed = islands if isinstance(islands, list) else []
    return {key: index for index, keys in enumerate(listed) if isinstance(keys, list) for key in map(str, keys)}


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise RunError(f"{path} has {path.stat().st_size:,} bytes, more than a program's record may have")
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, RecursionError) as exc:
        # NaN and Infinity are no JSON, and Python's writer writes them.
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raise RunError(f"{path} cannot be read: {exc}") from None
        if not isinstance(found, dict):
            raise RunError(f"{path} holds no record of a program") from None
    return found


def _node(found: dict[str, Any], path: Path, dimensions: frozenset[str]) -> ImportedNode:
    key, code = found.get("id"), found.get("code")
    if not isinstance(key, str) or not isinstance(code, str):
        raise RunError(f"{path} is no program of OpenEvolve: it has no id or no code")
    metadata = found.get("metadata")
    more: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    parent, island = found.get("parent_id"), more.get("island")
    node = ImportedNode(
        key=key,
        parents=[parent] if isinstance(parent, str) else [],
        code=code,
        at=_milliseconds(found.get("timestamp")),
        feedback=_said(found.get("artifacts_json")),
        island=island if isinstance(island, int) and island >= 0 else None,
    )
    _describe(node, more.get("changes") or found.get("changes_description"), more.get("migrant") is True)
    if not node.parents and not node.name:
        node.name = "initial program"
    _judge(node, found.get("metrics"), dimensions)
    if more.get("migrant") is not True:
        node.call = call_of(_first(found.get("prompts")), None, more.get("token_usage"))
    # A copy on another island inherits all metadata, but is no node that was exported.
    if isinstance(more.get(EXPORTED), dict) and not more.get("migrant"):
        restore(node, more[EXPORTED])
    return node


def _first(prompts: object) -> object:
    """Return what was asked and answered, whatever template it came from."""
    return next(iter(prompts.values()), None) if isinstance(prompts, dict) else None


def _describe(node: ImportedNode, changes: object, is_copy: bool) -> None:
    text = changes if isinstance(changes, str) and changes != "empty" else ""
    node.motivation = text
    node.name = text
    if text:
        node.operator = "full" if text == "Full rewrite" else "diff" if text.startswith("Change ") else "imported"
    if is_copy:
        node.operator = "copy"
        node.name = f"copy on island {node.island}: {text}" if text else f"copy on island {node.island}"


def _judge(node: ImportedNode, metrics: object, dimensions: frozenset[str]) -> None:
    figures: dict[str, Any] = metrics if isinstance(metrics, dict) else {}
    node.metrics = numbers_of(figures)
    node.score, node.status, node.reason = _score(figures, dimensions)
    if node.status == "crashed" and node.feedback:
        node.reason += f": {node.feedback[-3000:]}"


def _score(metrics: Mapping[str, Any], dimensions: frozenset[str]) -> tuple[float | None, Status, str]:
    error = metrics.get("error")
    score = metrics.get("combined_score")
    if isinstance(error, str) and error and not (is_number(score) and score):
        return None, "invalid", error
    if "error" in metrics and len(metrics) == 1 + ("timeout" in metrics):
        if metrics.get("timeout"):
            return None, "timeout", "it ran out of time"
        return None, "crashed", "its evaluation failed"
    if "combined_score" in metrics:
        try:
            value = float(score)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            value = None
        if value is not None:
            good = math.isfinite(value) and abs(value) <= 1e300
            return (value if good else None), "invalid", "" if good else f"its combined_score is {value}"
    named = [name for name in ("overall_score", "score") if is_number(metrics.get(name))]
    if len(named) == 1:
        return float(metrics[named[0]]), "invalid", ""
    known = [float(value) for name, value in metrics.items() if is_number(value) and name not in dimensions]
    return (sum(known) / len(known), "invalid", "") if known else (None, "invalid", "it has no figure")


def _add_trace(nodes: dict[str, ImportedNode], steps: list[Step], dimensions: frozenset[str]) -> int:
    """Add the programs that no checkpoint holds, and return how many had no code."""
    by_code = {node.code: node.key for node in nodes.values()}
    missed = set()
    for step in steps:
        known = nodes.get(step.child)
        if known is not None and step.call is not None and not (known.call and known.call.prompt):
            known.call = step.call
        for key, code in ((step.parent, step.parent_code), (step.child, step.child_code)):
            if key not in nodes and not code:
                missed.add(key)
            elif key not in nodes:
                node = ImportedNode(key, [], code)
                if key == step.child:
                    node.parents = [step.parent]
                    node.at, node.island = _milliseconds(step.timestamp), step.island
                    node.feedback = _said_of(step.artifacts)
                    _describe(node, step.changes, False)
                    _judge(node, step.child_metrics, dimensions)
                    node.call = step.call
                else:
                    _describe_parent(node, by_code.get(code), step.from_first)
                    _judge(node, step.parent_metrics, dimensions)
                    original = nodes.get(by_code.get(code, ""))
                    node.at = 0 if original is None else original.at
                nodes[key] = node
                by_code.setdefault(code, key)
    return len(missed - set(nodes))


def _describe_parent(node: ImportedNode, original: str | None, is_first: bool) -> None:
    """Say what a parent is that no step made: the trace logs no migration, and no step whose parent was dropped."""
    if original is not None:
        node.parents, node.operator, node.name = [original], "copy", "copy on another island"
    elif is_first:
        node.name = "initial program"
    else:
        node.parents = [f"the parent of {node.key}"]


def _milliseconds(seconds: object) -> int:
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < 4e10:
        return int(seconds * 1000)
    return 0


def _said(text: object) -> str:
    try:
        return _said_of(json.loads(text) if isinstance(text, str) else None)
    except (ValueError, RecursionError):
        return ""


def _said_of(artifacts: object) -> str:
    if not isinstance(artifacts, dict):
        return ""
    return "\n".join(f"[{name}] {value}" for name, value in artifacts.items())[:20480]
