"""Short texts of numbers, times and nodes, the same on every screen."""

from __future__ import annotations

import unicodedata

from engine.state.node import Node
from tui.model.run_model import RunModel, has_mark

__all__ = ["age", "beside", "clock", "cut_middle", "fit", "marks", "outcome", "score_text", "short_score"]


def score_text(score: float | None) -> str:
    """Return a score with all digits that matter."""
    return "no score" if score is None else f"{score:.6g}"


def short_score(score: float) -> str:
    """Return a score in at most nine characters, with aligned digits if its size is ordinary."""
    if score == 0 or 1e-3 <= abs(score) < 1e5:
        whole = len(str(int(abs(score))))
        return f"{score:.{max(1, 6 - whole)}f}"
    return f"{score:.2e}" if 1e-99 < abs(score) < 1e99 else f"{score:.1e}"


def outcome(model: RunModel, node: Node) -> str:
    """Return what the node is ranked by, or its status if it has none, in at most nine characters."""
    value = model.state.ranking.of(node)
    if value is not None:
        return short_score(value)
    if node.score is not None:
        return "unranked"
    if node.status is not None:
        return node.status
    if node.id in model.state.verifications:
        return "fresh…"
    evaluation = model.state.evaluations.get(node.id)
    return "…" if evaluation is None or evaluation.running is None else f"{evaluation.running.stage}…"


def beside(model: RunModel, node: Node) -> str:
    """Return the score in at most nine characters if nodes are ranked by something else."""
    return short_score(node.score) if model.state.ranking.by_fitness and node.score is not None else ""


def marks(model: RunModel, node: Node) -> str:
    """Return three cells: best or its lineage, then quarantine, a broken constraint, marks of people; at most two."""
    first = "▲" if node.id == model.state.best else "┃" if node.id in model.best_lineage else " "
    signs = "".join(sign for mark, sign in _SIGNS if has_mark(node, mark))
    return first + (f"{signs:>2}" if len(signs) < 3 else f"{signs[0]}+")


_SIGNS = (
    ("quarantined", "?"), ("broken", "/"), ("pruned", "x"), ("pinned", "!"), ("starred", "*"), ("commented", '"'),
)  # fmt: skip


def cut_middle(text: str, cells: int) -> str:
    """Return a name in at most so many cells, cut in the middle, since its end (a time) distinguishes it."""
    if _cells(text) <= cells:
        return text
    if cells < 4:
        return _head(text, cells - 1) + "…" * (cells > 0)
    tail = _head(text[::-1], (cells - 1) * 2 // 3)[::-1]
    return f"{_head(text, cells - 1 - _cells(tail)).rstrip()}…{tail}"


def fit(text: str, cells: int) -> str:
    """Return the text in exactly so many cells; a cut text ends in a sign that says so."""
    shown = text if _cells(text) <= cells else _head(text, cells - 1) + "…" * (cells > 0)
    return shown + " " * (cells - _cells(shown))


def _head(text: str, cells: int) -> str:
    """Return the longest beginning of a text that fits."""
    if text.isascii():
        return text[: max(0, cells)]
    used = 0
    for at, char in enumerate(text):
        used += _width(char)
        if used > cells:
            return text[:at]
    return text


def _cells(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    return 0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")


def age(milliseconds: int) -> str:
    """Return a duration in at most four characters."""
    seconds = max(0, milliseconds) // 1000
    if seconds < 100:
        return f"{seconds}s"
    if seconds < 6000:
        return f"{seconds // 60}m"
    return f"{seconds // 3600}h" if seconds < 360_000 else f"{seconds // 86400}d"


def clock(milliseconds: int) -> str:
    """Return a time as local hours and minutes."""
    import time

    return time.strftime("%H:%M", time.localtime(milliseconds / 1000))
