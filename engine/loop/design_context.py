"""What a designer is shown: the request for one attempt of a round, from the run's state; no loop over all nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cognition.prior import parse_prior
from engine.journal.events import LearnDone
from engine.llm.requests import ContextNode, DesignRequest, Failed, Mode, Rejection, Standing, Tried
from engine.loop.command_calls import CommandCalls
from engine.loop.models import ModelGateway
from engine.loop.returned import returned_lines
from engine.loop.session import RunSession
from engine.programs.minhash import mean_distance, read_sketch
from engine.settings.fitness import FitnessSettings
from engine.settings.model import designs_by_command, designs_freely
from engine.state.attempts import Attempts
from engine.state.node import Node, OpenRound
from engine.text import one_line

__all__ = ["DesignContext"]

_ERROR_SHOWN = 4_000
"""Characters of the end of a failed evaluation's stderr that a designer sees."""
_FEEDBACK_SHOWN = 4_000
"""Characters of the end of what an evaluator says of a program in words."""
_LEAST_FEEDBACK = 60
"""A shorter text on one line is a value among the metrics."""
_OTHER = 0.5
"""Share of different lines from which a program counts as another way of doing it."""
_NAME_LENGTH = 90
_OUTCOME_LENGTH = 200
_BESTS = 3


class DesignContext:
    """Build the requests of a run.

    Args:
        session: the run.
        models: ask models on behalf of the round.
        commands: run the command of the settings on behalf of the round; None if there are none.
    """

    def __init__(self, session: RunSession, models: ModelGateway, commands: CommandCalls | None = None) -> None:
        self._session, self._models, self._commands = session, models, commands

    def request(self, round_: OpenRound) -> DesignRequest:
        """Return the request for the next attempt of a round, whose learn stage is done."""
        session, learned = self._session, round_.learned
        assert learned is not None
        state, attempt = session.state, len(round_.rejected)
        parent = state.nodes[learned.parent]
        request = DesignRequest(
            round=round_.round,
            attempt=attempt,
            seed=session.rng(round_.round, "design", attempt).getrandbits(63),
            parent=self._node(parent),
            inspirations=[self._node(state.nodes[node]) for node in learned.inspirations],
            priors=[parse_prior(shown.id, session.text(shown.revision)) for shown in learned.priors],
            all_priors=self._all_shown(learned),
            rejections=[
                Rejection(rejected.check, rejected.reason, session.text(rejected.program))
                for rejected in round_.rejected
            ],
            hints=state.newest_hints,
            mode=learned.mode,
            ask=self._models.for_round(round_.round),
            command=self._commands.for_round(round_.round)
            if self._commands is not None and designs_by_command(state.settings)
            else None,
            ranking=state.ranking,
            require=state.settings.fitness.require,
            objectives=_objectives(state.settings.fitness),
        )
        # Recombination reads programs and lessons alone.
        return self._told(request, parent, learned) if designs_freely(state.settings) else request

    def _told(self, request: DesignRequest, parent: Node, learned: LearnDone) -> DesignRequest:
        """Add to a request what a model or a command is told beside the programs."""
        state = self._session.state
        attempts, best = state.attempts.get(parent.id, Attempts()), state.best_node
        tried = [self._tried(state.nodes[node], parent) for node in attempts.newest]
        mends = learned.mode == "fix" and parent.parents
        return replace(
            request,
            inspirations=[self._beside(state.nodes[node], parent) for node in learned.inspirations],
            modes=self._modes(learned.mode),
            best=None if best is None else self._node(best, code=False),
            origin=self._node(state.nodes[parent.parents[0]]) if mends else None,
            tried=tried,
            failed=_failed(attempts, tried),
            standing=self._standing(parent),
            in_vain=self._in_vain(learned),
            returned=self._returned(parent),
            model=learned.model,
        )

    def _node(self, node: Node, code: bool = True, **more: Any) -> ContextNode:
        return ContextNode(
            id=node.id,
            code=self._session.text(node.program) if code else "",
            status=node.status or "",
            score=node.score,
            lesson=node.lesson,
            motivation=node.motivation,
            metrics=node.metrics,
            reason=node.reason,
            error=self._session.text(node.stderr_blob)[-_ERROR_SHOWN:] if code and node.status != "ok" else "",
            fitness=node.fitness,
            causes=node.causes,
            next_step=node.next_step,
            feedback=self._feedback(node) if code else "",
            broken=node.broken,
            **more,
        )

    def _feedback(self, node: Node) -> str:
        """Return what an evaluator says in words: its feedback, and metrics that are longer texts."""
        texts = [
            f"{name}: {value.strip()}"
            for name, value in node.metrics.items()
            if isinstance(value, str) and (len(value) >= _LEAST_FEEDBACK or "\n" in value.strip())
        ]
        texts += [self._session.text(node.feedback_blob).strip()]
        return "\n\n".join(text for text in texts if text)[-_FEEDBACK_SHOWN:]

    def _beside(self, node: Node, parent: Node) -> ContextNode:
        """Return a node that is shown beside the parent, with why it is."""
        line, parents_line = (item.id if item.same_as is None else item.same_as for item in (node, parent))
        return self._node(node, why=self._why(node, parent), repeats_parent=line == parents_line)

    def _why(self, node: Node, parent: Node) -> str:
        state = self._session.state
        told = ["the best so far"] if node.id == state.best else []
        compared = self._compared(node, parent)
        told += [compared] if compared else []
        told += ["on the front: no other is better in all that counts"] if node.front == 1 else []
        told += ["it breaks a constraint"] if node.broken else []
        if state.settings.sampler.name == "map_elites":
            told.append("the elite of another cell of the grid")
        one, other = read_sketch(node.sketch), read_sketch(parent.sketch)
        if one is not None and other is not None and mean_distance(one, other[None]) >= _OTHER:
            told.append("a different program: most lines differ")
        return ", ".join(told)

    def _compared(self, node: Node, parent: Node) -> str:
        """Return by how much a node is better or worse than the parent; empty if either is not ranked."""
        state = self._session.state
        gain = state.ranking.gain(node, parent)
        if gain is None:
            return ""
        if abs(gain) <= state.noise:
            return "no better and no worse"
        return f"better by {gain:.4g}" if gain > 0 else f"worse by {-gain:.4g}"

    def _tried(self, node: Node, parent: Node) -> Tried:
        if node.status != "ok":
            outcome = f"{node.status}: {node.reason}" if node.reason else str(node.status)
        else:
            outcome = self._session.state.ranking.describe(node)
            compared = "behaves the same" if node.same_as is not None else self._compared(node, parent)
            outcome += f", {compared}" if compared else ""
            outcome += f"; {node.broken}" if node.broken else ""
        return Tried(one_line(node.name, _NAME_LENGTH), one_line(outcome, _OUTCOME_LENGTH))

    def _in_vain(self, learned: LearnDone) -> list[str]:
        """Return what a design in a standstill is told that was tried; nothing if another action is in force."""
        acted = self._session.state.standstill.acted
        return acted.tried if learned.action == "lessons" and acted is not None else []

    def _returned(self, parent: Node) -> list[str]:
        """Return lines that were deleted on the way to the parent and that came back since."""
        state = self._session.state
        if not state.settings.novelty.returned:
            return []

        def outcome(node: Node) -> str:
            if node.status != "ok":
                return node.status or ""
            return self._compared(node, state.nodes[node.parents[0]])

        return returned_lines(state, parent, self._session.text, outcome)

    def _standing(self, parent: Node) -> Standing:
        state = self._session.state
        newest = state.best_steps[-1 : -_BESTS - 1 : -1]
        values = [(step.node, state.ranking.of(step)) for step in newest]
        return Standing(
            rank=state.rank(parent.id),
            ranked=len(state.ranked),
            rounds=state.rounds_done,
            rounds_since_best=max(0, state.rounds_done - state.rounds_at_best),
            bests=tuple((node, value) for node, value in values if value is not None),
            target=state.settings.target,
        )

    def _modes(self, mode: Mode) -> tuple[Mode, ...]:
        """Return the modes that have a weight, and the one that was drawn."""
        weights = self._session.state.settings.designer.modes
        weighed: dict[Mode, float] = {
            "full": weights.full, "diff": weights.diff, "crossover": weights.crossover, "fix": weights.fix
        }  # fmt: skip
        return tuple(name for name, weight in weighed.items() if weight or name == mode)

    def _all_shown(self, learned: LearnDone) -> bool:
        """Tell whether retrieval left no prior out: it draws from those that do not match until none is left."""
        drawn = sum(shown.why == "drawn" for shown in learned.priors)
        return drawn < self._session.state.settings.retrieval.drawn


def _objectives(fitness: FitnessSettings) -> tuple[str, ...]:
    """Return the objectives of a front with their directions; none if nodes are ranked by one number."""
    better = {"maximize": "higher", "minimize": "lower"}
    parts = fitness.parts.items() if fitness.kind == "pareto" else ()
    return tuple(f"{name} ({better[part.direction]} is better)" for name, part in parts)


def _failed(attempts: Attempts, tried: list[Tried]) -> list[Failed]:
    """Return failures by cause, the most frequent first; one that stands in the list of what was tried is left out."""
    seen = {item.outcome for item in tried}
    found = sorted(attempts.failures.values(), key=lambda failure: -failure.count)
    return [Failed(failure.told, failure.count) for failure in found if failure.count > 1 or failure.told not in seen]
