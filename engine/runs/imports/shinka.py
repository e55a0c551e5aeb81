"""Databases of ShinkaEvolve: a SQLite file with a table `programs`.

Its output folder has a folder `gen_N` for each generation beside it; why a program failed stands in the correct.json
there alone.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from engine.errors import RunError
from engine.journal.checks import guard
from engine.journal.events import Status
from engine.runs.imports.history import History, ImportedCall, ImportedNode, count_of, is_number, numbers_of, seconds_of

__all__ = ["database_in", "read_shinka"]

_LARGEST_REASON = 1 << 20

_COLUMNS = (
    "id", "code", "parent_id", "generation", "timestamp", "combined_score", "public_metrics", "correct", "metadata",
)  # fmt: skip
_MORE = ("text_feedback", "island_idx", "migration_history", "archive_inspiration_ids", "top_k_inspiration_ids")
_OPERATORS = {"cross": "crossover", "diff": "diff", "full": "full", "fix": "fix", "init": "seed"}


def database_in(folder: Path) -> Path | None:
    """Return the database that a path is, or the one in a folder; None if there is none."""
    # Prompts that it evolves stand in a database of their own.
    found = (path for path in sorted([*folder.glob("*.sqlite"), *folder.glob("*.db")]) if path.name != "prompts.sqlite")
    candidates = [folder] if folder.is_file() else list(found)
    for path in candidates:
        with contextlib.suppress(OSError), path.open("rb") as file:
            if file.read(15) == b"SQLite format 3":
                return path
    return None


def read_shinka(path: Path) -> History:
    """Return what a database holds; it is only read.

    Raises:
        RunError: it is no database of ShinkaEvolve, or it is damaged.
    """
    # A database in WAL mode that nobody has open is read as it lies: else two files would appear beside it. One with a
    # journal holds half of what was being written; SQLite refuses it if that has to be undone, which would write.
    is_live = any(path.with_name(f"{path.name}-{end}").exists() for end in ("wal", "journal"))
    how = "mode=ro" if is_live else "mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as connection:
            guard(connection)
            kinds = connection.execute("SELECT type, sql FROM sqlite_master WHERE name = 'programs'").fetchall()
            if [kind for kind, _ in kinds] != ["table"] or "virtual" in str(kinds[0][1]).lower().split("(")[0]:
                raise RunError(f"{path} is no database of ShinkaEvolve: it has no table 'programs'")
            there = {row[1] for row in connection.execute("PRAGMA table_xinfo(programs)")}
            absent = [name for name in _COLUMNS if name not in there]
            if absent:
                raise RunError(f"{path} is no database of ShinkaEvolve: its programs have no {', '.join(absent)}")
            names = [*_COLUMNS, *(name for name in _MORE if name in there)]
            rows = connection.execute(f"SELECT {', '.join(names)} FROM programs ORDER BY timestamp, id")
            nodes = [_node(dict(zip(names, row, strict=True)), path) for row in rows]
            best = _best(connection)
    except sqlite3.Error as exc:
        raise RunError(f"{path} cannot be read: {exc}") from None
    lacking = ["ShinkaEvolve keeps no lesson with a program; its private metrics are left out"]
    return History("ShinkaEvolve", nodes, lacking, best)


def _best(connection: sqlite3.Connection) -> str:
    """Return the key of the program that it calls its best; empty if it names none."""
    kinds = connection.execute("SELECT type FROM sqlite_master WHERE name = 'metadata_store'").fetchall()
    if kinds != [("table",)]:
        return ""
    row = connection.execute("SELECT value FROM metadata_store WHERE key = 'best_program_id'").fetchone()
    return str(row[0]) if row is not None and isinstance(row[0], str) else ""


def _node(row: dict[str, Any], path: Path) -> ImportedNode:
    if not isinstance(row["id"], str) or not isinstance(row["code"], str):
        raise RunError(f"{path} holds a program without id or code")
    more, public = _table(row["metadata"]), _table(row["public_metrics"])
    score, at, feedback = row["combined_score"], row["timestamp"], row.get("text_feedback")
    is_scored = bool(row["correct"]) and is_number(score)
    kind = str(more.get("patch_type") or "")
    beside = [*_list(row.get("archive_inspiration_ids")), *_list(row.get("top_k_inspiration_ids"))]
    # A crossover is shown one of them, drawn at random, which is certain only if there is one.
    others = beside if kind == "cross" and len(set(beside)) == 1 else []
    island, name = _born_on(row), str(more.get("patch_name") or "")
    node = ImportedNode(
        key=row["id"],
        parents=[*([row["parent_id"]] if isinstance(row["parent_id"], str) else []), *others],
        shown=beside,
        code=row["code"],
        at=int(at * 1000) if isinstance(at, int | float) and 0 < at < 4e10 else 0,
        score=float(score) if is_scored else None,
        metrics=numbers_of(public),
        name=f"{name} (copy for island {island})" if more.get("_is_island_copy") else name,
        motivation=str(more.get("patch_description") or ""),
        operator=_OPERATORS.get(kind, "imported"),
        feedback=feedback[:20480] if isinstance(feedback, str) else "",
        island=island,
    )
    node.seconds = seconds_of(more.get("evaluation_seconds", more.get("compute_time")))
    node.call = None if more.get("_is_island_copy") else _call(more)
    if not is_scored:
        node.status, node.reason = _failure(row, more, path)
    return node


def _call(more: dict[str, Any]) -> ImportedCall | None:
    """Return the call that wrote a program; None if nothing of it was kept."""
    found = more.get("llm_result")
    if not isinstance(found, dict):
        return None
    cost, took = found.get("cost"), more.get("sampling_seconds")
    return ImportedCall(
        model=found["model_name"] if isinstance(found.get("model_name"), str) else "",
        prompt=[
            (role, found[name])
            for role, name in (("system", "system_msg"), ("user", "msg"))
            if isinstance(found.get(name), str)
        ],
        answer=found["content"] if isinstance(found.get("content"), str) else "",
        thoughts=found["thought"] if isinstance(found.get("thought"), str) else "",
        tokens_in=count_of(found.get("input_tokens")),
        tokens_out=count_of(found.get("output_tokens")) + count_of(found.get("thinking_tokens")),
        usd=float(cost) if is_number(cost) and 0 <= cost < 1e9 else 0.0,
        seconds=seconds_of(took),
    )


def _born_on(row: dict[str, Any]) -> int | None:
    """Return the island that a program was born on: a migration moves it, and notes where from."""
    try:
        moves = json.loads(row.get("migration_history") or "[]")
    except (TypeError, ValueError, RecursionError):
        moves = []
    first = moves[0].get("from") if isinstance(moves, list) and moves and isinstance(moves[0], dict) else None
    island = first if isinstance(first, int) else row.get("island_idx")
    return island if isinstance(island, int) and island >= 0 else None


def _failure(row: dict[str, Any], more: dict[str, Any], path: Path) -> tuple[Status, str]:
    """Return how a program without a score failed, and why."""
    if row["correct"]:
        return "invalid", "its combined_score is no number"
    said = more.get("error") or more.get("stderr_log")
    results = path.parent / f"gen_{row['generation']}" / "results"
    if not said and isinstance(row["generation"], int) and results.is_dir():
        try:
            with (results / "correct.json").open("rb") as file:
                said = _table(file.read(_LARGEST_REASON).decode("utf-8", "replace")).get("error")
        except FileNotFoundError:
            return "timeout", "it left no result: its time ran out, or its process died"
        except OSError:
            said = None
    feedback = str(row.get("text_feedback") or "").strip()
    return "invalid", str(said or feedback or "its evaluator calls it incorrect")[-4000:]


def _table(text: object) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _list(text: object) -> list[str]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return []
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
