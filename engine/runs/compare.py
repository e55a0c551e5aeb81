"""Several runs beside each other: how the best rose with rounds, money, tokens and time, and what set them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.runs.status import run_status
from engine.settings.fitness import FitnessSettings
from engine.state.fold import apply, damage_named, first_state
from engine.state.lineage import best_path
from engine.state.ranking import Ranking
from engine.state.run_state import RunState

__all__ = [
    "AXES",
    "Axis",
    "ComparedRun",
    "Step",
    "best_at",
    "common_ranking",
    "differing",
    "doubts",
    "extent",
    "read_compared",
    "shared_places",
]

Axis = Literal["rounds", "usd", "tokens", "seconds"]

AXES: tuple[Axis, ...] = ("rounds", "usd", "tokens", "seconds")
"""What runs can be aligned by; `seconds` is time in which an engine was at work."""


class Step(NamedTuple):
    """One improvement, and what had been spent by then."""

    node: int
    score: float
    rounds: int
    """Rounds that were done, including the node's own."""
    usd: float
    tokens: int
    seconds: float
    fitness: float | None = None


class ComparedRun(msgspec.Struct, frozen=True):
    """The figures of one run that are compared."""

    run: Run
    task: str
    ranking: Ranking
    fitness: FitnessSettings
    """The parts of its fitness, if fitness ranks."""
    baseline: dict[str, Any]
    """The baseline of a composite fitness: those metrics of its first seed."""
    status: str
    rounds: int
    nodes: int
    failed: int
    usd: float
    tokens: int
    seconds: float
    generations: int
    """Nodes on the path from the seed to the best, both included; 0 without a best."""
    steps: list[Step]
    settings: dict[str, Any]
    """The current settings, nested keys with dots."""
    program: str
    """The best program; empty without one."""

    @property
    def best(self) -> Step | None:
        """The best node; None if no node has a score."""
        return self.steps[-1] if self.steps else None


def read_compared(run: Run) -> ComparedRun:
    """Fold a run and collect its improvements.

    Raises:
        JournalError: the journal cannot be read, does not fold or holds no run.
    """
    spent: list[tuple[int, float, int, float]] = []
    with JournalReader(run.db) as reader:
        state = first_state(reader)
        with damage_named(reader.path):
            for event in reader.events(after=state.seq):
                apply(state, event)
                if isinstance(event.data, ev.BestCrowned):
                    # One that is crowned again after a later round has ended goes back by none.
                    rounds = max(state.rounds_at_best, spent[-1][0] if spent else 0)
                    spent.append((rounds, state.usd, state.tokens, state.engine_ms / 1000))
        best = state.best_node
        program = reader.text(best.program) if best is not None else ""
    # From the final state: weights that were set later rank earlier bests anew.
    steps = [
        Step(step.node, step.score, *figures, step.fitness)
        for step, figures in zip(state.best_steps, spent, strict=True)
    ]
    return ComparedRun(
        run=run,
        task=state.start.task,
        ranking=state.ranking,
        fitness=state.settings.fitness,
        baseline=_baseline(state),
        status=run_status(run, state),
        rounds=state.rounds_done,
        nodes=len(state.nodes),
        failed=sum(count for status, count in state.counts.items() if status != "ok"),
        usd=state.usd,
        tokens=state.tokens,
        seconds=state.engine_ms / 1000,
        generations=len(best_path(state)),
        steps=steps,
        settings=_flat(msgspec.to_builtins(state.settings)),
        program=program,
    )


def _baseline(state: RunState) -> dict[str, Any]:
    settings, metric = state.settings.fitness, state.ranking.metric
    if settings.kind == "score" or not state.nodes:
        return {}
    seed = state.nodes[0]
    measured = {**seed.metrics, metric: seed.score}
    return {name: measured.get(name) for name in settings.parts or (metric,)}


def extent(run: ComparedRun, axis: Axis) -> float:
    """Return how far a run went along an axis; an open round with its best node counts."""
    return float(max(getattr(run, axis), getattr(run.steps[-1], axis) if run.steps else 0))


def best_at(run: ComparedRun, axis: Axis, place: float) -> Step | None:
    """Return the best up to a place on an axis; None if there was none yet."""
    best = None
    for step in run.steps:
        if getattr(step, axis) > place:
            break
        best = step
    return best


def common_ranking(runs: Sequence[ComparedRun]) -> Ranking:
    """Return the ranking to compare runs by: their common one, else the score, which all of them have."""
    ranking = runs[0].ranking
    if any(run.fitness != runs[0].fitness for run in runs):
        return msgspec.structs.replace(ranking, by_fitness=False)
    return ranking


def doubts(runs: Sequence[ComparedRun]) -> list[str]:
    """Return the reasons against a comparison of these runs."""
    found = []
    if len({(run.task, run.ranking.metric, run.ranking.direction) for run in runs}) > 1:
        found.append("runs of different tasks: their scores cannot be compared")
    if any(run.fitness != runs[0].fitness for run in runs):
        found.append("ranked by different fitness: the score is compared")
    elif any(run.baseline != runs[0].baseline for run in runs):
        found.append("the seeds that fitness counts from differ: compare the scores too")
    return found


def shared_places(runs: Sequence[ComparedRun], axis: Axis) -> list[float]:
    """Return a quarter, a half, three quarters and the whole of the extent that all runs reach; empty if it is 0."""
    shared = min(extent(run, axis) for run in runs)
    places = [shared * part / 4 for part in (1, 2, 3, 4)]
    if axis in ("rounds", "tokens"):
        places = [float(int(place)) for place in places]
    return [place for place in dict.fromkeys(places) if place > 0]


def differing(runs: Sequence[ComparedRun]) -> dict[str, list[Any]]:
    """Return the settings that differ: key to one value for each run, None if the run lacks it."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    found = {key: [run.settings.get(key) for run in runs] for key in keys}
    return {key: values for key, values in found.items() if any(value != values[0] for value in values)}


def _flat(table: dict[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{path}{key}.")
        else:
            flat[f"{path}{key}"] = value
    return flat
