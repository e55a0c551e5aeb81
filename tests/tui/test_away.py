"""Coming back to a run: what happened meanwhile, in the last line and as a text."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.journal.clock import now_ms
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, text_of, until
from tui.model.away import describe_away
from tui.screens.reading import ReadingScreen


async def test_absence_is_told_and_remembered(live_run: Desk, make_app: Maker, workspace: Any) -> None:
    app: Any = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        live = await opened(pilot)
        model = live.session.model
        nodes = model.state.nodes
        seen = nodes[30].designed_at
        told = describe_away(model, seen, seen + 11_400_000)
        fresh = [node for node in nodes if node.designed_at > seen and node.status]
        assert told.startswith(f"since you left, 3 h 10 min ago: {len(fresh)} nodes")
        assert describe_away(model, None, now_ms()) == describe_away(model, now_ms(), now_ms()) == ""
        await pilot.press("B")
        await until(pilot, lambda: isinstance(app.screen, ReadingScreen), "the digest")
        assert "nodes measured" in text_of(app) and "since its start" in text_of(app)
        await pilot.press("escape")
        app.show_runs()
        file = workspace / "state" / "seen.json"
        await until(pilot, file.exists, "the time of leaving")
        assert list(msgspec.json.decode(file.read_bytes())) == [str(live_run.run.folder)]
        file.write_bytes(msgspec.json.encode({str(live_run.run.folder): seen}))
        app.attach(live_run.run)
        await until(pilot, lambda: "since you left" in text_of(app) and "B tells more" in text_of(app), "the line")
