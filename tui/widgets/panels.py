"""The panels beside the tree: workers, and the node under the cursor."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from engine.state.node import Node
from engine.text import one_line, visible
from tui.model.labels import age, outcome, score_text, short_score
from tui.model.rounds import WorkLine, work_lines, worker_limit
from tui.model.run_model import RunModel
from tui.widgets.painted import Piece
from tui.widgets.panel import Panel

__all__ = ["NodePeek", "WorkPanel"]


class WorkPanel(Panel):
    """A line for each worker: its round, its stage, and for how long."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: list[WorkLine] = []
        self._now: int | None = None
        self._workers = 0
        self._alive: bool | None = None
        self._reason = ""

    def show(self, model: RunModel, alive: bool, now: int | None) -> None:
        """Show what the workers do, and below that why the run waits.

        Args:
            model: the run.
            alive: whether an engine is at work.
            now: the time to measure durations against; None leaves durations out.
        """
        self._lines = work_lines(model.state, model.streams, now)
        self._workers = worker_limit(model.state)
        self._alive = alive
        self._now = now
        self._reason = model.filled(model.state.reason) if alive and model.state.status == "paused" else ""
        self.repaint()

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the title, then one worker per row."""
        if y == 0:
            if self._alive is None:
                return [(" Workers", "heading")]
            busy = sum(line.busy for line in self._lines)
            said = f"{busy} of {self._workers} busy" if self._alive else f"{len(self._lines)} rounds left open"
            return [(" Workers ", "heading"), (said, "dim")]
        room = self.size.height - 1
        index = y - 1
        if len(self._lines) > room and index == room - 1:
            return [(f" … and {len(self._lines) - room + 1} more", "dim")]
        if index >= len(self._lines):
            return self._why(index - len(self._lines), room - len(self._lines))
        line = self._lines[index]
        for_ = age(self._now - line.since) if self._now is not None else ""
        return [
            (f" {line.worker if line.phase != 'rerun' else '':>2} r{line.round:<5} {for_:>4} ", "dim"),
            (f"{line.phase:<10} ", "accent"),
            (line.detail, "plain"),
        ]

    def _why(self, index: int, room: int) -> Sequence[Piece]:
        """Return a row of the reason for the pause, which is wrapped since it says what to do."""
        if not self._reason:
            return []
        width = max(4, self.size.width - 2)
        rows = textwrap.wrap(one_line(self._reason, 1000), width, max_lines=room, placeholder=" …")
        return [(f" {rows[index]}", "best")] if index < len(rows) else []


class NodePeek(Panel):
    """A few lines about the node under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[list[Piece]] = []
        self._node: Node | None = None
        self._model: RunModel | None = None

    def show(self, model: RunModel, node: Node | None) -> None:
        """Show a node."""
        self._model, self._node = model, node
        self._rows = self._describe(model, node) if node is not None else []
        self.repaint()

    def on_resize(self) -> None:
        """Wrap the lines for the new width."""
        if self._model is not None:
            self.show(self._model, self._node)
        self.repaint_all()

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return one row."""
        return self._rows[y] if y < len(self._rows) else []

    def _describe(self, model: RunModel, node: Node) -> list[list[Piece]]:
        parent = model.parent(node)
        named = self._wrap(f"#{node.id} {node.name}", 3)
        rows: list[list[Piece]] = [[(f" {line}", "heading")] for line in named]
        if not node.name.startswith(node.operator):
            rows[-1].append((f"  {one_line(node.operator, 24)}", "dim"))
        look = "ok" if node.status == "ok" else "bad" if node.status else "dim"
        sure = f" ±{node.spread or 0:.2g} of {node.measurements}" if node.measurements > 1 else ""
        change = _gain(node.score, parent, parent.score if parent is not None else None)
        if model.state.ranking.by_fitness and node.score is not None:
            gain = _gain(node.fitness, parent, parent.fitness if parent is not None else None)
            rows.append([(f" fitness {outcome(model, node)}{gain}", look), (f"  round {node.round}", "dim")])
            rows.append([(f" score {short_score(node.score)}{sure}{change}", "plain")])
        else:
            rows.append([(f" {outcome(model, node)}{sure}{change}", look), (f"  round {node.round}", "dim")])
        for text, look in (
            (node.reason, "bad"),
            (node.broken, "bad"),
            (node.lesson, "plain"),
            (node.motivation, "dim"),
        ):
            rows += [[(f" {line}", look)] for line in self._wrap(text)]
        return rows

    def _wrap(self, text: str, most: int = 4) -> list[str]:
        flat = " ".join(visible(text[:600]).split())
        return textwrap.wrap(flat, max(20, self.size.width - 2), max_lines=most, placeholder=" …")


def _gain(value: float | None, parent: Node | None, before: float | None) -> str:
    """Return the gain over the parent, or only the parent if a number is missing."""
    if parent is None:
        return ""
    if value is None or before is None:
        return f" from #{parent.id}"
    return f" ({value - before:+.4g} on #{parent.id} {score_text(before)})"
