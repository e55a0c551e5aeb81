"""The nodes that a user has marked, compared in figures and code; and the keys that mark and compare them."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.errors import EvolveError
from tui.model.document import Line
from tui.model.node_comparison import MOST, read_comparison
from tui.model.node_documents import make_subject
from tui.model.side_by_side import WIDE
from tui.screens.base import BaseScreen
from tui.session import Session
from tui.widgets.bars import Title
from tui.widgets.text_view import TextView

__all__ = ["COMPARE", "MARK", "MarkedScreen", "compare_marked", "mark_node"]

MARK = Binding("m", "mark", "Mark", id="node.mark", show=False, tooltip="Mark it to compare it, or take the mark away")
COMPARE = Binding(
    "M",
    "compare_marked",
    "Compare",
    id="node.compare",
    show=False,
    tooltip="Compare the marked nodes in metrics and code",
)


class _Speaker(Protocol):
    """What can show a message, and another screen."""

    @property
    def app(self) -> Any: ...

    def say(self, text: str, look: str = "accent", seconds: float = 5.0) -> None: ...


def mark_node(speaker: _Speaker, session: Session, node: int) -> None:
    """Mark a node, or take its mark away, and say which are marked."""
    session.mark(node)
    named = ", ".join(f"#{id_}" for id_ in session.marked)
    speaker.say(
        f"marked: {named}{'; M compares them' if len(session.marked) > 1 else ''}" if named else "none is marked"
    )


def compare_marked(speaker: _Speaker, session: Session) -> None:
    """Open the comparison of the marked nodes, or say what it needs."""
    model = session.model
    known = [node for node in session.marked if model is not None and model.node(node) is not None]
    if not 2 <= len(known) <= MOST:
        speaker.say(f"two to {MOST} marked nodes are compared, and {len(known)} are marked; m marks one", "best")
    else:
        speaker.app.push_screen(MarkedScreen(session, known))


class MarkedScreen(BaseScreen):
    """Nodes of one run, compared.

    Args:
        session: the run.
        nodes: the nodes, two to `MOST`.
    """

    DEFAULT_CSS = "MarkedScreen #text { height: 1fr; padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="marked.back", tooltip="Back to the screen before"),
        Binding(
            "v",
            "beside",
            "Beside",
            id="marked.beside",
            tooltip="Show two programs beside each other, or one below the other",
        ),
        Binding("u", "unmark", "Unmark", id="marked.unmark", tooltip="Take the marks of these nodes away, and go back"),
    ]

    title_ = "Marked nodes"
    about = (
        "Marked nodes of the run: their figures and metrics, what was tried and learnt, and how the program of each\n"
        "differs from that of the first one."
    )

    def __init__(self, session: Session, nodes: list[int]) -> None:
        super().__init__()
        self._session = session
        self._compared = nodes
        self._beside: bool | None = None
        self._asked = 0
        self._width = 0
        self._text = TextView(id="text")

    def compose_body(self) -> ComposeResult:
        """Compose title and comparison."""
        yield Title(f" {', '.join(f'#{node}' for node in self._compared)} compared", id="head")
        yield self._text

    def on_mount(self) -> None:
        """Read the programs."""
        self._text.focus()
        self._load()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the comparison to another width."""
        super().on_resize(event)
        if self._width not in (0, event.size.width):
            self._load()
        self._width = event.size.width

    @property
    def _stands_beside(self) -> bool:
        return self.size.width >= WIDE if self._beside is None else self._beside

    def _load(self) -> None:
        session, model = self._session, self._session.model
        if model is None:
            return
        found = [node for id_ in self._compared if (node := model.node(id_)) is not None]
        subjects = [make_subject(session.run, model, node) for node in found]
        width, beside = self.size.width - 2, self._stands_beside
        self._asked += 1
        asked = self._asked

        def work() -> None:
            try:
                lines = read_comparison(subjects, width, beside)
            except EvolveError as exc:
                self.app.call_from_thread(self.say_error, exc)
            else:
                self.app.call_from_thread(self._loaded, asked, lines)

        self.run_worker(work, thread=True, group="documents", exit_on_error=False)

    def _loaded(self, asked: int, lines: list[Line]) -> None:
        if asked == self._asked:
            self._text.show(lines, keep_place=True)

    def action_beside(self) -> None:
        """Turn between two programs beside each other and one text of changes."""
        self._beside = not self._stands_beside
        self._load()

    def action_unmark(self) -> None:
        """Take the marks away."""
        for node in self._compared:
            if node in self._session.marked:
                self._session.mark(node)
        self.action_back()

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()
