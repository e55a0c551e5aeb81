"""When a node becomes the best: the end of its evaluation is recorded, or all nodes are ranked anew."""

from __future__ import annotations

from engine.journal.events import BestCrowned, EvalDone
from engine.loop.hooks import RunHooks
from engine.loop.session import RunSession
from engine.loop.stages.verdict import Verdict
from engine.state.node import Node

__all__ = ["crown_fittest", "is_new_best", "record_end"]


def is_new_best(session: RunSession, node: Node, verdict: Verdict, mark: float | None) -> bool:
    """Tell whether a verdict puts a node above the best one by more than noise.

    Args:
        session: the run.
        node: the node.
        verdict: what its evaluation says.
        mark: the judge's mark from 0 to 1, if there is one.
    """
    state = session.state
    return state.beats(state.fitness(node.id, verdict.score, verdict.metrics, mark), state.best)


def record_end(session: RunSession, hooks: RunHooks, node: Node, done: EvalDone) -> None:
    """Record the end of an evaluation and, in the same transaction, a new best; tell the user's hook of that."""
    state = session.state
    fitness = state.fitness(node.id, done.score, done.metrics, done.judge)
    if state.best != node.id and done.score is not None and state.beats(fitness, state.best):
        crowned = BestCrowned(score=done.score, previous=state.best)
        session.emit(done, crowned, round=node.round, node=node.id)
        hooks.new_best(node)
    else:
        session.emit(done, round=node.round, node=node.id)


def crown_fittest(session: RunSession) -> None:
    """Record another best, if there is one after the best was measured again or all nodes were ranked anew.

    It goes through all nodes.
    """
    state = session.state
    best = state.fittest()
    if best is None or best.score is None:
        return
    if best.id != state.best or best.score != state.best_steps[-1].score:
        session.emit(BestCrowned(score=best.score, previous=state.best), round=best.round, node=best.id)
