"""Searches without an engine, for tests of samplers."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec
from scipy.stats import chi2

from engine.journal import events as ev
from engine.llm.requests import Mode
from engine.programs.minhash import sketch
from engine.samplers import Sampler, make_sampler
from engine.samplers.base import Sample
from engine.samplers.map_elites import MapElites
from engine.settings.model import SamplerSettings, Settings
from engine.state.fold import apply
from engine.state.run_state import RunState

SMALL = {"islands": 3, "bins": 4, "migration_interval": 3, "migration_rate": 0.4, "archive": 9}


def program(*lines: int) -> str:
    return "\n".join(f"x = {line}" for line in lines)


class Search:
    """A run without an engine: samplers see what they would see in one."""

    def __init__(self, direction: str = "maximize", settings: dict[str, Any] | None = None, **sampler: Any) -> None:
        self.settings = msgspec.convert(sampler, SamplerSettings)
        table = msgspec.to_builtins(Settings()) | (settings or {})
        started = ev.RunStarted("t", table, {"name": "t", "direction": direction}, {})
        self.events = [ev.Event(1, 0, None, None, started)]
        self.state = RunState(self.events[0])
        self.sampler: Sampler | None = make_sampler(self.settings)

    @property
    def islands(self) -> MapElites:
        assert isinstance(self.sampler, MapElites)
        return self.sampler

    def apply(self, data: ev.Data, node: int | None = None, round: int = 1) -> None:
        event = ev.Event(self.state.seq + 1, self.state.seq, round, node, data)
        self.events.append(event)
        apply(self.state, event)
        if self.sampler is not None:
            self.sampler.apply(event, self.state)

    def add(
        self, score: float | None, parents: list[int] | None = None, code: str = "", round: int = 1, **metrics: float
    ) -> int:
        node = len(self.state.nodes)
        made = ev.DesignDone(
            "0" * 64, "tune", "n", "", parents or [], digest=str(node), size=len(code), sketch=sketch(code)
        )
        self.apply(made, node, round)
        self.measure(node, score, **metrics)
        return node

    def measure(self, node: int, score: float | None, **metrics: float) -> None:
        done = ev.EvalDone("ok" if score is not None else "crashed", score, metrics)
        self.apply(done, node, self.state.nodes[node].round)

    def grow(self, score: float | None, rng: random.Random, code: str = "", **metrics: float) -> tuple[Sample, int]:
        """One round: sample, learn, design, measure."""
        sample = self.begin(rng)
        return sample, self.end(sample, score, code, **metrics)

    def begin(self, rng: random.Random, inspirations: int = 2) -> Sample:
        """Start a round: sample and learn."""
        sample = self.sample(rng, inspirations)
        self.learn(sample)
        return sample

    def learn(self, sample: Sample, action: str = "", mode: Mode = "diff") -> None:
        """Start a round with these nodes."""
        number = self.state.rounds_started + 1
        self.apply(ev.RoundStarted(), round=number)
        learned = ev.LearnDone(sample.parent, sample.inspirations, island=sample.island, action=action, mode=mode)
        self.apply(learned, round=number)

    def crown(self, node: int) -> None:
        """Crown a node if it is better than the best."""
        made = self.state.nodes[node]
        if made.score is not None and self.state.gained(node, self.state.best):
            self.apply(ev.BestCrowned(made.score, self.state.best), node, made.round)

    def end(
        self,
        sample: Sample,
        score: float | None,
        code: str = "",
        crown: bool = False,
        beside: int | None = None,
        **metrics: float,
    ) -> int:
        """End the newest round with a design that got this score; return its node.

        Args:
            sample: what the round began with.
            score: None if the design failed.
            code: its text.
            crown: whether it is crowned if it is better than the best.
            beside: a second parent.
            metrics: other metrics.
        """
        number = self.state.rounds_started
        parents = [sample.parent] if beside is None else [sample.parent, beside]
        node = self.add(score, parents, code, number, **metrics)
        if crown:
            self.crown(node)
        self.apply(ev.RoundEnded("node"), round=number)
        return node

    def sample(self, rng: random.Random, inspirations: int = 2) -> Sample:
        assert self.sampler is not None
        sample = self.sampler.sample(self.state, inspirations, rng)
        assert sample is not None
        return sample


def fits(counts: Counter[int], chances: dict[int, float]) -> bool:
    """Whether draws come from these chances, by the chi-square test at p = 0.001."""
    draws = sum(counts.values())
    assert set(counts) <= {node for node, chance in chances.items() if chance > 0}, "what has no chance was drawn"
    # The approximation needs some draws in every class: rare ones are put together.
    rare = [node for node, chance in chances.items() if chance * draws < 10]
    classes = [([node], chance) for node, chance in chances.items() if node not in rare]
    if sum(chances[node] for node in rare) * draws >= 10:
        classes.append((rare, sum(chances[node] for node in rare)))
    statistic = sum((sum(counts[n] for n in nodes) - c * draws) ** 2 / (c * draws) for nodes, c in classes)
    return len(classes) < 2 or bool(chi2.sf(statistic, len(classes) - 1) > 0.001)


def parents(search: Search, draws: int = 4000, seed: int = 11) -> Counter[int]:
    rng = random.Random(seed)
    return Counter(search.sample(rng, 0).parent for _ in range(draws))
