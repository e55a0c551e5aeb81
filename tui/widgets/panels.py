"""The panels beside the tree: plot, workers, notes, and the node under the cursor."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from engine.journal.events import BestCrowned, EvalDone
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.text import one_line, visible
from tui.model.labels import age, clock, outcome, score_text, short_score
from tui.model.rounds import WorkLine, work_lines, worker_limit
from tui.model.run_model import Note, RunModel
from tui.model.score_plot import ScorePlot
from tui.session import ModelChange
from tui.widgets.painted import Painted, Piece

__all__ = ["NodePeek", "NotesPanel", "PlotPanel", "WorkPanel"]

_AXIS = 10


class PlotPanel(Painted):
    """A plot of fitness or score over nodes, with the best so far as a line."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._model: RunModel | None = None
        self._plot: ScorePlot | None = None
        self._rankings = 0

    def take(self, change: ModelChange, model: RunModel) -> None:
        """Draw changes into the plot's dots, without painting."""
        if change.reset or model is not self._model or self._rankings != model.state.rankings:
            self._model = model
            self._load()
            return
        if self._plot is None:
            return
        state = model.state
        for event in change.events:
            if isinstance(event.data, EvalDone | BestCrowned) and event.node is not None:
                self._plot.update(
                    state.nodes[event.node], state.nodes, state.best_steps, isinstance(event.data, EvalDone)
                )

    def on_resize(self) -> None:
        """Draw the plot for the new size."""
        self._load()
        self.repaint_all()

    def _load(self) -> None:
        self._plot = None
        self._rankings = self._model.state.rankings if self._model is not None else 0
        if self._model is None or self.size.height < 3 or self.size.width < _AXIS + 8:
            return
        state = self._model.state
        self._plot = ScorePlot(self.size.width - _AXIS - 1, self.size.height - 1, state.ranking)
        self._plot.load(state.nodes, state.best_steps)

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the title, then dots behind their axis."""
        plot, model = self._plot, self._model
        if y == 0:
            name = model.state.ranking.name if model is not None else "score"
            shown = f"  0–{plot.capacity}" if plot is not None else ""
            return [(f" {one_line(name, 30)}", "heading"), (f" by node{shown}", "dim")]
        if plot is None or y > plot.height:
            return []
        if plot.top is None and model is not None and (y == 1 or not model.state.counts):
            return [(f" {_awaited_score(model.state)}", "dim")] if y == 1 else []
        row = y - 1
        value = {0: plot.top, plot.height - 2: plot.bottom}.get(row)
        lowest = "unranked" if model is not None and model.state.ranking.by_fitness else "failed"
        label = lowest if row == plot.height - 1 else short_score(value) if value is not None else ""
        look = "bad" if row == plot.height - 1 else "plain"
        return [(f"{label:>{_AXIS - 1}} │", "dim"), *_runs(plot.text(row), plot.best_cells(row), look)]


def _awaited_score(state: RunState) -> str:
    """Return what a plot without a score waits for."""
    if not state.nodes:
        return "no score yet: the first program is not there"
    if state.status not in ("running", "paused"):
        return "no score: no program could be measured"
    open_ = next((node for node in state.nodes if node.status is None), None)
    what = f"#{open_.id} is being measured" if open_ is not None else "it comes with the next program that is measured"
    return f"no score yet: {what}"


def _runs(text: str, best: bytes, look: str) -> list[Piece]:
    """Return the text split where the best line starts and ends."""
    pieces: list[Piece] = []
    start = 0
    for index in range(1, len(text) + 1):
        if index == len(text) or bool(best[index]) != bool(best[start]):
            pieces.append((text[start:index], "best" if best[start] else look))
            start = index
    return pieces


class WorkPanel(Painted):
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
        self._lines = work_lines(model.state, model.streams)
        self._workers = worker_limit(model.state)
        self._alive = alive
        self._now = now
        self._reason = model.state.reason if alive and model.state.status == "paused" else ""
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


class NotesPanel(Painted):
    """What was learned, newest last. A full panel turns half a page, so that a note costs only its own row."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._notes: Sequence[Note] = ()
        self._from = 0

    def show(self, model: RunModel) -> None:
        """Show the newest notes."""
        if self._notes is not model.notes:
            self._notes = model.notes
            self._from = 0
        self._turn()
        self.repaint()

    def on_resize(self) -> None:
        """Fit the newest notes into the new size."""
        self._from = 0
        self._turn()
        self.repaint_all()

    def _turn(self) -> None:
        room = max(1, self.size.height - 1)
        count = len(self._notes)
        if count - self._from > room:
            # Fill the panel at the start and after a jump; then turn by halves.
            one_by_one = count - self._from <= room + 8
            self._from = count - (room // 2 + 1 if one_by_one and room > 3 else room)
        self._from = max(0, self._from)

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the title, then one note per row."""
        if y == 0:
            return [(" Notes", "heading"), (" newest last", "dim")]
        index = self._from + y - 1
        if index >= len(self._notes):
            return [(" nothing yet: lessons of the nodes appear here", "dim")] if y == 1 and not self._notes else []
        note = self._notes[index]
        whose = f"#{note.node}" if note.node is not None else ""
        sign, look = _NOTE_LOOKS[note.kind]
        return [
            (f" {clock(note.at)} {sign}", look),
            (f"{whose:<6} ", "dim"),
            (one_line(note.text, 200), "plain" if look == "dim" else look),
        ]


_NOTE_LOOKS = {
    "lesson": (" ", "dim"),
    "failure": ("✗", "bad"),
    "best": ("▲", "best"),
    "comment": ("“", "accent"),
    "hint": ("»", "accent"),
    "prior": ("+", "accent"),
    "run": ("■", "heading"),
    "refused": ("!", "bad"),
}


class NodePeek(Painted):
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
        rows: list[list[Piece]] = [
            [(f" #{node.id} {one_line(node.name, 80)}", "heading"), (f"  {one_line(node.operator, 24)}", "dim")]
        ]
        look = "ok" if node.status == "ok" else "bad" if node.status else "dim"
        sure = f" ±{node.spread or 0:.2g} of {node.measurements}" if node.measurements > 1 else ""
        change = _gain(node.score, parent, parent.score if parent is not None else None)
        if model.state.ranking.by_fitness and node.score is not None:
            gain = _gain(node.fitness, parent, parent.fitness if parent is not None else None)
            rows.append([(f" fitness {outcome(model, node)}{gain}", look), (f"  round {node.round}", "dim")])
            rows.append([(f" score {short_score(node.score)}{sure}{change}", "plain")])
        else:
            rows.append([(f" {outcome(model, node)}{sure}{change}", look), (f"  round {node.round}", "dim")])
        for text, look in ((node.reason, "bad"), (node.lesson, "plain"), (node.motivation, "dim")):
            rows += [[(f" {line}", look)] for line in self._wrap(text)]
        return rows

    def _wrap(self, text: str) -> list[str]:
        flat = " ".join(visible(text[:600]).split())
        return textwrap.wrap(flat, max(20, self.size.width - 2))[:4]


def _gain(value: float | None, parent: Node | None, before: float | None) -> str:
    """Return the gain over the parent, or only the parent if a number is missing."""
    if parent is None:
        return ""
    if value is None or before is None:
        return f" from #{parent.id}"
    return f" ({value - before:+.4g} on #{parent.id} {score_text(before)})"
