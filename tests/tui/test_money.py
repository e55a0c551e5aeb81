"""Money and models: sums that equal the run's, gains of who made them, forecasts."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.runs.folder import Run
from engine.state.run_state import RunState
from tests.e2e.runs import events
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.test_model import ROOT
from tui.model.money import forecast, money_lines
from tui.model.run_model import fold_model


def text(lines: Any) -> str:
    """The words of a document."""
    return "\n".join("".join(span.text for span in line) for line in lines)


def test_sums_equal_those_of_the_run_and_gains_go_to_who_made_them() -> None:
    model = fold_model(events(Run(ROOT / "sample_runs" / "circle_packing_mixed")))
    state: RunState = model.state
    sums = model.spending.by_model.values()
    assert sum(item.tokens_in + item.tokens_out for item in sums) == state.tokens
    assert sum(item.calls for item in sums) == sum(spent.calls for spent in state.spent.values())
    shown = text(money_lines(model))
    rows = {line.split("  ")[0].strip(): line for line in shown.splitlines()}
    assert rows["qwen, researcher"].endswith(" +0") and "+" not in rows["qwen, fixer"], "a model's gain stands once"
    assert "+1.551" in rows["swap"], "recombination found the new bests"
    assert "the limit of 24 rounds is reached" in shown and "200,000 tokens in" in shown
    # 10 of 40 hours took 24 rounds: the rest takes three times as long.
    state.settings = msgspec.structs.replace(state.settings, rounds=48, hours=40.0, tokens=None, usd=5.0)
    state.engine_ms, state.usd = 36_000_000, 1.0
    told = forecast(state)
    assert told[1:] == [
        "48 rounds in 10 h 0 min, at round 48, $2.00 in all",
        "40 hours in 30 h 0 min, at round 96, $4.00 in all",
        "5 dollars in 40 h 0 min, at round 120, $5.00 in all",
    ]


async def test_key_shows_money_and_models(live_run: Desk, make_app: Maker) -> None:
    app: Any = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("f4")
        await until(pilot, lambda: "At this pace" in text_of(app) and "By operator" in text_of(app), "the sums")
        await pilot.press("escape")
        await until(pilot, lambda: "Population" in text_of(app), "the run")
