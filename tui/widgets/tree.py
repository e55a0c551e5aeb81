"""The population: a tree by descent, or a list by rank or age, in a view that new nodes do not move."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.message import Message

from engine.state.node import Node
from tui.model.islands import Islands, has_islands, heading_of, heading_pieces, island_of
from tui.model.listing import Listing, Order
from tui.model.query import Query
from tui.model.run_model import RunModel
from tui.model.table import Table
from tui.model.tree_row import guide, node_pieces
from tui.session import ModelChange
from tui.widgets.painted import Piece
from tui.widgets.rows import RowsView

__all__ = ["Follow", "TreeView"]

Follow = Literal["", "newest", "best"]

_ORDERS: tuple[Order, ...] = ("tree", "best", "newest", "islands")
_FOLLOWS: tuple[Follow, ...] = ("", "newest", "best")


class TreeView(RowsView):
    """The nodes of a run. Cursor and upper edge are remembered by node, so that new nodes move neither.

    Args:
        marked: the nodes that the user has marked; it may change.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="tree.open", tooltip="Code, diff, metrics, logs of the node"),
        Binding("space", "fold", "Fold", id="tree.fold", show=False, tooltip="Hide or show what is below"),
        Binding("left,h", "out", "Out", id="tree.out", show=False, tooltip="Fold, or go to the parent"),
        Binding("right,l", "into", "In", id="tree.into", show=False, tooltip="Unfold, or go to the first child"),
        Binding("z", "fold_all", "Fold all", id="tree.fold_all", show=False, tooltip="Fold all but the best line"),
        Binding("b", "best", "Best", id="tree.best", show=False, tooltip="Go to the best node"),
        Binding("f", "follow", "Follow", id="tree.follow", tooltip="Follow the newest node, the best one, or none"),
        Binding(
            "o", "order", "Order", id="tree.order", tooltip="By descent, best or newest first; sort by next column"
        ),
        Binding("O", "turn_over", "Reverse", id="table.reverse", show=False, tooltip="Sort the table the other way"),
        Binding("V", "table", "Table", id="table.switch", show=False, tooltip="Switch between the tree and a table"),
        Binding("E", "export", "CSV", id="table.csv", show=False, tooltip="Write the rows that are shown as CSV"),
    ]

    class Opened(Message):
        """The user wants to open a node."""

        def __init__(self, node: int) -> None:
            super().__init__()
            self.node = node

    class ViewChanged(Message):
        """Order, filter, follow or columns changed."""

    class ExportWanted(Message):
        """The user wants the rows as CSV."""

    def __init__(self, marked: Collection[int] = ()) -> None:
        super().__init__(id="tree")
        self._marked = marked
        self.model: RunModel | None = None
        self.order: Order = "tree"
        self.following: Follow = ""
        self.query_: Query | None = None
        self.table: Table | None = None
        """The columns to show in place of the tree; None for the tree."""
        self._listing: Listing | None = None
        self._rankings = 0
        self._selected: int | None = None
        self._anchor: int | None = None
        self._base = 0
        self._folded_islands: frozenset[int] = frozenset()

    empty = " reading the run…"

    # The rows

    @property
    def rows(self) -> list[int]:
        """Ids in the order of the rows."""
        if self.model is None:
            return []
        return self.model.forest.rows if self._listing is None else self._listing.rows

    @property
    def selected(self) -> Node | None:
        """The node under the cursor."""
        rows = self.rows
        if self.model is None or not 0 <= self.cursor < len(rows):
            return None
        return self.model.node(rows[self.cursor])

    def count(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @property
    def position(self) -> str:
        """The cursor's row and the number of rows, as text."""
        return f"row {self.cursor + 1:,} of {self.count():,}" if self.count() else ""

    def take(self, change: ModelChange, model: RunModel) -> None:
        """Take in a change without painting: `sync` paints, less often."""
        if change.reset or self.model is not model:
            self.model = model
            if self.table is not None:
                self.table = self.table.on(model)
            self.empty = " no node yet"
            self._rebuild_list()
        elif self._rankings != model.state.rankings:
            # Other weights, or another baseline: every row may move.
            self._rebuild_list()
        if self._listing is not None:
            changed = {event.node for event in change.events if event.node is not None}
            if changed and self.table is not None and self.table.sorted_by == "front":
                # A node that comes to a front pushes others back.
                changed.update(*model.state.fronts)
            for node in changed:
                found = model.node(node)
                if found is not None:
                    self._listing.update(found)
        if self.following == "newest" and model.state.nodes:
            self._selected = model.state.nodes[-1].id
        elif self.following == "best" and model.state.best is not None:
            self._selected = model.state.best

    def sync(self) -> None:
        """Find the rows of the remembered nodes, and paint changes."""
        rows = self.rows
        top_before = self.top
        if self._anchor is not None:
            self.top = self._place(rows, self._anchor, self.top)
        if self._selected is not None:
            self.cursor = self._place(rows, self._selected, self.cursor)
        if self.following:
            self.show_cursor()
        elif top_before == 0 and self.cursor < self.size.height:
            # At the very top there is no row above to keep still.
            self.top = 0
        self.top = max(0, min(self.top, len(rows) - self.size.height))
        self._remember()
        self.repaint()

    def _place(self, rows: Sequence[int], node: int, otherwise: int) -> int:
        assert self.model is not None
        try:
            return rows.index(node)
        except ValueError:
            pass
        if self._listing is None and node in self.model.forest:
            # It is folded away: use the row of its nearest visible ancestor.
            for above in self.model.forest.lineage(node)[1:]:
                if not self.model.forest.is_hidden(above):
                    return rows.index(above)
        return max(0, min(otherwise, len(rows) - 1))

    def _remember(self) -> None:
        rows = self.rows
        self._anchor = rows[self.top] if 0 <= self.top < len(rows) else None
        self._selected = rows[self.cursor] if 0 <= self.cursor < len(rows) else None
        self._set_base()

    def _set_base(self) -> None:
        """Shift deep rows to the left in large steps, so that a lineage of a thousand generations can be read."""
        if self.model is None or self._listing is not None or self._selected is None:
            self._base = 0
            return
        depth = self.model.forest.depths.get(self._selected, 0)
        levels = self._levels
        if not self._base <= depth < self._base + levels:
            self._base = max(0, depth - levels // 2)
        if depth < levels * 3 // 4:
            self._base = 0

    @property
    def _levels(self) -> int:
        return max(4, min(24, self.size.width // 6))

    def go(self, index: int) -> None:
        """Put the cursor on a row, and stop following."""
        if self.following:
            self.following = ""
            self.post_message(self.ViewChanged())
        index = max(0, min(self.count() - 1, index))
        moved = index != self.cursor
        self.cursor = index
        self.show_cursor()
        self._remember()
        self.repaint()
        if moved:
            self.post_message(self.Moved(self))

    def go_to(self, node: int) -> bool:
        """Put the cursor on a node, unfolding its ancestors; return False if the filter hides it."""
        if self.model is None:
            return False
        if self._listing is None and node in self.model.forest:
            self.model.forest.reveal(node)
        found = self.model.node(node)
        if (
            isinstance(self._listing, Islands)
            and found is not None
            and self._listing.group_of(found) in self._folded_islands
        ):
            self._folded_islands -= {self._listing.group_of(found)}
            self._rebuild_list()
        try:
            index = self.rows.index(node)
        except ValueError:
            return False
        self.go(index)
        return True

    def search_order(self) -> list[int]:
        """Return every node that passes the filter, folded ones included, in the order of the rows."""
        if self.model is None or self._listing is not None:
            return [row for row in self.rows if row >= 0]
        return self.model.forest.everything()

    # Drawing

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return marks, fitness or score, the score if nodes are ranked by fitness, then the node below its parent."""
        assert self.model is not None
        island = island_of(self.rows[index])
        if island is not None:
            assert isinstance(self._listing, Islands)
            return heading_pieces(self._listing, self.model, island)
        node = self.model.state.nodes[self.rows[index]]
        if self.table is not None:
            return self.table.row(node, self.size.width)
        return node_pieces(self.model, node, self._guide(node), node.id in self._marked, self.size.width)

    def _guide(self, node: Node) -> str:
        assert self.model is not None
        if self._listing is not None:
            return "  " if isinstance(self._listing, Islands) else ""
        return guide(self.model.forest, node.id, self._base, self._levels)

    # Acting

    def action_open(self) -> None:
        """Open the node."""
        node = self.selected
        if node is not None:
            self.post_message(self.Opened(node.id))

    def action_fold(self) -> None:
        """Fold or unfold the node, or an island."""
        if isinstance(self._listing, Islands):
            self._fold_island(self._listing)
            return
        node = self.selected
        if node is None or self.model is None or self._listing is not None:
            return
        forest = self.model.forest
        if node.id in forest.folded:
            forest.unfold(node.id)
        else:
            forest.fold(node.id)
        self.sync()

    def _fold_island(self, listing: Islands) -> None:
        """Fold or unfold the island under the cursor."""
        if not 0 <= self.cursor < len(self.rows):
            return
        node = self.selected
        island = island_of(self.rows[self.cursor])
        if node is not None:
            island = listing.group_of(node)
        assert island is not None
        self._folded_islands ^= {island}
        self._rebuild_list()
        self._selected = heading_of(island)
        self.sync()
        self.post_message(self.Moved(self))

    def action_out(self) -> None:
        """Fold the node; if there is nothing to fold, go to its parent. In a table show columns further left."""
        if self.table is not None:
            self._shift(-1)
            return
        node = self.selected
        if node is None or self.model is None or self._listing is not None:
            return
        forest = self.model.forest
        above = forest.parents[node.id]
        if forest.children(node.id) and node.id not in forest.folded:
            self.action_fold()
        elif above is not None:
            self.go_to(above)

    def action_into(self) -> None:
        """Unfold the node; if it is unfolded, go to its first child. In a table show columns further right."""
        if self.table is not None:
            self._shift(1)
            return
        node = self.selected
        if node is None or self.model is None or self._listing is not None:
            return
        if node.id in self.model.forest.folded:
            self.action_fold()
        elif self.model.forest.children(node.id):
            self.go(self.cursor + 1)

    def action_fold_all(self) -> None:
        """Fold all but the best lineage; if anything is folded, unfold all. Of islands fold each, or unfold each."""
        if isinstance(self._listing, Islands):
            self._folded_islands = frozenset() if self._folded_islands else frozenset(self._listing.counts)
            self._change_view()
            return
        if self.model is None or self._listing is not None:
            return
        forest = self.model.forest
        if forest.folded:
            forest.unfold_all()
        else:
            forest.fold_all(but=self.model.best_lineage)
        self.sync()
        self.show_cursor()
        self._remember()
        self.repaint()

    def action_best(self) -> None:
        """Go to the best node."""
        if self.model is not None and self.model.state.best is not None:
            self.go_to(self.model.state.best)

    def action_follow(self) -> None:
        """Follow the newest node, then the best one, then none."""
        self.following = _FOLLOWS[(_FOLLOWS.index(self.following) + 1) % len(_FOLLOWS)]
        if self.model is not None:
            self.take(ModelChange(frozenset(), reset=True), self.model)
        self.sync()
        self.post_message(self.ViewChanged())

    def action_order(self) -> None:
        """Order by descent, rank or age; a table by its next column."""
        if self.table is not None:
            self.table.sort_by_next(1)
            self.table.reveal(self.size.width)
            self._change_view()
            return
        orders = _ORDERS if self.model is not None and has_islands(self.model.state.nodes) else _ORDERS[:-1]
        self.order = orders[(orders.index(self.order) + 1) % len(orders)]
        self._change_view()

    def action_turn_over(self) -> None:
        """Sort the table the other way."""
        if self.table is not None:
            self.table.rising = not self.table.rising
            self._change_view()

    def action_table(self) -> None:
        """Switch between the tree and the table."""
        if self.model is not None:
            self.table = Table(self.model, self._marked) if self.table is None else None
            self._change_view()

    def action_export(self) -> None:
        """Ask for a file to write the rows to."""
        if self.model is not None:
            self.post_message(self.ExportWanted())

    def as_csv(self) -> str:
        """Return the rows as CSV, with all columns."""
        assert self.model is not None
        nodes = self.model.state.nodes
        return (self.table or Table(self.model)).csv(nodes[row] for row in self.rows if row >= 0)

    def _shift(self, step: int) -> None:
        assert self.table is not None
        self.table.shift(step)
        self.repaint_all()
        self.post_message(self.ViewChanged())

    def set_filter(self, query: Query | None) -> None:
        """Show only the nodes that pass; None shows all."""
        self.query_ = query
        self._change_view()

    def _change_view(self) -> None:
        self._rebuild_list()
        self.sync()
        self.show_cursor()
        self._remember()
        self.repaint_all()
        self.post_message(self.ViewChanged())

    def _rebuild_list(self) -> None:
        self._listing = None
        self._rankings = self.model.state.rankings if self.model is not None else 0
        table = self.table
        if self.model is None or (self.order == "tree" and self.query_ is None and table is None):
            return
        passes = self.query_ or (lambda node: True)
        if self.order == "islands" and table is None:
            self._listing = Islands(passes, self._folded_islands)
        else:
            self._listing = Listing(passes, self.order, table.key if table is not None else None)
        self._listing.load(self.model.state.nodes)
