"""How long an answer may become before the engine hangs up, unless the user has set a limit."""

from __future__ import annotations

import re

from engine.llm.messages import Role
from engine.llm.patience import estimate_tokens
from engine.llm.record import Place
from engine.loop.session import RunSession
from engine.settings.models import ModelSpec

__all__ = ["answer_cap"]

_REPORT = 4_096
"""Tokens of a report or a judgement."""
_LEAST, _PROGRAMS = 2_048, 4
"""Tokens of a design: so many, and so many times the longest program that it was shown."""
_SEVERAL = re.compile(r"analyze/batch/(\d+)/")
"""The key of a report on several nodes says on how many."""


def answer_cap(session: RunSession, role: Role, place: Place, spec: ModelSpec) -> int:
    """Return the tokens of an answer, thoughts left out, at which to hang up; 0: never.

    Args:
        session: the run.
        role: what the model is asked for.
        place: the round, the node and the key of the call.
        spec: the model, with the user's limits.
    """
    if spec.cap_tokens is not None:
        return spec.cap_tokens
    if spec.max_tokens or spec.max_completion_tokens:
        return 0
    number, _, key = place
    round_ = session.state.open_rounds.get(number or 0)
    if role in ("analyzer", "judge") or round_ is None or round_.learned is None:
        several = _SEVERAL.match(key)
        return _REPORT * (int(several[1]) if several else 1)
    nodes = session.state.nodes
    programs = [nodes[node].program for node in (round_.learned.parent, *round_.learned.inspirations)]
    return _LEAST + _PROGRAMS * estimate_tokens(max(len(session.text(program)) for program in programs))
