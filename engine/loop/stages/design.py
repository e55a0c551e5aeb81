"""Design: have the next candidate written, and check it before any experiment."""

from __future__ import annotations

from dataclasses import replace

from engine.designers.base import Design as Candidate
from engine.designers.base import DesignerError, NothingToDesign
from engine.journal.database import sha256_of
from engine.journal.events import DesignDone, DesignRejected, Near, PromptsShortened, RoundEnded, WarmProgram
from engine.loop.command_calls import CommandCalls
from engine.loop.design_context import DesignContext
from engine.loop.memory import RunDesigner
from engine.loop.models import ModelGateway
from engine.loop.novelty import NearWatch, TooNear
from engine.loop.session import RunSession
from engine.programs.blocks import keep_outside
from engine.programs.minhash import sketch
from engine.programs.outline import Outline, ProgramError
from engine.settings.model import designs_freely
from engine.state.no_design import is_stuck
from engine.state.node import OpenRound
from engine.task.interface import check_program
from engine.task.spec import Seed, TaskSpec
from engine.text import one_line

__all__ = ["Design", "add_injected", "add_seed", "add_warm"]


class Design:
    """The design stage.

    Args:
        session: the run.
        designer: writes the candidates.
        models: ask models on behalf of the round.
        commands: run the command of the settings on behalf of the round; None if it never designs.
        near: finds what a design resembles; by default it compares lines alone.
    """

    def __init__(
        self,
        session: RunSession,
        designer: RunDesigner,
        models: ModelGateway,
        commands: CommandCalls | None = None,
        near: NearWatch | None = None,
    ) -> None:
        self._session, self._designer = session, designer
        self._near = near or NearWatch(session)
        self._context = DesignContext(session, models, commands)

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
                candidate = await self._designer.design(self._context.request(round_))
                if session.spec.interface.blocks:
                    candidate = self._within_blocks(candidate)
                first = session.state.nodes[candidate.parents[0]].program if candidate.parents else ""
                before = session.text(first) if first and session.spec.program.editable else ""
                shape = check_program(candidate.code, session.spec, before)
                canon = self._check_duplicate(candidate, shape)
                near = await self._near.look(candidate.code, candidate.parents)
                if near:
                    # Another round may have made the same program meanwhile.
                    self._check_twins(shape.digest, canon)
                self._near.check(round_, near)
            except DesignerError as exc:
                self._reject(round_, candidate, exc.check, str(exc))
                self._shorten_prompts(round_)
                exhausted = isinstance(exc, NothingToDesign)
            except ProgramError as exc:
                self._reject(round_, candidate, exc.check, exc.reason, exc.near if isinstance(exc, TooNear) else None)
                self._shorten_prompts(round_)
            else:
                self._accept(round_, candidate, shape, canon, near)
                # The node's number names the folder of its evaluation, so the node must be in the journal first.
                await session.committed()
                return True
        session.emit(
            RoundEnded(
                "no_design",
                _describe(round_, exhausted),
                exhausted=exhausted,
                tokens=sum(rejected.tokens for rejected in round_.rejected),
                seconds=round(sum(rejected.seconds for rejected in round_.rejected), 3),
            ),
            round=round_.round,
        )
        return False

    def _within_blocks(self, candidate: Candidate) -> Candidate:
        """Put back what stands outside the parent's EVOLVE-BLOCKs.

        Raises:
            ProgramError: the marks are gone.
        """
        parent = self._session.text(self._session.state.nodes[candidate.parents[0]].program)
        return replace(candidate, code=keep_outside(parent, candidate.code))

    def _check_duplicate(self, candidate: Candidate, shape: Outline) -> str:
        """Refuse a program that the search has had, be it under other names; return its digest without names.

        Recombination renames nothing: without a model there is no such digest.
        """
        self._check_twins(shape.digest, "")
        if not designs_freely(self._session.state.settings):
            return ""
        canon = self._session.spec.language.canonical_digest(candidate.code, _required(self._session.spec))
        self._check_twins("", canon)
        return canon

    def _check_twins(self, digest: str, canon: str) -> None:
        digests = self._session.state.digests
        twin = digests.get(digest) if digest else None
        if twin is not None:
            raise ProgramError("duplicate", f"the same program as node {twin}")
        twin = digests.get(canon) if canon else None
        if twin is not None:
            raise ProgramError(
                "duplicate", f"the same as node {twin} under other names, or with helpers that nothing uses"
            )

    def _reject(
        self, round_: OpenRound, candidate: Candidate | None, check: str, reason: str, near: Near | None = None
    ) -> None:
        # A program that is refused for its size is not worth its space; its reason is kept.
        kept = [_encode(candidate.code)] if candidate is not None and check != "size" else []
        attempt = len(round_.rejected)
        call = self._session.state.answered.get((round_.round, None, f"design/{attempt}"))
        self._session.emit(
            DesignRejected(
                attempt=attempt,
                check=check,
                reason=reason,
                operator=candidate.operator if candidate else "",
                program=sha256_of(kept[0]) if kept else "",
                credit=candidate.credit if candidate else {},
                call=call.call if call else 0,
                tokens=call.tokens_in + call.tokens_out if call else 0,
                seconds=call.seconds if call else 0.0,
                near=near,
            ),
            round=round_.round,
            blobs=kept,
        )

    def _shorten_prompts(self, round_: OpenRound) -> None:
        """Go over to the short form of prompts for a model most of whose answers could not be used."""
        state = self._session.state
        done = state.answered.get((round_.round, None, f"design/{len(round_.rejected) - 1}"))
        record = state.models.get(done.model) if done is not None else None
        spec = state.settings.models.get(done.model) if done is not None else None
        if done is None or done.brief or record is None or record.brief or not record.fails:
            return
        if spec is not None and spec.brief_prompts is None:
            reason = f"{record.usable.count(False)} of its last {len(record.usable)} designs could not be used"
            self._session.emit(PromptsShortened(done.model, reason), round=round_.round)

    def _accept(self, round_: OpenRound, candidate: Candidate, shape: Outline, canon: str, near: list[Near]) -> None:
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
                canon=canon,
                credit=candidate.credit,
                size=len(content),
                sketch=sketch(candidate.code, self._session.spec.language.comment),
                near=near,
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
    _add_program(session, round_.round, session.text(injected.program), "injected", injected.name, motivation, parents)


