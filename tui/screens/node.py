"""Node: one candidate with its code, diff, metrics, logs, note, inputs and model calls."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.errors import EvolveError
from engine.journal.events import EvalProgress
from engine.state.node import Node
from engine.text import one_line
from tui.model.bases import base_of, next_base
from tui.model.document import Line
from tui.model.labels import marks, outcome
from tui.model.node_documents import TABS, changes_document, make_subject, read_document, read_files
from tui.model.outputs import RunningCurve
from tui.model.program_files import ProgramFile
from tui.model.run_model import parent_of
from tui.model.side_by_side import WIDE
from tui.model.status import status_cells
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Prompt
from tui.screens.marked import COMPARE, MARK, compare_marked, mark_node
from tui.screens.steering import live_actions, replay_actions
from tui.session import ModelChange, Session
from tui.widgets.bars import StatusBar, Title
from tui.widgets.files import FileList
from tui.widgets.painted import Throttle
from tui.widgets.picture_view import PictureView

__all__ = ["NodeScreen"]

_FILED = ("Code", "Diff")
"""The tabs that show a program's files."""
_FAILED = ("crashed", "timeout", "invalid")
"""The statuses with which a node opens at the reason."""
_FOLLOW_SECONDS = 1.0
"""How often what a running evaluation prints and reports is read."""


