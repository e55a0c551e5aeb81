"""A run in which what ranks and what scores disagree, on a minimised metric, ranked in one of three ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.runs.folder import Run
from engine.state.node import Node
from engine.state.run_state import RunState
from tests.e2e.runs import fold
from tests.engine.test_fork import write
from tests.engine.test_state import Script

FITNESS: dict[str, dict[str, Any]] = {
    "score": {},
    "composite": {
        "kind": "composite",
        "parts": {"loss": {"direction": "minimize"}, "speed": {"direction": "maximize"}},
    },
    "judge": {"judge": 0.75},
}
"""Settings of fitness by what they are called here."""

LOWEST, FITTEST, UNRANKED, CRASHED = 1, 2, 3, 4
"""Nodes: the best score, the best fitness (composite or judge), a score alone, neither."""


def make_ranked(folder: Path, fitness: str, end: bool = True) -> Run:
    """Write the run; `fitness` is a key of `FITNESS`."""
    script = Script()
    spec = {"name": "t", "direction": "minimize", "metric": "loss"}
    codes = [f"X = {number}\n" for number in range(5)]
    script.add(ev.RunStarted("t", {"fitness": FITNESS[fitness]}, spec, {"seed.py": sha256_of(codes[0])}))
    script.add(ev.EngineStarted(1, "h", "bubblewrap", "guarded", 1, 1, "recombine"))
    results: list[tuple[float | None, dict[str, float], float | None]] = [
        (2.0, {"speed": 100.0}, 0.2),
        (1.0, {"speed": 20.0}, 0.1),
        (1.9, {"speed": 300.0}, 0.9),
        (1.5, {}, None),
        (None, {}, None),
    ]
    crowned = (0, LOWEST) if fitness == "score" else (0, FITTEST)
    for node, (loss, metrics, mark) in enumerate(results):
        script.add(ev.RoundStarted(), node)
        script.add(
            ev.DesignDone(sha256_of(codes[node]), "tune", f"n{node}", "why", [0] if node else [], digest=str(node)),
            node,
            node,
        )
        if loss is None:
            script.add(ev.EvalDone("crashed", reason="it broke"), node, node)
        else:
            script.add(ev.EvalDone("ok", loss, {**metrics, "loss": loss}, judge=mark), node, node)
        if node in crowned and loss is not None:
            script.add(ev.BestCrowned(loss), node, node)
        script.add(ev.AnalyzeDone(f"lesson {node}"), node, node)
        script.add(ev.RoundEnded("node"), node)
    if end:
        script.add(ev.RunFinished("4 rounds are done"))
    return write(folder, script.events, [code.encode() for code in codes])


def best_of(run: Run) -> tuple[RunState, Node]:
    """The run's state and its best node."""
    state = fold(run)
    assert state.best_node is not None
    return state, state.best_node
