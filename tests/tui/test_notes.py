"""Notes with the focus: scrolled, filtered, read as a whole, followed to their nodes."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, settled, text_of, until
from tui.screens.reading import ReadingScreen
from tui.widgets.notes import NOTE_FILTERS, NotesPanel


async def test_notes_are_scrolled_filtered_read_and_followed(live_run: Desk, make_app: Maker) -> None:
    app: Any = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        live = await opened(pilot)
        notes = live.session.model.notes
        panel = app.screen.query_one("#notes", NotesPanel)
        panel.focus()
        await pilot.press("g")
        await settled(pilot)
        assert panel.top == 0 and notes[0].text[:20] in text_of(app), "the oldest note"
        for name, kinds in list(NOTE_FILTERS.items())[1:]:
            await pilot.press("t")
            wanted = [index for index, note in enumerate(notes) if note.kind in kinds]
            assert panel._passing == wanted and f"{name}: {len(wanted)}" in text_of(app)
            if wanted:
                await pilot.press("o")
                node = notes[wanted[panel.cursor]].node
                assert node is not None or name == "run"
                if node is not None:
                    chosen = partial(lambda node: live.view.tree_view.selected.id == node, node)
                    await until(pilot, chosen, f"the node of a note of {name}")
        await pilot.press("t", "end", "right")
        assert f"…{notes[-1].text[20:30]}" in text_of(app), "what was cut is shifted into view"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReadingScreen), "the note")
        await until(pilot, lambda: " ".join(notes[-1].text.split())[:60] in " ".join(text_of(app).split()), "the text")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: live.view.tree_view.has_focus, "the tree")
        await settled(pilot)
        shown = text_of(app)
        assert notes[-1].text[:10] in shown and f"…{notes[-1].text[20:30]}" not in shown, "texts begin at their start"


async def test_click_on_a_key_in_the_footer_presses_it(live_run: Desk, make_app: Maker) -> None:
    app: Any = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        footer = text_of(app).splitlines()[-1]
        await pilot.click("Footer", offset=(footer.index("p Pause") + 2, 0))
        await until(pilot, lambda: live_run.commands() == [("pause", {})], "the command")
