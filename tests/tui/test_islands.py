"""The population by island, and the map of all of it on a wide screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Static

from engine.state.node import Node
from tests.tui.pilot import Maker, opened, settled, text_of, until
from tests.tui.synthetic import make_run
from tui.model.islands import Islands, has_islands, heading_of, island_of
from tui.widgets.minimap import MiniMap


def node(number: int, island: int | None, fitness: float | None) -> Node:
    """A node of an island."""
    made = Node(
        id=number,
        round=number,
        parents=(),
        program="f" * 64,
        operator="swap",
        name="n",
        motivation="",
        priors=(),
        designed_at=0,
    )
    made.island, made.fitness = island, fitness
    return made


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.one_of(st.none(), st.integers(-5, 5))),
        min_size=1,
        max_size=30,
    ),
    st.randoms(use_true_random=False),
    st.frozensets(st.integers(-1, 3)),
)
def test_any_order_of_nodes_gives_the_same_groups(
    made: list[tuple[Any, Any]], draw: Any, folded: frozenset[int]
) -> None:
    nodes = [node(number, *item) for number, item in enumerate(made)]
    loaded = Islands(lambda node: True, folded)
    loaded.load(nodes)
    grown = Islands(lambda node: True, folded)
    grown.load([])
    for item in draw.sample(nodes, len(nodes)):
        grown.update(item)
        grown.update(item)
    assert (grown.rows, grown.counts, grown.bests) == (loaded.rows, loaded.counts, loaded.bests)
    groups = [island_of(row) for row in loaded.rows if row < 0]
    assert groups == sorted({-1 if item.island is None else item.island for item in nodes})
    assert [heading_of(group) for group in groups if group is not None] == [row for row in loaded.rows if row < 0]
    for group in groups:
        assert group is not None
        members = [item for item in nodes if (-1 if item.island is None else item.island) == group]
        assert loaded.counts[group] == len(members)
        place = loaded.rows.index(heading_of(group)) + 1
        shown = loaded.rows[place : place + len(members)] if group not in folded else []
        assert sorted(shown) == ([] if group in folded else [item.id for item in members])


async def test_islands_are_folded_and_mapped(runs: Path, make_app: Maker) -> None:
    app = make_app(make_run(runs / "alpha", 300, end="finished"))
    async with app.run_test(size=(200, 50)) as pilot:
        screen = await opened(pilot)
        await settled(pilot)
        tree, nodes = screen.view.tree_view, app.session.model.state.nodes  # type: ignore[union-attr]
        shown = screen.query_one(MiniMap)
        lines = [shown.row_strip(y).text for y in range(shown.size.height)]
        assert sum(bool(line.strip()) for line in lines) >= 7 and "▲" in "".join(lines) and lines[0].startswith("▸")
        grounds = [shown.row_ground(y) for y in range(shown.size.height)]
        assert grounds[0] == "bar" and "plain" in grounds[1:75]
        await pilot.press("ctrl+o")
        labels = [str(label.render()) for label in app.screen.query(Static)]
        assert labels[:3] == [" a ", " s ", " d "], "a label on each part"
        await pilot.press("d")
        assert app.screen is screen and screen.focused is not tree and screen.focused is not None
        await pilot.press("ctrl+o", "escape", "ctrl+o", "a")
        assert app.screen is screen and screen.focused is tree
        shown.post_message(MiniMap.Picked(250))
        await until(pilot, lambda: tree.cursor == 250, "the clicked row")
        assert not has_islands(nodes)
        await pilot.press("o", "o", "o")
        assert tree.order == "tree", "without islands there is no such order"
        for item in nodes[1:]:
            item.island = item.id % 3
        await pilot.press("o", "o", "o")
        await until(pilot, lambda: "by island" in text_of(app), "the islands")
        tree.action_first()
        assert tree.selected is None and "On no island  1 node, best" in text_of(app)
        await pilot.press("enter", "asterisk", "m", "down", "down")
        assert app.screen is screen and f"Island 0  {len(nodes[3::3])} nodes, best" in text_of(app)
        best = tree.rows[tree.cursor + 1]
        assert nodes[best].island == 0 and nodes[best].fitness == max(item.fitness or -9 for item in nodes[3::3])
        await pilot.press("space")
        await until(pilot, lambda: "▸ Island 0" in text_of(app), "the fold")
        assert best not in tree.rows and tree.go_to(best) and best in tree.rows, "going to a node unfolds its island"
        await pilot.press("z")
        assert [row for row in tree.rows if row >= 0] == []
        assert not any(int(row) < 0 for row in tree.search_order())
