"""Failover between models, with a real gate and without an engine."""

from __future__ import annotations

import asyncio

import pytest

from engine.errors import Stopping
from engine.llm.faults import Fault
from engine.loop import failover
from engine.loop.failover import Failover
from engine.loop.gate import PauseGate


class Desk:
    """Note each time that the gate is held and released."""

    def __init__(self) -> None:
        self.gate = PauseGate()
        self.seen: list[str] = []
        self.held, self.released = asyncio.Event(), asyncio.Event()
        self.failover = Failover(self.gate, self._on_hold, self._on_release)

    def _on_hold(self) -> None:
        self.seen.append("hold")
        self.held.set()

    def _on_release(self) -> None:
        self.seen.append("release")
        self.released.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover, "_FIRST_WAIT", 0.01)


async def test_next_model_is_asked_if_the_first_one_fails() -> None:
    desk = Desk()
    assert await desk.failover.next("call", ["a", "b"]) == ("a", False)
    desk.failover.add("a", Fault("down", "connection refused"))
    assert await desk.failover.next("call", ["b", "a"]) == ("b", False)
    assert (desk.seen, desk.gate.paused) == ([], False)


async def test_gate_is_held_while_no_model_answers_and_released_by_a_probe() -> None:
    desk = Desk()
    desk.failover.add("a", Fault("down", "connection refused"))
    waiting = asyncio.create_task(desk.failover.next("call", ["a"]))
    await desk.held.wait()
    assert desk.gate.held_by("endpoint")
    assert "connection refused" in desk.failover.reason
    assert await waiting == ("a", True)
    desk.failover.clear("a")
    assert desk.seen == ["hold", "release"]
    assert (desk.failover.reason, desk.gate.paused) == ("", False)


async def test_release_leaves_the_pause_of_a_person() -> None:
    desk = Desk()
    desk.gate.pause()
    desk.failover.add("a", Fault("down", "connection refused"))
    assert await desk.failover.next("call", ["a"]) == ("a", True)
    desk.failover.clear("a")
    assert desk.released.is_set()
    assert desk.gate.held_by("person") and not desk.gate.held_by("endpoint")


async def test_waiting_call_ends_if_the_engine_stops() -> None:
    desk = Desk()
    desk.failover.add("a", Fault("down", "connection refused"))
    # Somebody else's probe is under way, so that this call can only wait.
    assert await desk.failover.next("other", ["a"]) == ("a", True)
    waiting = asyncio.create_task(desk.failover.next("call", ["a"]))
    await asyncio.sleep(0)
    desk.gate.stop()
    with pytest.raises(Stopping):
        await waiting


def test_third_refusal_in_a_row_is_the_fault_of_the_model() -> None:
    desk = Desk()
    assert [desk.failover.refused("a") for _ in range(3)] == [False, False, True]
    desk.failover.clear("a")
    assert not desk.failover.refused("a")
