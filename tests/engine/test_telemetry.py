"""Telemetry: figures of this machine, and of GPUs by an NVML library of our own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.loop import telemetry
from engine.loop.telemetry import Machine, watch_machine

LOOK = """
import json
from engine.loop.telemetry import Machine
machine = Machine()
print(json.dumps([machine.look(), machine.devices]))
machine.close()
"""


def look(**environment: str) -> tuple[dict[str, float], list[str]]:
    """What a fresh process sees."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    values, devices = json.loads(done.stdout)
    return values, devices


def test_the_processors_and_the_memory() -> None:
    machine = Machine()
    # A tick of the kernel's clock must pass, whatever the machine is at.
    before = time.process_time()
    while time.process_time() - before < 0.05:
        pass
    values = machine.look()
    machine.close()
    assert 0 <= values["cpu"] <= 1 and values["cores"] == len(os.sched_getaffinity(0)) and values["load"] >= 0
    assert 0 < values["mem_used_mb"] < values["mem_mb"]


def test_gpus(fake_nvml: Path) -> None:
    values, devices = look(LD_LIBRARY_PATH=str(fake_nvml), FAKE_GPUS="2")
    assert devices == ["Fake GPU", "Fake GPU"]
    for gpu in ("gpu0", "gpu1"):
        found = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(gpu)}
        assert found.pop("peak_tflops") == pytest.approx(132 * 4096 * 1.98e9 / 1e12)
        assert found.pop("peak_gbs") == pytest.approx(3352.3, abs=0.1)
        assert found == {
            "util": 0.87, "mem_mb": 8192, "mem_used_mb": 0, "power_w": 412.5, "power_limit_w": 700, "celsius": 67
        }  # fmt: skip


def test_a_card_that_tells_little(fake_nvml: Path) -> None:
    values, devices = look(LD_LIBRARY_PATH=str(fake_nvml), FAKE_GPUS="1", FAKE_QUIET="1")
    assert devices == ["Fake GPU"]
    assert [name for name in values if name.startswith("gpu")] == ["gpu0.mem_mb", "gpu0.mem_used_mb"]


async def test_rows_each_look_and_events_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"_LOOK_SECONDS": 0.01, "_FIRST_SECONDS": 0.05, "_EVENT_SECONDS": 0.1}.items():
        monkeypatch.setattr(telemetry, name, seconds)
    rows: list[bytes] = []
    events: asyncio.Queue[ev.Telemetry] = asyncio.Queue()

    class Desk:
        def live(self, kind: str, round_: int | None, data: bytes) -> None:
            assert kind == "telemetry" and round_ is None
            rows.append(data)

        def emit(self, data: ev.Telemetry) -> None:
            events.put_nowait(data)

    desk: Any = Desk()
    watching = asyncio.create_task(watch_machine(desk))
    first, second = await events.get(), await events.get()
    watching.cancel()
    await asyncio.wait([watching])
    assert len(rows) > 2
    shown = ev.decode_data("telemetry", rows[-1])
    assert isinstance(shown, ev.Telemetry) and shown.values.keys() == first.values.keys() == second.values.keys()
    loads = [json.loads(row)["values"]["load"] for row in rows]
    assert min(loads) - 0.001 <= first.values["load"] <= max(loads) + 0.001
