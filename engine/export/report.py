"""Write the report of a run: one HTML file that needs no other file and makes no request."""

from __future__ import annotations

import base64
import difflib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from engine.evaluation.picture import decode_picture
from engine.export.drawing import SIDE, draw_picture
from engine.export.record import RECOMBINED, Record
from engine.export.score_curve import HEIGHT, WIDTH, draw_curve
from engine.journal.clock import iso_time
from engine.state.best_known import describe_record
from engine.state.gain import describe_check
from engine.state.lineage import best_path
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.text import one_line, visible

__all__ = ["write_report"]

_FOLDER = Path(__file__).parent
_OPEN_BELOW = 200
"""A tree of more nodes begins with only the best path unfolded."""
_DEEPEST = 24
"""Levels that are indented; deeper nodes show their level as a number."""
_LESSONS = 500
_ACTS = 1000


class TreeRow(NamedTuple):
    """A node in the tree, parents before children."""

    node: Node
    depth: int
    children: int
    gain: float | None
    """Gain in the ranked quantity over the edited parent; positive is better."""


class DiffLine(NamedTuple):
    """A line of a diff and its kind: `same`, `added`, `removed` or `place`."""

    kind: str
    text: str


def write_report(record: Record, path: Path) -> None:
    """Write the report.

    Every text from programs, models and people is escaped, and control characters are shown as escapes. The page's
    content security policy allows only its own script and style sheet.

    Raises:
        OSError: the file cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "time": iso_time,
        "line": one_line,
        "seconds": _seconds,
        "checked": describe_check,
    }
    stream = environment.get_template("report.html.j2").stream(_context(record))
    stream.enable_buffering(64)
    with path.open("wb") as file:
        stream.dump(file, encoding="utf-8")


def _shown(value: Any) -> Any:
    """Return the output of a template expression; only plain text is escaped, our own markup passes."""
    return visible(value) if type(value) is str else value


def _context(record: Record) -> dict[str, Any]:
    state, start = record.state, record.start
    path = best_path(state)
    best = state.best_node
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    seed = record.code(path[0]) if path else ""
    code = record.code(path[-1]) if path else ""
    lessons = [node for node in state.nodes if node.lesson]
    return {
        "record": record,
        "state": state,
        "spec": state.spec,
        "ranking": state.ranking,
        "start": start,
        "best": best,
        "path": path,
        "on_path": set(path),
        "style": Markup(style),
        "script": Markup(script),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "recombined": RECOMBINED if record.recombined else "",
        "curve": draw_curve(state),
        "to_record": describe_record(state),
        "drawing": _drawing(record, best),
        "drawing_side": SIDE,
        "width": WIDTH,
        "height": HEIGHT,
        "rows": _rows(state),
        "folded": len(state.nodes) > _OPEN_BELOW,
        "deepest": _DEEPEST,
        "code": code,
        "diff": list(_diff(seed, code)) if len(path) > 1 else [],
        "front": sorted(state.fronts[0]) if state.fronts else [],
        "steps": [state.nodes[step.node] for step in state.best_steps],
        "lessons": lessons[-_LESSONS:],
        "lessons_in_all": len(lessons),
        "acts": record.acts[-_ACTS:],
        "acts_in_all": len(record.acts),
        "evaluation_seconds": sum(node.seconds for node in state.nodes),
        "settings": list(_flat(msgspec.to_builtins(state.settings))),
        "brief": record.reader.text(start.files.get("brief.md", "")),
    }


def _drawing(record: Record, best: Node | None) -> str:
    """Return what the evaluator drew of the best, as path data; empty if it drew nothing."""
    raw = record.reader.blob(best.picture_blob) if best is not None and best.picture_blob else b""
    picture = decode_picture(raw) if raw else None
    return "" if picture is None else draw_picture(picture)


def _rows(state: RunState) -> Iterator[TreeRow]:
    """Yield all nodes, each after its edited parent, siblings in the order of their numbers."""
    children: dict[int, list[int]] = {}
    roots = []
    for node in state.nodes:
        if node.parents:
            children.setdefault(node.parents[0], []).append(node.id)
        else:
            roots.append(node.id)
    pending = [(root, 0) for root in reversed(roots)]
    ranking = state.ranking
    while pending:
        number, depth = pending.pop()
        node = state.nodes[number]
        below = children.get(number, [])
        gain = ranking.gain(node, state.nodes[node.parents[0]]) if node.parents else None
        yield TreeRow(node, depth, len(below), gain)
        pending.extend((child, depth + 1) for child in reversed(below))


def _diff(before: str, after: str) -> Iterator[DiffLine]:
    kinds = {"+": "added", "-": "removed", "@": "place"}
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    for number, line in enumerate(lines):
        # The first two lines would name files.
        if number >= 2:
            yield DiffLine(kinds.get(line[:1], "same"), line)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "–" if value is None else str(value)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.8g}"
    return "–" if value is None else str(value)


def _seconds(value: float) -> str:
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{value:.1f} s"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
