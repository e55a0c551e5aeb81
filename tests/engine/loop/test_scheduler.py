"""The scheduler with real stages over a real journal, without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunError
from engine.journal import events as ev
from engine.loop.commands import Controls
from engine.loop.scheduler import Scheduler
from engine.runs.folder import Run
from tests.conftest import TaskMaker
from tests.e2e.runs import check_integrity, events, make_run
from tests.engine.loop.parts import Parts, open_parts

RECIPE = """---
title: Move
---
```python recipe
def left():
    return X * Z + @N@
```
"""


@pytest.fixture
def start(make_task: TaskMaker, tmp_path: Path) -> Callable[..., Run]:
    """Create a run that has recipes for some rounds."""

    def make(**settings: Any) -> Run:
        priors = {f"move{n}.md": RECIPE.replace("@N@", str(n)) for n in range(8)}
        return make_run(make_task(priors=priors), tmp_path / "runs", **{"workers": 2, "rounds": 4, **settings})

    return make


class Held:
    """Rounds that end when the test says so."""

    def __init__(self, parts: Parts) -> None:
        self._session = parts.session
        self.open: dict[int, asyncio.Event] = {}
        self.measured: list[int] = []

    async def run(self, number: int) -> None:
        """Hold the round open."""
        self.open[number] = asyncio.Event()
        await self.open[number].wait()
        del self.open[number]
        self._session.emit(ev.RoundEnded("node"), round=number)

    async def measure_again(self, node: int) -> None:
        """Note the node."""
        self.measured.append(node)

    async def verify(self, node: int) -> None:
        """Note the node, turned."""
        self.measured.append(-node)


def hold(parts: Parts) -> tuple[Scheduler, Held]:
    """Return a scheduler of rounds that the test ends."""
    held = Held(parts)
    parts.session.emit(ev.RoundEnded("node"), round=0)
    scheduler = Scheduler(parts.session, parts.gate, held, parts.limits, parts.evaluations, parts.models)
    return scheduler, held


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def test_rounds_run_until_the_limit_is_reached(start: Callable[..., Run]) -> None:
    run = start()
    async with open_parts(run) as parts:
        await parts.work()
        state = parts.session.state
        assert (state.status, state.reason, state.rounds_done) == ("finished", "4 rounds are done", 4)
        assert all(node.analyzed for node in state.nodes)
    check_integrity(run)


async def test_as_many_rounds_are_in_flight_as_there_are_workers(start: Callable[..., Run]) -> None:
    async with open_parts(start(workers=3)) as parts:
        scheduler, held = hold(parts)
        running = asyncio.create_task(scheduler.run())
        await until(lambda: len(held.open) == 3)
        held.open[2].set()
        await until(lambda: 4 in held.open)
        assert [round_.worker for round_ in parts.session.state.open_rounds.values()] == [0, 2, 1]
        for event in held.open.values():
            event.set()
        assert (await running).reason == "4 rounds are done"


async def test_armed_pause_comes_when_its_round_ends(start: Callable[..., Run]) -> None:
    run = start()
    async with open_parts(run) as parts:
        scheduler, held = hold(parts)
        parts.session.emit(ev.PauseArmed("round", 1))
        running = asyncio.create_task(scheduler.run())
        await until(lambda: len(held.open) == 2)
        held.open[2].set()
        await until(lambda: 3 in held.open)
        assert not scheduler.paused, "another round has ended"
        held.open[1].set()
        await until(lambda: scheduler.waits_for_person)
        state = parts.session.state
        assert (state.status, state.reason) == ("paused", "round 1 has ended, as asked")
        assert state.armed is None and list(held.open) == [3], "no further round has started"
        for event in scheduler.resume():
            parts.session.emit(event)
        await until(lambda: 4 in held.open)
        assert not scheduler.paused, "it comes once"
        for waiting in held.open.values():
            waiting.set()
        await running


async def test_paused_run_starts_only_rounds_that_are_stepped(start: Callable[..., Run]) -> None:
    async with open_parts(start()) as parts:
        scheduler, held = hold(parts)
        parts.session.emit(scheduler.pause(now=False))
        running = asyncio.create_task(scheduler.run())
        assert scheduler.step() == "round 1 runs to its end"
        scheduler.wake()
        await until(lambda: held.open)
        assert list(held.open) == [1] and parts.gate.open_for(1)
        held.open[1].set()
        await until(lambda: not held.open)
        # A step that is not taken before the run is resumed is forgotten.
        scheduler.step()
        for event in scheduler.resume():
            parts.session.emit(event)
        parts.session.emit(scheduler.pause(now=False))
        scheduler.wake()
        await asyncio.sleep(0)
        assert not held.open
        scheduler.stop("enough", now=False)
        await running


async def test_stop_lets_rounds_end_and_starts_no_more(start: Callable[..., Run]) -> None:
    async with open_parts(start()) as parts:
        scheduler, held = hold(parts)
        running = asyncio.create_task(scheduler.run())
        await until(lambda: len(held.open) == 2)
        scheduler.stop("enough", now=False)
        assert await running == ev.RunStopped("enough")
        for event in held.open.values():
            event.set()
        await scheduler.drain()
        assert parts.session.state.rounds_started == 2
        assert scheduler.stopping


async def test_error_of_a_round_fails_the_run(start: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Held):
        async def run(self, number: int) -> None:
            raise RunError("no priors", "Add some") if number == 1 else ZeroDivisionError("one")

    async with open_parts(start(workers=1)) as parts:
        parts.session.emit(ev.RoundEnded("node"), round=0)
        rounds = Broken(parts)
        scheduler = Scheduler(parts.session, parts.gate, rounds, parts.limits, parts.evaluations, parts.models)
        assert await scheduler.run() == ev.RunFailed("no priors. Add some")
        # The first failure is the reason; another is printed.
        scheduler.fail("round 2", ZeroDivisionError("one"))
        assert scheduler.end == ev.RunFailed("no priors. Add some")
        assert parts.gate.cancelling
    assert "ZeroDivisionError" in capsys.readouterr().err


async def test_open_rounds_and_reruns_go_on_at_the_start(start: Callable[..., Run]) -> None:
    run = start(rounds=2)
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        await parts.analyze.run(0)
        parts.session.emit(ev.RoundEnded("node"), round=0)
        parts.session.emit(ev.RoundStarted(), round=1)
        parts.session.emit(ev.NodeRerun(repeat=1), round=0, node=0)
    async with open_parts(run) as parts:
        held = Held(parts)
        scheduler = Scheduler(parts.session, parts.gate, held, parts.limits, parts.evaluations, parts.models)
        running = asyncio.create_task(scheduler.run())
        await until(lambda: len(held.open) == 2)
        assert (sorted(held.open), held.measured) == ([1, 2], [0])
        for event in held.open.values():
            event.set()
        await running


def test_scheduler_meets_what_commands_need() -> None:
    controls: type[Controls] = Scheduler
    assert all(hasattr(controls, name) for name in vars(Controls) if not name.startswith("_"))


async def test_unattended_run_stops_if_nothing_can_be_designed(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=50, workers=1, designer={"attempts": 0, "give_up": 2})
    async with open_parts(run, attended=False) as parts:
        await parts.work()
        assert parts.session.state.status == "stopped"
    assert len(events(run, ev.RoundEnded)) == 3, "the seeds' and two in vain"
