"""Durations follow the steady clock, whatever happens to the wall clock."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import clock
from engine.journal import events as ev
from engine.journal.clock import StepWatch, WallClock
from engine.journal.database import decode_row, to_row
from engine.settings.model import Settings
from engine.state.fold import apply
from engine.state.run_state import RunState
from engine.task.spec import TaskSpec

MINUTE = 60_000
START = 1_760_000_000_000


class Clocks:
    """The wall clock and the steady one, moved by the test."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall, self.steady = START, 5_000
        patch.setattr(clock, "now_ms", lambda: self.wall)
        patch.setattr(clock, "steady_ms", lambda: self.steady)

    def go_on(self, milliseconds: int, step: int = 0) -> None:
        """Let time pass; `step`: and the wall clock be set ahead, or back, by so much."""
        self.wall += milliseconds + step
        self.steady += milliseconds


class Engine:
    """Folds events as the engine makes them, through their rows in the journal."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self.watch = StepWatch()
        self.running = 0
        """How long the run has been at work in truth."""
        start = ev.RunStarted(
            "t", msgspec.to_builtins(Settings()), msgspec.to_builtins(TaskSpec("t", "maximize")), {"seed.py": "0" * 64}
        )
        at, _ = self.watch.read()
        self.state = RunState(ev.Event(1, at, None, None, start))
        self.emit(ev.EngineStarted(1, "h", "none", "open", 1, 1, "recombine"))

    def emit(self, data: ev.Data, round: int | None = None) -> None:
        at, step = self.watch.read()
        told = [data] if step is None else [ev.ClockStepped(step.by_ms, step.passed_ms), data]
        for item in told:
            row = to_row(ev.Event(self.state.seq + 1, at, round if item is data else None, None, item))
            event = decode_row(row)
            assert event is not None
            apply(self.state, event)

    def pass_time(self, milliseconds: int, step: int) -> None:
        self.clocks.go_on(milliseconds, step)
        self.running += milliseconds if self.state.status == "running" else 0


steps = st.one_of(st.just(0), st.integers(-100 * MINUTE, -1000), st.integers(1000, 100 * MINUTE))


@given(st.lists(st.tuples(st.integers(0, 10 * MINUTE), steps, st.sampled_from(["work", "pause", "resume", "round"]))))
def test_engine_time_equals_elapsed_time(moments: list[tuple[int, int, str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        engine = Engine(Clocks(patch))
        began: dict[int, int] = {}
        for number, (passed, step, what) in enumerate(moments, 1):
            engine.pass_time(passed, step)
            match what:
                case "pause":
                    engine.emit(ev.RunPaused())
                case "resume":
                    engine.emit(ev.RunResumed())
                case "round":
                    engine.emit(ev.RoundStarted(), number)
                    began[number] = engine.clocks.steady
                case _:
                    engine.emit(ev.Telemetry())
            assert engine.state.engine_ms == engine.running
            for round_ in engine.state.open_rounds.values():
                assert engine.state.at - round_.started_at == engine.clocks.steady - began[round_.round]


def test_slow_correction_of_clock_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    watch = StepWatch()
    watch.read()
    for _ in range(1000):
        clocks.go_on(30_000, 15)
        assert watch.read()[1] is None


def test_own_wall_clock_ignores_steps_until_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    own = WallClock()
    clocks.go_on(3_000, -60 * MINUTE)
    assert own.now_ms() == START + 3_000
    own.set()
    clocks.go_on(1_000)
    assert own.now_ms() == clocks.wall
