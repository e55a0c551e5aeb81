"""Learn: sample the context nodes from the population, retrieve priors from the cognition base."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from engine.errors import RunError
from engine.journal.events import LearnDone, PriorShown
from engine.llm.requests import Mode
from engine.samplers import Sample

if TYPE_CHECKING:
    from engine.loop.engine import Engine

__all__ = ["learn"]

_FAILURES_LOOKED_AT = 8
"""Newest failures from which one is drawn to be mended."""


async def learn(engine: Engine, round_: int) -> None:
    """Choose a parent, inspirations and priors for a round and record them with the text of each prior shown."""
    settings = engine.session.state.settings
    sample, mode = _sample(engine, settings.sampler.inspirations, round_)
    nodes = [engine.session.state.nodes[node] for node in (sample.parent, *sample.inspirations)]
    # What a person told the run steers retrieval too, so that a hint counts also where no model reads it.
    texts = [*(node.lesson or node.motivation for node in nodes), *engine.session.state.newest_hints]
    hits = await engine.retrieve(texts, settings.retrieval, engine.session.rng(round_, "retrieve"))
    shown = [
        PriorShown(hit.prior.id, hit.prior.revision, hit.prior.title, round(hit.score, 4), hit.why, hit.prior.number)
        for hit in hits
    ]
    engine.session.emit(
        LearnDone(sample.parent, sample.inspirations, shown, sample.why, sample.island, mode),
        round=round_,
        blobs=[hit.prior.text.encode() for hit in hits],
    )


def _sample(engine: Engine, inspirations: int, round_: int) -> tuple[Sample, Mode]:
    """What the sampler draws, and how the design is to be written.

    A pinned node is the parent where there is one; to mend a failure, the node that failed is.
    """
    state = engine.session.state
    drawn = engine.session.sampler.sample(state, inspirations, engine.session.rng(round_, "sample"))
    context = [] if drawn is None else [drawn.parent, *drawn.inspirations]
    pinned = [node for node in map(state.nodes.__getitem__, state.pinned) if node.score is not None and not node.pruned]
    if pinned:
        parent = min(pinned, key=lambda node: node.expanded).id
        sample = Sample(parent, [node for node in context if node != parent][:inspirations], "pinned")
        return sample, _mode(engine, bool(sample.inspirations), False, round_)
    if drawn is None:
        raise RunError("every node with a score is pruned, so that nothing is left to design from", "Restore one")
    newest = islice(reversed(state.failed), _FAILURES_LOOKED_AT)
    failed = [node for node in newest if not state.nodes[node].pruned]
    mode = _mode(engine, bool(drawn.inspirations), bool(failed), round_)
    if mode != "fix":
        return drawn, mode
    node = state.nodes[engine.session.rng(round_, "fix").choice(failed)]
    return Sample(node.id, context[:inspirations], f"failed: {node.status}", node.island), mode


def _mode(engine: Engine, company: bool, failures: bool, round_: int) -> Mode:
    """How the design is to be written, drawn by weight from what the designer offers and the round allows."""
    weights = engine.session.state.settings.designer.modes
    possible: dict[Mode, float] = {"full": weights.full, "diff": weights.diff}
    if company:
        possible["crossover"] = weights.crossover
    if failures:
        possible["fix"] = weights.fix
    offered = {mode: weight for mode, weight in possible.items() if mode in engine.session.designer.modes}
    if not any(offered.values()):
        # What is asked for is nothing that this designer does: it does what it can.
        return engine.session.designer.modes[0]
    return engine.session.rng(round_, "mode").choices(list(offered), list(offered.values()))[0]
