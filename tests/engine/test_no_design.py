"""Rounds without a design in the journal: how they are counted, when the count is reset, and the shown reasons."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.designers.base import Design, NothingToDesign
from engine.designers.mixed import MixedDesigner
from engine.journal import events as ev
from engine.llm.requests import ContextNode, DesignRequest
from engine.loop.gate import PauseGate
from engine.settings.model import Settings
from engine.state.fold import apply, fold
from engine.state.limits import limit_reached
from engine.state.no_design import is_stuck, reason_of, was_in_vain
from engine.state.run_state import RunState
from engine.state.timeline import copy_state
from tests.conftest import TaskMaker
from tests.e2e.runs import events, make_run
from tests.engine.loop.parts import open_parts
from tests.engine.test_state import SPEC, Script, started

ENGINE = ev.EngineStarted(1, "h", "bubblewrap", "guarded", 4, 2, "recombine")
CHANGES: dict[str, ev.Data] = {
    "engine": ENGINE,
    "hint": ev.Injected("hint", text="left"),
    "program": ev.Injected("program", program="f" * 64),
    "settings": ev.SettingsChanged({"sampler": {"inspirations": 1}}),
    "prior": ev.PriorChanged("p", "f" * 64, "edited"),
}
"""What makes designs possible that were not."""
OTHERS: dict[str, ev.Data] = {
    "away": ev.PriorChanged("p", "f" * 64, "disabled"),
    "comment": ev.NodeCommented("hm"),
    "warning": ev.PriorWarned(["x"]),
    "paused": ev.RunPaused(reason="no model answers"),
    "resumed": ev.RunResumed(),
}
STEPS = ["none", "certain", "node", *CHANGES, *OTHERS]


class Rounds(Script):
    """A journal of rounds, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.add(started())
        self.add(ENGINE)
        self.add(ev.RoundStarted(), 0)
        self.evaluate(0, self.design(0, []), "ok", 0.0)
        self.add(ev.RoundEnded("node"), 0)
        self.rounds = 0

    def step(self, kind: str) -> None:
        """One thing that happens."""
        if kind not in ("none", "certain", "node"):
            self.add({**CHANGES, **OTHERS}[kind])
            return
        self.rounds += 1
        self.add(ev.RoundStarted(), self.rounds)
        if kind == "node":
            self.evaluate(self.rounds, self.design(self.rounds, [0]), "ok", 0.0)
            self.add(ev.RoundEnded("node"), self.rounds)
            return
        for attempt in range(2):
            self.add(ev.DesignRejected(attempt, "answer", "the answer holds no program; write one"), self.rounds)
        self.add(ev.DesignRejected(2, "duplicate", f"the same program as node {self.rounds}"), self.rounds)
        self.add(ev.RoundEnded("no_design", "all is made", kind == "certain"), self.rounds)

    def fold(self) -> RunState:
        """The state at the end."""
        return fold(self.events)


def rounds(*steps: str) -> RunState:
    script = Rounds()
    for step in steps:
        script.step(step)
    return script.fold()


@given(st.lists(st.sampled_from(STEPS), max_size=14))
def test_rounds_in_a_row_are_counted_until_something_changes(steps: list[str]) -> None:
    row, certain = 0, False
    for step in steps:
        if step in ("none", "certain"):
            row, certain = row + 1, step == "certain"
        elif step == "node" or step in CHANGES or (step == "resumed" and (row >= 3 or certain)):
            row, certain = 0, False
    state = rounds(*steps)
    assert (state.without_design, bool(state.exhausted)) == (row, certain)
    assert is_stuck(state) == (row >= 3 or certain)
    assert state.no_design == sum(step in ("none", "certain") for step in steps)


def test_setting_limits_rounds_without_design() -> None:
    state = rounds("none", "none", "none")
    for enough in range(1, 6):
        state.settings = msgspec.convert({"designer": {"give_up": enough}}, Settings)
        assert is_stuck(state) == (enough <= 3)
    with pytest.raises(msgspec.ValidationError, match="give_up"):
        msgspec.convert({"designer": {"give_up": 0}}, Settings)


@given(st.lists(st.sampled_from(STEPS), max_size=14), st.integers(0, 14))
def test_later_events_do_not_change_kept_state(steps: list[str], cut: int) -> None:
    script = Rounds()
    for step in steps[:cut]:
        script.step(step)
    known, state = len(script.events), script.fold()
    kept, shape = copy_state(state), dict(vars(copy_state(state)))
    for step in steps[cut:]:
        script.step(step)
    for event in script.events[known:]:
        apply(state, event)
    assert vars(kept) == shape


