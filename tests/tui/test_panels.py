"""Panels: enlarged by a key, kept so, and listed in words by palette and help."""

from __future__ import annotations

from typing import Any

from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, settled, until
from tui.palette import ActionProvider
from tui.screens.live import LiveScreen
from tui.screens.reading import help_lines
from tui.screens.runs import RunsScreen


def shown(app: Any) -> set[str]:
    """The parts of the view that take any room."""
    ids = ("tree", "plot", "work", "notes", "peek", "rates", "writing")
    return {name for name in ids if (part := app.screen.query_one(f"#{name}")).display and part.size.height}


async def test_any_panel_is_enlarged_and_the_layout_is_kept(live_run: Desk, make_app: Maker) -> None:
    app: Any = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        before = shown(app)
        await pilot.press("Z")
        await until(pilot, lambda: shown(app) == {"tree"}, "the tree alone")
        await pilot.press("v")
        await until(pilot, lambda: len(shown(app)) == 1 and "tree" not in shown(app), "a panel alone")
        first = shown(app)
        await pilot.press("v")
        await until(pilot, lambda: len(shown(app)) == 1 and shown(app) != first, "the next one")
        alone = shown(app)
        part = app.screen.query_one(f"#{next(iter(alone))}")
        assert part.has_focus and part.size.width == 120
        # Keys that steer work from any panel.
        await pilot.press("p")
        await until(pilot, lambda: live_run.commands() == [("pause", {})], "the command")
        await pilot.press("W" if app.screen.query_one("#writing").display else "f2", "escape")
        app.attach(live_run.run)
        await opened(pilot)
        await settled(pilot)
        assert shown(app) == alone, "the next view of a run is arranged as the last one"
        await pilot.press("escape")
        await until(pilot, lambda: "tree" in shown(app), "all parts again")
        assert shown(app) == before
        await pilot.press("escape")
        assert isinstance(app.screen, LiveScreen) and app.screen.view.tree_view.has_focus
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen), "the list")


async def test_palette_and_help_say_in_words_what_each_key_does(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for keys in ((), ("enter",)):
            await pilot.press(*keys)
            titles = [name for name, _, _ in ActionProvider(app.screen)._commands()]
            assert len(titles) == len(set(titles)) and not [title for title in titles if ":" in title.split()[0]]
            assert "Pause run" in titles and not {"Down", "Page down"} & set(titles)
        await pilot.press("escape")
        headings = [line[0].text for line in help_lines(app.screen) if line and line[0].look == "heading"]
        assert headings.index("Nodes: look around") < headings.index("Steer the run") < headings.index("Move")
        assert headings[-3:-1] == ["Leave", "Words"] and len(headings) == len(set(headings))