class NodeScreen(BaseScreen):
    """One node of a run.

    Args:
        session: the run.
        node: the node's id.
    """

    DEFAULT_CSS = """
    NodeScreen #text { height: 1fr; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="node.back", tooltip="Back to the population"),
        Binding("tab", "turn(1)", "Next tab", id="node.tab", tooltip="The next of the tabs"),
        Binding("shift+tab", "turn(-1)", "Tab before", id="node.tab_before", show=False, tooltip="The tab before"),
        *(
            Binding(
                str(number),
                f"tab({number - 1})",
                name,
                id=f"node.{name.lower()}",
                show=False,
                tooltip=f"Show {name.lower()}",
            )
            for number, name in enumerate(TABS, 1)
        ),
        Binding(
            "comma",
            "sibling(-1)",
            "Before",
            id="node.before",
            key_display=",",
            show=False,
            tooltip="The node above in the tree",
        ),
        Binding(
            "full_stop",
            "sibling(1)",
            "After",
            id="node.after",
            key_display=".",
            show=False,
            tooltip="The node below in the tree",
        ),
        Binding("f", "file(1)", "File", id="node.file", tooltip="The next file of its program"),
        Binding(
            "B",
            "file(-1)",
            "File before",
            id="node.file_before",
            show=False,
            tooltip="The file before",
        ),
        Binding("u", "parent", "Parent", id="node.parent", tooltip="The node that it was made from"),
        Binding("o", "child", "Child", id="node.child", tooltip="The best of its children"),
        Binding("b", "best", "Best", id="node.best", show=False, tooltip="The best node of the run"),
        Binding("d", "base", "Diff to", id="node.base", tooltip="Compare it with any other node"),
        Binding(
            "D",
            "next_base",
            "Next base",
            id="node.next_base",
            show=False,
            tooltip="Compare it with its parent, the best, the seed, then the marked nodes",
        ),
        Binding(
            "v",
            "beside",
            "Beside",
            id="node.beside",
            show=False,
            tooltip="Show the two programs of a diff beside each other, or one below the other",
        ),
        MARK,
        COMPARE,
        Binding(
            "C", "priors", "Priors", id="node.now_found", tooltip="The priors that retrieval finds for it now, and why"
        ),
        Binding("slash", "search", "Search", id="text.search", key_display="/", tooltip="Find in the text"),
        Binding("n", "next(False)", "Next", id="text.next", show=False, tooltip="The next match"),
        Binding("N", "next(True)", "Before", id="text.before", show=False, tooltip="The match before"),
    ]

    title_ = "Node"
    about = (
        "One candidate: 1 code, 2 diff to its parent (d: to any node), 3 metrics and curves, 4 logs, 5 note, "
        "6 priors and nodes that its design was shown, 7 prompts and answers of models.\n"
        "D turns the diff from the parent to the best, the seed and the marked nodes (m marks, M compares them); from\n"
        "140 columns on the two programs stand beside each other, v changes that.\n"
        "While it is measured, 3 and 4 follow what it reports and prints. A node that failed opens at the reason.\n"
        "If programs are folders, their files stand above code and diff: f and B choose one, or all.\n"
        "u goes up to its parent, o down to its best child, b to the best node; , and . to its neighbours."
    )

    def __init__(self, session: Session, node: int) -> None:
        super().__init__()
        self.session = session
        self._shown = node
        failed = self.node is not None and self.node.status in _FAILED
        self._tab = TABS.index("Logs") if failed else 0
        self._to_reason = failed
        """Whether the next text is to be shown from the reason of a failure on."""
        self._beside: bool | None = None
        """Whether programs stand beside each other; None if the width decides."""
        self._curve = RunningCurve()
        self._base: int | None = None
        self._offered: tuple[str, int] = ("", -1)
        self._wanted = ""
        self._asked = 0
        self._width = 0
        self._status = StatusBar(id="status")
        self._head = Title(id="head")
        self._tabs = Title(id="tabs")
        self._files = FileList(id="files")
        self._text = PictureView(id="text")
        self._draw = Throttle(self, 0.5, self._paint)
        self._follow = Throttle(self, _FOLLOW_SECONDS, lambda: self._load(keep_place=True))

    def compose_body(self) -> ComposeResult:
        """Compose status, the node, its tabs, the text."""
        actions = replay_actions if self.session.is_replay else live_actions
        with actions(self.session, lambda: self.node):
            yield self._status
            yield self._head
            yield self._tabs
            yield self._files
            yield self._text

    def on_mount(self) -> None:
        """Subscribe to the session, and read the first tab."""
        self.session.subscribe(self._changed)
        self._text.focus()
        self._load()

    def on_unmount(self) -> None:
        """Unsubscribe from the session."""
        self.session.unsubscribe(self._changed)

    def on_screen_resume(self) -> None:
        """Show changes that came behind another screen."""
        self._paint()
        self._text.resume()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the bars, and the text if the width changed."""
        super().on_resize(event)
        self._paint()
        if self._width not in (0, event.size.width):
            self._load(keep_place=True)
        self._width = event.size.width

    def on_text_view_moved(self) -> None:
        """Say which lines are visible."""
        self._paint()

    def on_picture_view_refused(self, event: PictureView.Refused) -> None:
        """Tell why a picture is shown in dots."""
        self.say(event.reason, "best")

    @property
    def node(self) -> Node | None:
        """The node shown."""
        return self.session.model.node(self._shown) if self.session.model is not None else None

    def _changed(self, change: ModelChange) -> None:
        tab = TABS[self._tab]
        if change.reset or any(event.node == self._shown and changes_document(tab, event) for event in change.events):
            self._load(keep_place=True)
        elif self.is_current and self._goes_on(tab, change):
            self._follow()
        if self.is_current and change.parts - {"output"}:
            self._draw()

    def _goes_on(self, tab: str, change: ModelChange) -> bool:
        """Return whether a running evaluation has printed or reported something that the tab shows."""
        if tab == "Metrics":
            return any(event.node == self._shown and isinstance(event.data, EvalProgress) for event in change.events)
        model = self.session.model
        return tab == "Logs" and "output" in change.parts and model is not None and self._shown in model.outputs

    def _paint(self) -> None:
        session, node, model = self.session, self.node, self.session.model
        # No age of the last event here: a reader of a text needs only the run's status.
        self._status.show(
            status_cells(session.run.name, model, session.status, session.doing, session.trouble, None, self.size.width)
        )
        if node is not None and model is not None:
            look = "ok" if node.status == "ok" else "bad" if node.status else "dim"
            ranking = model.state.ranking
            two = ranking.by_fitness and node.score is not None
            told = ranking.describe(node) if two else outcome(model, node)
            above = parent_of(node)
            made = f"  {one_line(node.operator, 24)} of #{above}, round {node.round}" if above is not None else "  seed"
            if self._base is not None:
                made += f"  compared with #{self._base}"
            if node.id in self.session.marked:
                made += "  ◆ marked"
            self._head.show(
                (f"{marks(model, node)} #{node.id} ", "heading"), (told, look),
                (f"  {one_line(node.name, 120)}", "heading"), (made, "dim"),
            )  # fmt: skip
        pieces: list[tuple[str, str]] = [("  ", "plain")]
        # Of 80 columns the position takes what else would keep the tabs apart.
        gap = " " if self.size.width >= 90 else ""
        for index, name in enumerate(TABS):
            pieces += [(f" {index + 1} {name} ", "cursor" if index == self._tab else "dim"), (gap, "plain")]
        pieces.append((f"  {self._text.position}", "dim"))
        self._tabs.show(*pieces)
        offered = (session.status, self._shown)
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def _load(self, keep_place: bool = False) -> None:
        node, model = self.node, self.session.model
        if node is None or model is None:
            return
        base = model.node(self._base) if self._base is not None else None
        tab, width = TABS[self._tab], self.size.width
        subject = replace(
            make_subject(self.session.run, model, node, base, not self.session.is_replay),
            curve=self._curve,
            beside=width >= WIDE if self._beside is None else self._beside,
        )
        chosen = self._files.chosen
        self._asked += 1
        asked = self._asked

        def work() -> None:
            try:
                files = read_files(subject) if tab in _FILED else []
                known = any(file.path == chosen for file in files)
                lines = read_document(replace(subject, file=chosen if known else ""), tab, width)
            except EvolveError as exc:
                self.app.call_from_thread(self.say_error, exc)
            else:
                self.app.call_from_thread(self._loaded, asked, files, lines, keep_place)

        self.run_worker(work, thread=True, group="documents", exit_on_error=False)

    def _loaded(self, asked: int, files: list[ProgramFile], lines: list[Line], keep_place: bool) -> None:
        # If the user turns the tabs fast, show only the last one.
        if asked == self._asked:
            had = bool(self._files.files)
            self._files.show(files)
            if had != bool(files):
                self.refresh_bindings()
            self._text.show(lines, keep_place, follow=TABS[self._tab] == "Logs" and self._is_running)
            if self._to_reason:
                self._to_reason = False
                self._text.go_to(next((row for row, line in enumerate(lines) if line and line[0].look == "bad"), 0) - 1)
            self._paint()

    @property
    def _is_running(self) -> bool:
        model = self.session.model
        evaluation = model.state.evaluations.get(self._shown) if model is not None else None
        return evaluation is not None and evaluation.running is not None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only a parent, a child and files that exist."""
        if action == "parent":
            return self.node is not None and parent_of(self.node) is not None
        if action == "child":
            return bool(self._children())
        if action == "file":
            return bool(self._files.files)
        return True

    def action_back(self) -> None:
        """Go back to the population, with the cursor on this node."""
        self.navigator.leave_node(self._shown)

    def action_tab(self, tab: int) -> None:
        """Show a tab."""
        self._tab = tab
        self._paint()
        self._load()

    def action_file(self, step: int) -> None:
        """Show the next file of the program, or all."""
        self._files.move(step)
        self._load()

    def action_turn(self, step: int) -> None:
        """Show the next tab."""
        self.action_tab((self._tab + step) % len(TABS))

    def action_sibling(self, step: int) -> None:
        """Show the next node in the order of the tree."""
        if self.session.model is None:
            return
        order = self.session.model.forest.everything()
        if self._shown in order:
            self._go(order[(order.index(self._shown) + step) % len(order)])

    def action_parent(self) -> None:
        """Show the parent."""
        above = parent_of(self.node) if self.node is not None else None
        if above is not None:
            self._go(above)

    def _children(self) -> list[Node]:
        model = self.session.model
        below = model.forest.children(self._shown) if model is not None else []
        return [node for child in below if model is not None and (node := model.node(child)) is not None]

    def action_child(self) -> None:
        """Show the child on the way to the best node, else the fittest."""
        children, model = self._children(), self.session.model
        if not children or model is None:
            return
        ranked = [child for child in children if child.fitness is not None]
        fittest = max(ranked, key=lambda child: (child.fitness, -child.id), default=children[0])
        chosen = next((child for child in children if child.id in model.best_lineage), fittest)
        self._go(chosen.id)
        if len(children) > 1:
            self.say(f"one of {len(children)} children; , and . show the others", "accent")

    def action_best(self) -> None:
        """Show the best node."""
        best = self.session.model.state.best if self.session.model is not None else None
        if best is None:
            self.say("no node has a score yet", "best")
        else:
            self._go(best)

    def action_priors(self) -> None:
        """Show the priors that retrieval finds for the node now."""
        self.navigator.show_priors(self.session.run, self._shown)

    def action_base(self) -> None:
        """Ask for a node to compare with."""
        hint = "a number, best, seed; empty: its parent"
        self.app.push_screen(
            Prompt(f"Compare #{self._shown} with node:", hint=hint, check=self._find_base), self._set_base
        )

    def _find_base(self, text: str) -> int | None:
        return base_of(self.session.model, self._shown, text) if self.session.model is not None else None

    def _set_base(self, text: str | None) -> None:
        if text is not None:
            self._base = self._find_base(text)
            self.action_tab(TABS.index("Diff"))

    def action_next_base(self) -> None:
        """Compare with the next of parent, best, seed and the marked nodes."""
        if self.session.model is not None:
            word, self._base = next_base(self.session.model, self._shown, self._base, self.session.marked)
            self.action_tab(TABS.index("Diff"))
            self.say("compared with its parent" if word == "parent" else f"compared with {_NAMES[word]} #{self._base}")

    def action_beside(self) -> None:
        """Turn between two programs beside each other and one text of changes."""
        now = self.size.width >= WIDE if self._beside is None else self._beside
        self._beside = not now
        self.action_tab(TABS.index("Diff"))

    def action_mark(self) -> None:
        """Mark the node to compare it, or take the mark away."""
        mark_node(self, self.session, self._shown)
        self._paint()

    def action_compare_marked(self) -> None:
        """Compare the marked nodes."""
        compare_marked(self, self.session)

    def _go(self, node: int) -> None:
        self._shown = node
        self._paint()
        self._load()

    def action_search(self) -> None:
        """Ask for a text to find."""
        self.app.push_screen(Prompt("Find in the text:", self._wanted), self._find)

    def _find(self, text: str | None) -> None:
        if text:
            self._wanted = text
            self.action_next(False)

    def action_next(self, backwards: bool) -> None:
        """Go to the next match."""
        if not self._wanted:
            self.action_search()
        elif not self._text.find(self._wanted, backwards):
            self.say(f"'{self._wanted}' is not in this text", "best")
        else:
            self._paint()


_NAMES = {"best": "the best,", "seed": "its seed,", "marked": "the marked node"}
