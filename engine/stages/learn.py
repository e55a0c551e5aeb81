"""Learn: sample the context nodes from the population, retrieve priors from the cognition base."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from engine.errors import RunError
from engine.events import LearnDone, PriorShown
from engine.samplers import Sample

if TYPE_CHECKING:
    from engine.loop import Engine

__all__ = ["HINTS_SHOWN", "learn"]

HINTS_SHOWN = 5
"""The newest hints that a design is shown."""


async def learn(engine: Engine, round_: int) -> None:
    """Choose a parent, inspirations and priors for a round and record them with the text of each prior shown."""
    settings = engine.state.settings
    sample = _sample(engine, settings.sampler.inspirations, engine.rng(round_, "sample"))
    nodes = [engine.state.nodes[node] for node in (sample.parent, *sample.inspirations)]
    # What a person told the run steers retrieval too, so that a hint counts also where no model reads it.
    query = "\n".join([*(node.lesson or node.motivation for node in nodes), *engine.state.hints[-HINTS_SHOWN:]])
    hits = engine.retrieve(query, settings.retrieval, engine.rng(round_, "retrieve"))
    shown = [
        PriorShown(hit.prior.id, hit.prior.revision, hit.prior.title, round(hit.score, 4), hit.why) for hit in hits
    ]
    engine.emit(
        LearnDone(sample.parent, sample.inspirations, shown, sample.why, sample.island),
        round=round_,
        blobs=[hit.prior.text.encode() for hit in hits],
    )


def _sample(engine: Engine, inspirations: int, rng: random.Random) -> Sample:
    """What the sampler draws, with a pinned node as the parent where there is one."""
    state = engine.state
    drawn = engine.sampler.sample(state, inspirations, rng)
    pinned = [node for node in map(state.nodes.__getitem__, state.pinned) if node.score is not None and not node.pruned]
    if pinned:
        parent = min(pinned, key=lambda node: node.expanded).id
        context = [] if drawn is None else [drawn.parent, *drawn.inspirations]
        others = [node for node in context if node != parent][:inspirations]
        return Sample(parent, others, "pinned")
    if drawn is None:
        raise RunError("every node with a score is pruned, so that nothing is left to design from", "Restore one")
    return drawn
