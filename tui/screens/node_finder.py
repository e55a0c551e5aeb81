"""Search, filter and export of the nodes of a run, asked for in one line."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from engine.errors import UsageError
from engine.text import one_line
from tui import acts
from tui.model.query import Query, QueryError, parse_query
from tui.screens.area import ActionArea
from tui.screens.dialogs import Prompt, check_words
from tui.session import Session
from tui.widgets.tree import TreeView

__all__ = ["NodeFinder", "ask_for_csv"]

_QUERY_HINT = "words, status:ok op:tune score>2.6 round:10..40 is:pinned #12"


class NodeFinder:
    """Asks for queries, and applies them to the tree.

    Args:
        area: the part of the screen that asks.
        session: the run.
        tree: the nodes.
    """

    def __init__(self, area: ActionArea, session: Session, tree: TreeView) -> None:
        self._area = area
        self._session = session
        self._tree = tree
        self._query: Query | None = None

    def filter(self) -> None:
        """Ask for a filter of nodes."""
        text = self._tree.query_.text if self._tree.query_ is not None else ""
        known = self._session.model.metrics if self._session.model is not None else ()
        metrics = "".join(f" {one_line(name, 30)}" for name in islice(known, 5))
        hint = f"{_QUERY_HINT}{', metrics:' if metrics else ''}{metrics}; empty shows all"
        self._ask("Show only:", text, hint, self._tree.set_filter)

    def search(self) -> None:
        """Ask for a query to search."""
        self._ask("Search:", self._query.text if self._query is not None else "", _QUERY_HINT, self._find)

    def next(self, step: int) -> None:
        """Go to the next node that matches, folded ones included; ask if nothing is searched yet."""
        model, tree = self._session.model, self._tree
        if model is None or self._query is None:
            self.search()
            return
        order = tree.search_order()
        here = tree.selected
        start = order.index(here.id) if here is not None and here.id in order else 0
        for offset in range(1, len(order) + 1):
            node = model.state.nodes[order[(start + step * offset) % len(order)]]
            if self._query(node):
                tree.go_to(node.id)
                return
        self._area.say(f"no node matches '{self._query.text}'", "best")

    def _find(self, query: Query | None) -> None:
        if query is not None:
            self._query = query
            self.next(1)

    def _ask(self, question: str, text: str, hint: str, use: Callable[[Query | None], None]) -> None:
        """Ask for a query until it parses or the user gives up; pass it to `use`, None if it is empty."""
        model = self._session.model
        if model is None:
            return
        metrics, score, model_of = model.metrics, model.state.ranking.metric, model.spending.model_of
        asked: list[Query | None] = []

        def parse(answer: str) -> None:
            try:
                asked.append(parse_query(answer, model.is_marked, metrics, score, model_of) if answer.strip() else None)
            except QueryError as exc:
                raise UsageError(str(exc)) from None

        self._area.app.push_screen(
            Prompt(question, text, hint, check=parse), lambda answer: use(asked[-1]) if answer is not None else None
        )


def ask_for_csv(area: ActionArea, name: str, tree: TreeView) -> None:
    """Ask for a file, of this name by default, and write the rows that the tree shows."""
    text = tree.as_csv()
    area.app.push_screen(
        Prompt(
            f"Write {tree.count():,} nodes as CSV to:", str(Path.cwd() / name), check=check_words,
            act=lambda file: acts.save_text(text, acts.path_of(file)),
        ),
        lambda file: area.say(f"the rows are written to {file.strip()}") if file is not None else None,
    )  # fmt: skip
