"""Learn: sample the context nodes from the population, retrieve priors from the cognition base."""

from __future__ import annotations

from itertools import islice

import msgspec

from engine.errors import RunError
from engine.journal.events import LearnDone, PriorShown
from engine.llm.requests import Mode
from engine.loop.memory import RunDesigner, RunSampler
from engine.loop.priors import RunPriors
from engine.loop.session import RunSession
from engine.samplers import Sample
from engine.samplers.detours import DETOURS, detour
from engine.samplers.standstill import acts_on
from engine.state.mode_choice import choose_mode
from engine.state.model_choice import choose_model

__all__ = ["Learn"]

_FAILURES_LOOKED_AT = 8
"""Newest failures from which one is drawn to be fixed."""
_BOLDER: dict[Mode, float] = {"full": 3.0, "crossover": 6.0}
"""In a standstill, what the action `modes` multiplies weights by: of the defaults, half are whole programs then."""


class Learn:
    """The learn stage.

    Args:
        session: the run.
        sampler: picks the parent and the inspirations.
        priors: retrieves priors.
        designer: tells which modes of design there are to draw from.
    """

    def __init__(self, session: RunSession, sampler: RunSampler, priors: RunPriors, designer: RunDesigner) -> None:
        self._session, self._sampler, self._priors, self._designer = session, sampler, priors, designer

    async def run(self, round_: int) -> None:
        """Choose a parent, inspirations and priors for a round and record them with the text of each prior shown."""
        settings = self._session.state.settings
        action = acts_on(self._session.state, round_, self._session.rng(round_, "standstill"))
        sample, mode, action = self._sample(settings.sampler.inspirations, round_, action)
        nodes = [self._session.state.nodes[node] for node in (sample.parent, *sample.inspirations)]
        # What a person told the run steers retrieval too, so that a hint counts also where no model reads it.
        texts = [*(node.lesson or node.motivation for node in nodes), *self._session.state.newest_hints]
        hits = await self._priors.retrieve(texts, settings.retrieval, self._session.rng(round_, "retrieve"))
        shown = [
            PriorShown(
                hit.prior.id, hit.prior.revision, hit.prior.title, round(hit.score, 4), hit.why, hit.prior.number
            )
            for hit in hits
        ]
        learned = LearnDone(sample.parent, sample.inspirations, shown, sample.why, sample.island, mode, action)
        learned = msgspec.structs.replace(learned, model=self._model(action, round_))
        self._session.emit(learned, round=round_, blobs=[hit.prior.text.encode() for hit in hits])

    def _model(self, action: str, round_: int) -> str:
        """Return the model that is to design: an action's, or the one that brought most; empty to draw one."""
        state = self._session.state
        acted = state.standstill.acted
        if action == "model" and acted is not None:
            return acted.model
        return choose_model(state, self._session.rng(round_, "model"))

    def _sample(self, inspirations: int, round_: int, action: str) -> tuple[Sample, Mode, str]:
        """Choose the context nodes and the mode of the design; return them with the action that this round is under.

        A pinned node is the parent if there is one; in the mode `fix` it is a node that failed. Neither leaves a choice
        to an action that chooses parents.
        """
        state = self._session.state
        drawn = self._sampler.sample(state, inspirations, self._session.rng(round_, "sample"))
        context = [] if drawn is None else [drawn.parent, *drawn.inspirations]
        pinned = [
            node for node in map(state.nodes.__getitem__, state.pinned) if node.score is not None and not node.pruned
        ]
        if pinned:
            parent = min(pinned, key=lambda node: node.expanded).id
            sample = Sample(parent, [node for node in context if node != parent][:inspirations], "pinned")
            mode = self._mode(bool(sample.inspirations), False, round_, action)
            return sample, mode, "" if action in DETOURS else action
        if drawn is None:
            raise RunError("every node with a score is pruned, so that nothing is left to design from", "Restore one")
        newest = islice(reversed(state.failed), _FAILURES_LOOKED_AT)
        failed = [node for node in newest if not state.nodes[node].pruned]
        mode = self._mode(bool(drawn.inspirations), bool(failed), round_, action)
        if mode != "fix":
            if action not in DETOURS:
                return drawn, mode, action
            other = detour(state, drawn, inspirations, self._session.rng(round_, "detour"))
            return (drawn, mode, "") if other is None else (other, mode, action)
        node = state.nodes[self._session.rng(round_, "fix").choice(failed)]
        return Sample(node.id, context[:inspirations], f"failed: {node.status}", node.island), mode, ""

    def _mode(self, company: bool, failures: bool, round_: int, action: str) -> Mode:
        """Draw the mode of the design by weight from those that the designer supports and the round allows."""
        weights = self._session.state.settings.designer.modes
        possible: dict[Mode, float] = {"full": weights.full, "diff": weights.diff}
        if company:
            possible["crossover"] = weights.crossover
        if failures:
            possible["fix"] = weights.fix
        bolder = _BOLDER if action == "modes" else {}
        offered = {mode: w * bolder.get(mode, 1.0) for mode, w in possible.items() if mode in self._designer.modes}
        if not any(offered.values()):
            # The weights name no mode that this designer supports.
            return self._designer.modes[0]
        rng = self._session.rng(round_, "mode")
        if self._session.state.settings.designer.choice == "weights" or bolder:
            return rng.choices(list(offered), list(offered.values()))[0]
        usual: dict[Mode, float] = {mode: getattr(weights, mode) for mode in self._designer.modes}
        usual = {mode: weight for mode, weight in usual.items() if weight}
        return choose_mode(self._session.state, usual, offered, rng)
