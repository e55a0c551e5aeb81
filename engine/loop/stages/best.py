"""When a node becomes the best: the end of its evaluation is recorded, or all nodes are ranked anew."""

from __future__ import annotations

from engine.journal.events import BestCrowned, Data, EvalDone, StandstillEnded, VerifyDone
from engine.loop.hooks import RunHooks
from engine.loop.session import RunSession
from engine.loop.stages.verdict import Verdict
from engine.state.node import Node
from engine.state.standstill import action_of, end_of_standstill, raised_by
from engine.state.submissions import machines_differ

__all__ = ["crown_fittest", "is_new_best", "record_end"]


def is_new_best(session: RunSession, node: Node, verdict: Verdict, mark: float | None) -> bool:
    """Tell whether a verdict puts a node above the best one by more than noise, and breaks no constraint.

    Args:
        session: the run.
        node: the node.
        verdict: what its evaluation says.
        mark: the judge's mark from 0 to 1, if there is one.
    """
    state = session.state
    if state.breach(node.id, verdict.score, verdict.metrics) is not None:
        return False
    return state.beats(state.fitness(node.id, verdict.score, verdict.metrics, mark), state.best)


def record_end(
    session: RunSession, hooks: RunHooks, node: Node, done: EvalDone, check: VerifyDone | None = None
) -> None:
    """Record the end of an evaluation and, in the same transaction, a new best; tell the user's hook of that.

    Args:
        session: the run.
        hooks: are told.
        node: the node.
        done: the end.
        check: what is known of its gain over the best so far, if it was looked at; only a confirmed one is crowned.
    """
    state = session.state
    checked = [] if check is None else [check]
    # A seed is no design, and one that is measured again was counted before.
    more = int(node.status is None and node.round > 0)
    stood, waited = state.standstill.began is not None, state.standstill.waited + more
    fitness = state.fitness(node.id, done.score, done.metrics, done.judge)
    supported = (check is None or check.outcome == "confirmed") and done.taken_from is None
    supported = supported and state.breach(node.id, done.score, done.metrics) is None
    crowned: BestCrowned | None = None
    events: list[Data] = [*checked, done]
    if supported and state.best != node.id and done.score is not None and state.beats(fitness, state.best):
        crowned = BestCrowned(score=done.score, previous=state.best, machines=machines_differ(state, node.id))
        events += [crowned, *_ended(session, node, fitness, more)]

    def then() -> list[Data]:
        """Return what only the fold knows: that the front moved."""
        if not stood or state.standstill.began is not None or state.settings.fitness.kind != "pareto":
            return []
        return [StandstillEnded(waited, min(raised_by(state, node), 1e300), action_of(state, node))]

    session.emit(*events, round=node.round, node=node.id, then=then)
    if crowned is not None:
        hooks.new_best(node)


def crown_fittest(session: RunSession) -> None:
    """Record another best after the best was measured again or doubted, or all nodes were ranked anew.

    A node that is above the best by no more than noise does not take its place; a new score of the best is recorded. It
    goes through all nodes.
    """
    state = session.state
    best = state.next_best()
    if best is None:
        best = state.best_node
        if best is None or not best.eligible or best.score == state.best_steps[-1].score:
            return
    if best.score is not None:
        crowned = BestCrowned(score=best.score, previous=state.best)
        session.emit(crowned, *_ended(session, best, best.fitness, 0), round=best.round, node=best.id)


def _ended(session: RunSession, node: Node, fitness: float | None, more: int) -> list[StandstillEnded]:
    """Return the event that ends a standstill if a new best of this fitness does."""
    ended = end_of_standstill(session.state, node, fitness, more)
    return [] if ended is None else [ended]
