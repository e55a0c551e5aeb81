"""Learn: sample the context nodes from the population, retrieve priors from the cognition base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.events import LearnDone, PriorShown

if TYPE_CHECKING:
    from engine.loop import Engine

__all__ = ["learn"]


async def learn(engine: Engine, round_: int) -> None:
    """Choose a parent, inspirations and priors for a round and record them with the text of each prior shown."""
    settings = engine.state.settings
    sample = engine.sampler.sample(engine.state, settings.sampler.inspirations, engine.rng(round_, "sample"))
    assert sample is not None, "no seed has a score"
    nodes = [engine.state.nodes[node] for node in (sample.parent, *sample.inspirations)]
    query = "\n".join(node.lesson or node.motivation for node in nodes)
    hits = engine.retrieve(query, settings.retrieval, engine.rng(round_, "retrieve"))
    shown = [
        PriorShown(hit.prior.id, hit.prior.revision, hit.prior.title, round(hit.score, 4), hit.why) for hit in hits
    ]
    engine.emit(
        LearnDone(parent=sample.parent, inspirations=sample.inspirations, priors=shown, why=sample.why),
        round=round_,
        blobs=[hit.prior.text.encode() for hit in hits],
    )
