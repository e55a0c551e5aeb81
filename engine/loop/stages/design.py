"""Design: have the next candidate written, and check it before any experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cognition.prior import Prior, parse_prior
from engine.designers.base import Design, DesignerError, NothingToDesign
from engine.journal.events import DesignDone, DesignRejected, LearnDone, RoundEnded
from engine.journal.reader import sha256_of
from engine.llm.requests import ContextNode, DesignRequest, Rejection
from engine.programs.minhash import sketch
from engine.programs.outline import Outline, ProgramError, outline
from engine.state.no_design import is_stuck
from engine.task.interface import check_program

if TYPE_CHECKING:
    from engine.loop.engine import Engine
    from engine.state.node import OpenRound

__all__ = ["design", "take_injected"]

_ERROR_SHOWN = 4_000
"""Characters of what a failed evaluation printed, its end."""


async def design(engine: Engine, round_: OpenRound) -> bool:
    """Write and check candidates until one becomes a node; False when the round ended without one."""
    learned = round_.learned
    assert learned is not None
    attempts = engine.session.state.settings.designer.attempts
    priors = [_shown_prior(engine, shown.id, shown.revision) for shown in learned.priors]
    exhausted = False
    while len(round_.rejected) < attempts and not exhausted:
        if round_.rejected and is_stuck(engine.session.state):
            # The rounds that ended meanwhile got none either: what is asked of a model costs money.
            break
        attempt = len(round_.rejected)
        request = DesignRequest(
            round=round_.round,
            attempt=attempt,
            seed=engine.session.rng(round_.round, "design", attempt).getrandbits(63),
            parent=_context(engine, learned.parent),
            inspirations=[_context(engine, node) for node in learned.inspirations],
            priors=priors,
            all_priors=_all_shown(engine, learned),
            rejections=[
                Rejection(rejected.check, rejected.reason, engine.session.text(rejected.program))
                for rejected in round_.rejected
            ],
            hints=engine.session.state.newest_hints,
            mode=learned.mode,
            ask=engine.models.for_round(round_.round),
            ranking=engine.session.state.ranking,
        )
        made: Design | None = None
        try:
            made = await engine.session.designer.design(request)
            shape = check_program(made.code, engine.session.spec)
            _check_duplicate(engine, shape)
        except DesignerError as exc:
            _reject(engine, round_, made, exc.check, str(exc))
            exhausted = isinstance(exc, NothingToDesign)
        except ProgramError as exc:
            _reject(engine, round_, made, exc.check, exc.reason)
        else:
            _accept(engine, round_, made, shape)
            # The node's number names the folder of its evaluation, so the node must be in the journal first.
            await engine.session.committed()
            return True
    engine.session.emit(RoundEnded("no_design", _why(round_, exhausted), exhausted), round=round_.round)
    return False


def _why(round_: OpenRound, exhausted: bool) -> str:
    if not round_.rejected:
        return "no attempts"
    last, count = round_.rejected[-1], len(round_.rejected)
    if exhausted:
        return last.reason
    told = "1 design was rejected:" if count == 1 else f"{count} designs were rejected; the last:"
    return f"{told} {last.check}: {last.reason}"


async def take_injected(engine: Engine, round_: OpenRound) -> None:
    """Make a node of the program that a person gave; it was checked when it came."""
    injected = round_.injected
    assert injected is not None
    code = engine.session.text(injected.program)
    engine.session.emit(
        DesignDone(
            program=injected.program,
            operator="injected",
            name=injected.name,
            motivation=injected.text or "given by a person",
            parents=[] if injected.parent is None else [injected.parent],
            digest=outline(code).digest,
            size=len(_encode(code)),
            sketch=sketch(code),
        ),
        round=round_.round,
        node=len(engine.session.state.nodes),
    )
    await engine.session.committed()


def _context(engine: Engine, node_id: int) -> ContextNode:
    node = engine.session.state.nodes[node_id]
    return ContextNode(
        id=node.id,
        code=engine.session.text(node.program),
        status=node.status or "",
        score=node.score,
        lesson=node.lesson,
        motivation=node.motivation,
        metrics=node.metrics,
        reason=node.reason,
        error=engine.session.text(node.stderr_blob)[-_ERROR_SHOWN:] if node.status != "ok" else "",
        fitness=node.fitness,
    )


def _shown_prior(engine: Engine, prior_id: str, revision: str) -> Prior:
    return parse_prior(prior_id, engine.session.text(revision))


def _all_shown(engine: Engine, learned: LearnDone) -> bool:
    """Whether retrieval left no prior out: it draws at random from those that do not match until none is left."""
    drawn = sum(shown.why == "drawn" for shown in learned.priors)
    return drawn < engine.session.state.settings.retrieval.drawn


def _check_duplicate(engine: Engine, shape: Outline) -> None:
    twin = engine.session.state.digests.get(shape.digest)
    if twin is not None:
        raise ProgramError("duplicate", f"the same program as node {twin}")


def _reject(engine: Engine, round_: OpenRound, made: Design | None, check: str, reason: str) -> None:
    # A program that is refused for its size is not worth its space; its reason is kept.
    keep = made is not None and check != "size"
    engine.session.emit(
        DesignRejected(
            attempt=len(round_.rejected),
            check=check,
            reason=reason,
            operator=made.operator if made else "",
            program=sha256_of(_encode(made.code)) if made and keep else "",
            credit=made.credit if made else {},
        ),
        round=round_.round,
        blobs=[_encode(made.code)] if made and keep else [],
    )


def _accept(engine: Engine, round_: OpenRound, made: Design, shape: Outline) -> None:
    content = _encode(made.code)
    engine.session.emit(
        DesignDone(
            program=sha256_of(content),
            operator=made.operator,
            name=made.name,
            motivation=made.motivation,
            parents=made.parents,
            priors=made.priors,
            digest=shape.digest,
            credit=made.credit,
            size=len(content),
            sketch=sketch(made.code),
        ),
        round=round_.round,
        node=len(engine.session.state.nodes),
        blobs=[content],
    )


def _encode(code: str) -> bytes:
    return code.encode("utf-8", "surrogatepass")
