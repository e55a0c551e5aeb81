"""The pause gate and the slots, under a real event loop."""

from __future__ import annotations

import asyncio

import pytest

from engine.errors import Stopping
from engine.evaluation.capacity import CapacityLimiter
from engine.loop.gate import PauseGate


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_paused_gate_holds_all_but_the_round_that_is_stepped() -> None:
    gate = PauseGate()
    await gate.wait(1)
    gate.pause()
    waiting = {n: asyncio.create_task(gate.wait(n)) for n in (1, 2)}
    await settle()
    assert not any(task.done() for task in waiting.values())
    gate.step(2)
    await settle()
    assert (waiting[1].done(), waiting[2].done()) == (False, True)
    await gate.wait(2)
    gate.end(2)
    assert not gate.open_for(2)
    gate.resume()
    await waiting[1]


async def test_a_stopping_gate_turns_away_who_waits_and_who_comes() -> None:
    gate = PauseGate()
    gate.pause()
    waiting = asyncio.create_task(gate.wait(1))
    await settle()
    gate.stop()
    with pytest.raises(Stopping):
        await waiting
    with pytest.raises(Stopping):
        await gate.wait(2)


async def test_slots_are_handed_out_in_order_and_follow_their_limit() -> None:
    slots = CapacityLimiter(2)
    inside: list[int] = []
    release = [asyncio.Event() for _ in range(5)]

    async def hold(n: int) -> None:
        async with slots:
            inside.append(n)
            await release[n].wait()

    tasks = [asyncio.create_task(hold(n)) for n in range(5)]
    await settle()
    assert inside == [0, 1]
    slots.limit = 3
    await settle()
    assert inside == [0, 1, 2]
    slots.limit = 1
    release[0].set()
    release[1].set()
    await settle()
    assert inside == [0, 1, 2]
    release[2].set()
    await settle()
    assert inside == [0, 1, 2, 3]
    tasks[4].cancel()
    await settle()
    release[3].set()
    await settle()
    async with slots:
        pass
