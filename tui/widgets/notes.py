"""The panel of notes: what was learned, refused and done, newest last; with the focus it is scrolled and filtered."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from engine.runs.folder import fill_run
from engine.state.trouble import describe_in_vain
from engine.text import one_line
from tui.model.labels import clock
from tui.model.run_model import Note, NoteKind, RunModel
from tui.widgets.painted import Piece
from tui.widgets.rows import RowsView

__all__ = ["NOTE_FILTERS", "NotesPanel"]

NOTE_FILTERS: dict[str, frozenset[NoteKind]] = {
    "all": frozenset(),
    "new bests": frozenset(("best",)),
    "lessons": frozenset(("best", "lesson", "failure")),
    "failures": frozenset(("failure",)),
    "refusals and retries": frozenset(("refused",)),
    "acts of people": frozenset(("comment", "hint", "prior")),
    "run": frozenset(("run",)),
}
"""Kinds of notes by the name of a filter; none for all."""

_LOOKS = {
    "lesson": (" ", "dim"),
    "failure": ("✗", "bad"),
    "best": ("▲", "best"),
    "comment": ("“", "accent"),
    "hint": ("»", "accent"),
    "prior": ("+", "accent"),
    "run": ("■", "heading"),
    "refused": ("!", "bad"),
}
_SHIFT = 20


class NotesPanel(RowsView):
    """Notes, newest last. A full panel turns half a page, so that a note costs only its own row.

    With the focus it has a cursor: new notes move the rows only while the cursor is on the newest one.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "shift(1)", "Right", id="notes.right", show=False, tooltip="See more of long notes"),
        Binding("left", "shift(-1)", "Left", id="notes.left", show=False, tooltip="Back to the start of notes"),
        Binding("enter", "open", "Read", id="notes.open", tooltip="The whole text of the note"),
        Binding("o", "node", "Node", id="notes.node", tooltip="Go to the note's node"),
        Binding("t", "filter(1)", "Kind", id="notes.filter", tooltip="Only new bests, lessons, failures, refusals, …"),
        Binding("y", "copy", "Copy", id="notes.copy", show=False, tooltip="Copy the note"),
    ]

    head_rows = 1

    class Chosen(Message):
        """The user wants something done with a note.

        Args:
            act: `open`, `node` or `copy`.
            note: the note.
        """

        def __init__(self, act: str, note: Note) -> None:
            super().__init__()
            self.act = act
            self.note = note

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._notes: Sequence[Note] = ()
        self._vain = ""
        self._typed = ""
        self._filter = "all"
        self._passing: list[int] = []
        self._seen = 0
        """How many notes the filter has looked at."""
        self._skip = 0
        """Characters of each text to leave out at the left."""

    def show(self, model: RunModel) -> None:
        """Show the newest notes."""
        at_end = self.cursor >= self.count() - 1
        if self._notes is not model.notes:
            self._notes = model.notes
            self._begin()
        self._pass()
        if at_end:
            self.cursor = max(0, self.count() - 1)
        self._vain, self._typed = describe_in_vain(model.state), model.typed
        if at_end or not self.has_focus:
            self._turn()
        self.repaint()

    def on_resize(self) -> None:
        """Fit the newest notes into the new size."""
        self.top = 0
        self._turn()
        if self.has_focus:
            self.show_cursor()
        self.repaint_all()

    def on_blur(self) -> None:
        """Show the newest notes again."""
        self.cursor = max(0, self.count() - 1)
        self._skip = 0
        self.top = 0
        self._turn()
        self.repaint()

    def count(self) -> int:
        """Return the number of notes that pass the filter."""
        return len(self._passing) if NOTE_FILTERS[self._filter] else self._seen

    def _note(self, index: int) -> Note:
        return self._notes[self._passing[index] if NOTE_FILTERS[self._filter] else index]

    def _begin(self) -> None:
        self._passing, self._seen, self.top, self.cursor = [], 0, 0, 0

    def _pass(self) -> None:
        """Take in notes that came since the last look."""
        kinds = NOTE_FILTERS[self._filter]
        if kinds:
            fresh = range(self._seen, len(self._notes))
            self._passing += [index for index in fresh if self._notes[index].kind in kinds]
        self._seen = len(self._notes)

    def _turn(self) -> None:
        room, count = self.room, self.count()
        if count - self.top > room:
            # Fill the panel at the start and after a jump; then turn by halves.
            one_by_one = count - self.top <= room + 8
            self.top = count - (room // 2 + 1 if one_by_one and room > 3 else room)
        self.top = max(0, self.top)

    def row_ground(self, y: int) -> str:
        """Return the look of a bar for the title of a panel that gets the keys, and that of the cursor's row."""
        if not self.has_focus:
            return "plain"
        return "bar" if y == 0 else super().row_ground(y)

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the title, then one note per row."""
        if y == 0:
            if self._filter != "all":
                return [(" Notes", "heading"), (f" {self._filter}: {self.count():,}", "accent")]
            vain = self._vain
            if len(vain) > self.size.width - len(" Notes "):
                vain = vain.replace("without a design", "no design")
            return [(" Notes", "heading"), (f" {vain or 'newest last'}", "bad" if vain else "dim")]
        index = self.index_at(y)
        if index is None:
            waits = "no note of this kind" if self._notes else "nothing yet: lessons of the nodes appear here"
            return [(f" {waits}", "dim")] if y == 1 and not self.count() else []
        note = self._note(index)
        whose = f"#{note.node}" if note.node is not None else ""
        sign, look = _LOOKS[note.kind]
        # The text alone is shifted: time and node stay.
        text = one_line(fill_run(note.text, self._typed), 400)[self._skip :]
        return [
            (f" {clock(note.at)} {sign}", look),
            (f"{whose:<6} ", "dim"),
            (f"{'…' if self._skip and text else ''}{text}", "plain" if look == "dim" else look),
        ]

    # Acting

    def action_shift(self, step: int) -> None:
        """Shift the texts, so that what was cut is read."""
        self._skip = max(0, self._skip + step * _SHIFT)
        self.repaint()

    def action_filter(self, step: int) -> None:
        """Show only notes of the next kind; the cursor stays at its note or the next one that passes."""
        here = self._passing[self.cursor] if NOTE_FILTERS[self._filter] and self._passing else self.cursor
        names = list(NOTE_FILTERS)
        self._filter = names[(names.index(self._filter) + step) % len(names)]
        self._begin()
        self._pass()
        self.go(bisect_left(self._passing, here) if NOTE_FILTERS[self._filter] else here)

    def action_open(self) -> None:
        """Read the whole note."""
        self._choose("open")

    def action_node(self) -> None:
        """Go to the note's node."""
        self._choose("node")

    def action_copy(self) -> None:
        """Copy the note."""
        self._choose("copy")

    def _choose(self, act: str) -> None:
        if self.cursor < self.count():
            note = self._note(self.cursor)
            self.post_message(self.Chosen(act, note._replace(text=fill_run(note.text, self._typed))))
