"""The transport bar of a replay: speed, position, and a timeline with marks."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tui.feed.replay import ReplayFeed
from tui.model.event_index import LONGEST_GAP_MS, EventIndex, MarkKind
from tui.model.run_model import RunModel
from tui.widgets.painted import Painted, Piece

__all__ = ["TransportBar"]

MARKS: dict[MarkKind, tuple[str, str]] = {
    "best": ("▲", "best"),
    "pause": ("‖", "accent"),
    "engine": ("■", "bad"),
    "act": ("●", "ok"),
}
"""Sign and look of each kind of mark; of several in one cell the last one here is shown."""
_RANK = {kind: rank for rank, kind in enumerate(MARKS)}
_LEGEND = "  ▲ best  ● your act  ‖ pause  ■ engine"


class TransportBar(Painted):
    """Two rows: words, and a timeline of the run with a cell for each stretch of the clock."""

    DEFAULT_CSS = "TransportBar { height: 2; }"

    def __init__(self, feed: ReplayFeed, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._feed = feed
        self._words: tuple[Piece, ...] = ((" reading the run…", "dim"),)
        self._place = 0
        self._cells: tuple[tuple[str, str] | None, ...] = ()
        self._known: tuple[int, int] = (0, 0)

    def show(self, model: RunModel | None) -> None:
        """Show the position of the replay."""
        index = self._feed.index
        if index is None or model is None:
            return
        seq, width = model.state.seq, max(1, self.size.width - 2)
        known = (width, index.last)
        if known != self._known:
            self._known = known
            self._cells = _mark_cells(index, width)
        self._place = _cell(index, seq, width)
        self._words = self._say(model, index, seq)
        self.repaint()

    def _say(self, model: RunModel, index: EventIndex, seq: int) -> tuple[Piece, ...]:
        feed = self._feed
        speed = f"{feed.speed:g}×"
        if feed.playing:
            how, look = f" ▶ {speed:<6}", "ok"
        else:
            how, look = f" {'■ end' if seq >= index.last else '‖ still'} {speed}", "best"
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(feed.now_ms() / 1000))
        words: list[Piece] = [
            (f"{how:<14}", look),
            (f"event {seq:,}/{index.last:,}  round {model.state.rounds_done}  ", "plain"),
            (at, "dim"),
        ]
        room = self.size.width - sum(len(text) for text, _ in words)
        for text in (f"  gaps over {LONGEST_GAP_MS // 1000} s shortened", _LEGEND):
            if len(text) <= room:
                words.append((text, "dim"))
                room -= len(text)
        return tuple(words)

    def on_resize(self) -> None:
        """Draw the timeline for the new size."""
        self._known = (0, 0)
        self.repaint_all()

    def row_ground(self, y: int) -> str:
        """Return the look of a bar for the first row."""
        return "bar" if y == 0 else "plain"

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the words, then the timeline."""
        if y == 0:
            return self._words
        pieces: list[Piece] = [(" ", "plain")]
        for index, mark in enumerate(self._cells):
            if index == self._place:
                piece = ("┃", "key")
            else:
                piece = mark or (("━", "accent") if index < self._place else ("─", "dim"))
            if pieces[-1][1] == piece[1]:
                pieces[-1] = (pieces[-1][0] + piece[0], piece[1])
            else:
                pieces.append(piece)
        return pieces


def _cell(index: EventIndex, seq: int, width: int) -> int:
    return min(width - 1, index.clock_of(seq) * width // max(1, index.length))


def _mark_cells(index: EventIndex, width: int) -> tuple[tuple[str, str] | None, ...]:
    """Return the mark in each cell of the timeline, None if there is none."""
    kinds: list[MarkKind | None] = [None] * width
    for mark in index.marks:
        place = _cell(index, mark.seq, width)
        known = kinds[place]
        if known is None or _RANK[mark.kind] > _RANK[known]:
            kinds[place] = mark.kind
    return tuple(None if kind is None else MARKS[kind] for kind in kinds)
