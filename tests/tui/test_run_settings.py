"""The settings of a run: all of them, with their origin and meaning, changed while it goes on."""

from __future__ import annotations

from typing import Any

import pytest

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.settings.model import parse_setting
from engine.state.fold import fold_run
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, hint_of, opened, text_of, until
from tests.tui.test_model import ROOT
from tui.model.run_settings import setting_rows
from tui.screens.dialogs import Prompt
from tui.screens.run_settings import RunSettingsScreen, _typed


def test_every_setting_has_value_origin_and_meaning() -> None:
    with JournalReader(Run(ROOT / "sample_runs" / "circle_packing_mixed").db) as reader:
        state = fold_run(reader)
    rows = {row.path: row for row in setting_rows(state, {"retrieval": 1000, "rounds": 1000})}
    assert rows["rounds"].value == 24 and rows["rounds"].origin.startswith("set ")
    assert rows["retrieval.top_k"].origin.startswith("set ") and rows["tokens"].origin == "start"
    assert rows["hours"].origin == "default" and rows["hours"].about.startswith("Hours of engine time")
    assert rows["models.qwen.base_url"].fixed and rows["seed"].fixed and not rows["sampler.c"].fixed
    silent = {row.path for row in rows.values() if not row.about and not row.path.startswith("models.")}
    assert silent <= {"sampler.name", "fitness.kind"}


@pytest.mark.parametrize("value", ["", "recombine", 3, 0.1, True, ["a", "b"]])
def test_value_is_offered_as_it_is_taken(value: Any) -> None:
    assert parse_setting(f"answers={_typed(value)}") == {"answers": value}


async def test_setting_is_changed_in_mid_run(live_run: Desk, make_app: Maker) -> None:
    app: Any = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, RunSettingsScreen), "the settings")
        await until(pilot, lambda: "Rounds in all" in text_of(app), "the meaning of the first one")
        await pilot.press("enter")
        assert isinstance(app.screen, Prompt)
        await pilot.press("ctrl+u", *"-3", "enter")
        await until(pilot, lambda: "must be at least 0" in hint_of(app), "the refusal")
        await pilot.press("ctrl+u", *"150", "enter")
        await until(pilot, lambda: live_run.commands() == [("set", {"settings": {"rounds": 150}})], "the command")
        live_run.answer(ev.SettingsChanged({"rounds": 150}))
        await until(pilot, lambda: "150" in text_of(app) and " set " in text_of(app), "the new value and its origin")
