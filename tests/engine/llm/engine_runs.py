"""Runs of a real engine in the test's process, with a model behind a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.llm import client
from engine.loop import failover
from engine.loop.engine import Engine
from engine.loop.serve import watch_children_without_threads
from engine.runs.folder import Run, lock_run
from engine.state.run_state import RunState
from tests.conftest import TaskMaker
from tests.e2e.runs import check_integrity, events, fold, make_run
from tests.llm_server import LlmServer

__all__ = ["Start", "be_quick", "calls", "starter", "work"]

Start = Callable[..., Run]


def be_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove waits between tries and probes."""
    watch_children_without_threads()
    monkeypatch.setattr(client, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(failover, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(failover, "_LAST_WAIT", 0.1)


def starter(make_task: TaskMaker, folder: Path, server: LlmServer) -> Start:
    """Return what makes a run whose model is the server; `model` are more fields of the model, `toml` of the task."""

    def make(model: dict[str, Any] | None = None, toml: str = "", **settings: Any) -> Run:
        spec = {"model": "m", "base_url": server.url, "retries": 1, **(model or {})}
        settings = {"rounds": 2, "workers": 1, "models": {"m": spec}, **settings}
        return make_run(make_task(toml=toml), folder / "runs", **settings)

    return make


async def work(run: Run, patience: float | None = None) -> RunState:
    """Run an engine in this process until it ends."""
    with lock_run(run):
        await Engine(run, patience_endpoint=patience).work()
    check_integrity(run)
    return fold(run)


def calls(run: Run) -> list[ev.CallDone]:
    """Return how the calls of a run ended."""
    return [event.data for event in events(run, ev.CallDone) if isinstance(event.data, ev.CallDone)]
