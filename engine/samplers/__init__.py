"""Samplers: policies that pick the parent and the inspirations of a design, one file each."""

from __future__ import annotations

from engine.journal.events import EvalDone, Event
from engine.samplers.base import Sample, Sampler
from engine.settings.model import SamplerSettings
from engine.state.run_state import RunState

__all__ = ["Sample", "Sampler", "make_sampler", "take_up"]


def make_sampler(settings: SamplerSettings) -> Sampler:
    """Return the sampler that the settings name, empty; fold the run's events into it."""
    keep = settings.kept
    # Lazy imports: code that only reads settings must not load numpy.
    match settings.name:
        case "ucb1":
            from engine.samplers.ucb1 import UCB1

            return UCB1(settings.c, keep)
        case "ucb1_paper":
            from engine.samplers.ucb1_paper import PaperUCB1

            return PaperUCB1(keep)
        case "greedy":
            from engine.samplers.greedy import Greedy

            return Greedy(keep)
        case "random":
            from engine.samplers.uniform import Uniform

            return Uniform(keep)
        case "power_law":
            from engine.samplers.power_law import PowerLaw

            return PowerLaw(settings.alpha, keep)
        case "weighted":
            from engine.samplers.weighted import Weighted

            return Weighted(settings.steepness, keep)
        case "map_elites":
            from engine.samplers.map_elites import MapElites

            return MapElites(settings)
        case "nsga2":
            from engine.samplers.nsga2 import NSGA2

            return NSGA2(keep)
        case "iid" | "sequential":
            from engine.samplers.by_age import ByAge

            return ByAge(newest=settings.name == "sequential")


def take_up(sampler: Sampler, state: RunState) -> None:
    """Fill an empty sampler with the population, in the order of node ids, when a run switches to it.

    A sampler depends on the state alone, so the same journal always gives the same sampler, and nothing is read from
    the disk. The order of past events (such as when a node migrated) is lost: the sampler behaves as if the nodes had
    got their scores in the order of their ids, and as if pruned nodes had been pruned from the start.
    """
    for node in state.nodes:
        if node.status is not None:
            sampler.apply(Event(state.seq, state.at, node.round, node.id, EvalDone(node.status, node.score)), state)