def add_seed(session: RunSession, seed: Seed) -> None:
    """Make a node of a seed, in round 0."""
    _add_program(session, 0, seed.code, "seed", seed.name, "the program to start from", [])


def add_warm(session: RunSession, warm: WarmProgram) -> None:
    """Make a node of a program of another run, in round 0."""
    score = "" if warm.score is None else f", where its {warm.metric or 'score'} was {warm.score:.6g}"
    why = f"node {warm.node} of run '{warm.run}'{score}; measured anew here. {warm.lesson}".strip()
    name, origin = one_line(warm.name, 200), f"{warm.run}#{warm.node}"
    _add_program(session, 0, session.text(warm.program), "warm", name or origin, why, [], origin)


def _add_program(
    session: RunSession,
    round_: int,
    code: str,
    operator: str,
    name: str,
    motivation: str,
    parents: list[int],
    origin: str = "",
) -> None:
    content, language = _encode(code), session.spec.language
    session.emit(
        DesignDone(
            program=sha256_of(content),
            operator=operator,
            name=name,
            motivation=motivation,
            parents=parents,
            digest=language.outline(code).digest,
            canon=language.canonical_digest(code, _required(session.spec))
            if designs_freely(session.state.settings)
            else "",
            size=len(content),
            sketch=sketch(code, language.comment),
            origin=origin,
        ),
        round=round_,
        node=len(session.state.nodes),
        blobs=[content],
    )


def _required(spec: TaskSpec) -> list[str]:
    return [*spec.interface.functions, *spec.interface.classes]


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
