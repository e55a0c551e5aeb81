"""Design: have the next candidate written, and check it before any experiment."""

from __future__ import annotations

from cognition.prior import parse_prior
from engine.designers.base import Design as Candidate
from engine.designers.base import DesignerError, NothingToDesign
from engine.journal.database import sha256_of
from engine.journal.events import DesignDone, DesignRejected, LearnDone, RoundEnded
from engine.llm.requests import ContextNode, DesignRequest, Rejection
from engine.loop.memory import RunDesigner
from engine.loop.models import ModelGateway
from engine.loop.session import RunSession
from engine.programs.minhash import sketch
from engine.programs.outline import Outline, ProgramError, outline
from engine.state.no_design import is_stuck
from engine.state.node import OpenRound
from engine.task.interface import check_program

__all__ = ["Design", "add_injected", "add_seed"]

_ERROR_SHOWN = 4_000
"""Characters of the end of a failed evaluation's stderr that a designer sees."""


class Design:
    """The design stage.

    Args:
        session: the run.
        designer: writes the candidates.
        models: ask models on behalf of the round.
    """

    def __init__(self, session: RunSession, designer: RunDesigner, models: ModelGateway) -> None:
        self._session, self._designer, self._models = session, designer, models

    async def run(self, round_: OpenRound) -> bool:
        """Write and check candidates until one becomes a node; return False if the round ended without one.

        Raises:
            Stopping: the engine is ending; the attempt is repeated at the next start.
        """
        session = self._session
        attempts = session.state.settings.designer.attempts
        exhausted = False
        while len(round_.rejected) < attempts and not exhausted:
            if round_.rejected and is_stuck(session.state):
                # Other rounds ended without a design meanwhile, and further calls of a model cost money.
                break
            candidate: Candidate | None = None
            try:
                candidate = await self._designer.design(self._request(round_))
                shape = check_program(candidate.code, session.spec)
                self._check_duplicate(shape)
            except DesignerError as exc:
                self._reject(round_, candidate, exc.check, str(exc))
                exhausted = isinstance(exc, NothingToDesign)
            except ProgramError as exc:
                self._reject(round_, candidate, exc.check, exc.reason)
            else:
                self._accept(round_, candidate, shape)
                # The node's number names the folder of its evaluation, so the node must be in the journal first.
                await session.committed()
                return True
        session.emit(RoundEnded("no_design", _describe(round_, exhausted), exhausted), round=round_.round)
        return False

    def _request(self, round_: OpenRound) -> DesignRequest:
        """Return the request for the next attempt of a round."""
        session, learned = self._session, round_.learned
        assert learned is not None
        attempt = len(round_.rejected)
        return DesignRequest(
            round=round_.round,
            attempt=attempt,
            seed=session.rng(round_.round, "design", attempt).getrandbits(63),
            parent=self._context(learned.parent),
            inspirations=[self._context(node) for node in learned.inspirations],
            priors=[parse_prior(shown.id, session.text(shown.revision)) for shown in learned.priors],
            all_priors=self._all_shown(learned),
            rejections=[
                Rejection(rejected.check, rejected.reason, session.text(rejected.program))
                for rejected in round_.rejected
            ],
            hints=session.state.newest_hints,
            mode=learned.mode,
            ask=self._models.for_round(round_.round),
            ranking=session.state.ranking,
        )

    def _context(self, node_id: int) -> ContextNode:
        node = self._session.state.nodes[node_id]
        return ContextNode(
            id=node.id,
            code=self._session.text(node.program),
            status=node.status or "",
            score=node.score,
            lesson=node.lesson,
            motivation=node.motivation,
            metrics=node.metrics,
            reason=node.reason,
            error=self._session.text(node.stderr_blob)[-_ERROR_SHOWN:] if node.status != "ok" else "",
            fitness=node.fitness,
        )

    def _all_shown(self, learned: LearnDone) -> bool:
        """Tell whether retrieval left no prior out: it draws from those that do not match until none is left."""
        drawn = sum(shown.why == "drawn" for shown in learned.priors)
        return drawn < self._session.state.settings.retrieval.drawn

    def _check_duplicate(self, shape: Outline) -> None:
        twin = self._session.state.digests.get(shape.digest)
        if twin is not None:
            raise ProgramError("duplicate", f"the same program as node {twin}")

    def _reject(self, round_: OpenRound, candidate: Candidate | None, check: str, reason: str) -> None:
        # A program that is refused for its size is not worth its space; its reason is kept.
        kept = [_encode(candidate.code)] if candidate is not None and check != "size" else []
        self._session.emit(
            DesignRejected(
                attempt=len(round_.rejected),
                check=check,
                reason=reason,
                operator=candidate.operator if candidate else "",
                program=sha256_of(kept[0]) if kept else "",
                credit=candidate.credit if candidate else {},
            ),
            round=round_.round,
            blobs=kept,
        )

    def _accept(self, round_: OpenRound, candidate: Candidate, shape: Outline) -> None:
        content = _encode(candidate.code)
        self._session.emit(
            DesignDone(
                program=sha256_of(content),
                operator=candidate.operator,
                name=candidate.name,
                motivation=candidate.motivation,
                parents=candidate.parents,
                priors=candidate.priors,
                digest=shape.digest,
                credit=candidate.credit,
                size=len(content),
                sketch=sketch(candidate.code),
            ),
            round=round_.round,
            node=len(self._session.state.nodes),
            blobs=[content],
        )


def add_injected(session: RunSession, round_: OpenRound) -> None:
    """Make a node of the program that a person injected; it was checked when it was injected."""
    injected = round_.injected
    assert injected is not None
    parents = [] if injected.parent is None else [injected.parent]
    motivation = injected.text or "given by a person"
    _add_program(session, round_.round, injected.program, "injected", injected.name, motivation, parents)


def add_seed(session: RunSession, name: str, sha256: str) -> None:
    """Make a node of a seed, in round 0.

    Args:
        session: the run.
        name: the node's name.
        sha256: the blob of the program.
    """
    _add_program(session, 0, sha256, "seed", name, "the program to start from", [])


def _add_program(
    session: RunSession, round_: int, sha256: str, operator: str, name: str, motivation: str, parents: list[int]
) -> None:
    code = session.text(sha256)
    session.emit(
        DesignDone(
            program=sha256,
            operator=operator,
            name=name,
            motivation=motivation,
            parents=parents,
            digest=outline(code).digest,
            size=len(_encode(code)),
            sketch=sketch(code),
        ),
        round=round_,
        node=len(session.state.nodes),
    )


def _describe(round_: OpenRound, exhausted: bool) -> str:
    """Return why a round ended without a design."""
    if not round_.rejected:
        return "no attempts"
    last, count = round_.rejected[-1], len(round_.rejected)
    if exhausted:
        return last.reason
    start = "1 design was rejected:" if count == 1 else f"{count} designs were rejected; the last:"
    return f"{start} {last.check}: {last.reason}"


def _encode(code: str) -> bytes:
    return code.encode("utf-8", "surrogatepass")