def test_commonest_kind_of_refusal_is_shown_with_newest_reason() -> None:
    state = rounds("none", "none", "none")
    assert reason_of(state).startswith(
        "3 of 3 rounds gave no design; most often: the answer holds no program. Add recipes"
    )
    # Only those since the last design: nodes differ in nothing but their number.
    script = Rounds()
    script.step("none")
    script.step("node")
    for number in range(3):
        script.rounds += 1
        script.add(ev.RoundStarted(), script.rounds)
        script.add(ev.DesignRejected(0, "duplicate", f"the same program as node {number}"), script.rounds)
        script.add(ev.RoundEnded("no_design", "x"), script.rounds)
    state = script.fold()
    assert reason_of(state).startswith(
        "the last 3 rounds gave no design; most often: duplicate: the same program as node 2. "
    )


def test_reason_of_certain_designer_is_shown() -> None:
    assert reason_of(rounds("node", "certain")).startswith("nothing new can be designed: all is made. Add recipes")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, ["evolve priors add", "name a model"]),
        ({"designer": {"name": "recombine"}}, ["evolve priors add", "evolve run TASK --model"]),
        ({"models": {"m": {"model": "m"}}}, ["Name another model", "evolve priors add", "recombine_share=0.5"]),
    ],
)
def test_every_designer_has_two_ways_out(settings: dict[str, object], told: list[str]) -> None:
    state = rounds("none", "none", "none")
    state.settings = msgspec.convert({**msgspec.to_builtins(state.settings), **settings}, Settings)
    assert all(words in reason_of(state) for words in [*told, "evolve resume RUN"])


@pytest.mark.parametrize(
    ("steps", "status"), [(["none", "none"], "stopped"), (["none", "node"], "finished"), (["node", "none"], "finished")]
)
def test_run_without_any_node_is_stopped_at_limit(steps: list[str], status: str) -> None:
    for settings in ({"rounds": 2}, {"patience": 2}):
        state = rounds(*steps)
        state.settings = msgspec.convert(settings, Settings)
        end = limit_reached(state, SPEC, 0.0, 0.0)
        assert end is not None and f"run.{status}" == end.KIND
        assert (status == "stopped") == was_in_vain(state) == end.reason.startswith("2 of 2 rounds gave no design")


def test_events_of_earlier_versions_are_decoded() -> None:
    paused = ev.decode_data("run.paused", '{"now":false,"reason":"no model answers"}')
    assert paused == ev.RunPaused(reason="no model answers")
    assert ev.decode_data("round.ended", '{"outcome":"no_design"}') == ev.RoundEnded("no_design")


def test_pause_shows_reasons_of_all_holders() -> None:
    gate = PauseGate()
    gate.pause()
    assert gate.paused_event(True) == ev.RunPaused(now=True)
    gate.pause("endpoint", "no model answers")
    gate.pause("designer", "no design")
    assert gate.paused_event(False) == ev.RunPaused(reason="no model answers; no design", no_design=True)
    gate.resume("designer")
    assert gate.paused_event(False) == ev.RunPaused(reason="no model answers")
    gate.resume("endpoint")
    assert gate.paused
    gate.resume()
    assert not gate.paused


class Only:
    """A designer that does one thing."""

    name = "only"
    modes = ("full", "diff")
    reads_hints = False

    def __init__(self, made: Design | None) -> None:
        self._made = made

    def apply(self, event: ev.Event) -> None:
        """Nothing is learned."""

    async def design(self, request: DesignRequest) -> Design:
        """What it was given, or nothing at all."""
        if self._made is None:
            raise NothingToDesign("all is made")
        return self._made

    async def aclose(self) -> None:
        """Nothing was started."""


async def test_model_writes_if_all_is_recombined_and_it_has_share() -> None:
    written = Design("x = 1\n", "full", "n", "m", [0])
    request = DesignRequest(1, 0, 7, ContextNode(0, "x = 0\n", "ok", 0.0), [], [])
    mixed = MixedDesigner(Only(written), Only(None), lambda: 0.99)
    assert await mixed.design(request) == written
    with pytest.raises(NothingToDesign):
        await MixedDesigner(Only(written), Only(None), lambda: 1.0).design(request)


@pytest.mark.parametrize("attended", [True, False])
async def test_certain_designer_is_asked_once(make_task: TaskMaker, tmp_path: Path, attended: bool) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=9, workers=1)
    async with open_parts(run, attended=attended) as parts:
        parts.designer.current = Only(None)
        working = asyncio.create_task(parts.work())
        while attended and not parts.session.state.waits_for_person:
            await asyncio.sleep(0.01)
        if attended:
            assert parts.session.state.status == "paused"
            parts.scheduler.stop("enough", now=True)
        await working
    told = [event.data for event in events(run, ev.RunPaused if attended else ev.RunStopped)]
    reason = "nothing new can be designed: all is made"
    assert len(told) == 1 and told[0].reason.startswith(reason)  # type: ignore[attr-defined]
    assert [event.data.exhausted for event in events(run, ev.RoundEnded) if event.round] == [True]  # type: ignore[attr-defined]
    assert len(events(run, ev.DesignRejected)) == 1
