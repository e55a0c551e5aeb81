"""How long a prompt to a model may be, and which form it has: what its context leaves, and what it has shown."""

from __future__ import annotations

import msgspec

from engine.llm.messages import PromptSize
from engine.llm.patience import is_local
from engine.settings.models import ModelSpec
from engine.state.run_state import RunState

__all__ = ["prompt_size", "room_after"]

_BRIEF = 1_200
"""Tokens that the short form aims at."""
_READING_SECONDS = 40.0
"""How long a model may read before it writes; a slower one gets a shorter prompt."""
_LEAST = 1_500
"""Tokens below which no prompt is shortened for the sake of time."""
_SHORT_ROOM = 3_000
"""Tokens below which prompts are short from the beginning: task, form and parent alone may take as many."""
_SHORTER = 0.75
"""The share of a prompt that was too long for which there counts to be room."""
_SHORTEST = 1_000
"""Tokens below which no refusal makes prompts shorter, unless the endpoint says how many it takes."""


def room_after(context: int, refused: int, spec: ModelSpec) -> int:
    """Return how many tokens prompts may have now that an endpoint has refused one as too long.

    That may be as many as the refused one had: shorter ones are no longer of use.

    Args:
        context: tokens of prompt and answer that the endpoint says it takes; 0 if it says nothing of it.
        refused: tokens of that prompt, as they are estimated here.
        spec: the model.
    """
    room = max(int(refused * _SHORTER), _SHORTEST)
    if not context:
        return room
    answer = msgspec.structs.replace(spec, context_tokens=context).answer_tokens
    return min(room, max(context - answer, context // 4))


def prompt_size(state: RunState, name: str, reading: float | None = None, room: int | None = None) -> PromptSize:
    """Return the size of a prompt to one of the run's models.

    Args:
        state: the run.
        name: the model's configured name.
        reading: how many tokens of a prompt it reads in a second; None where it has not shown it.
        room: how many its endpoint has shown to take; None where it has refused none.
    """
    spec, record = state.settings.models[name], state.models.get(name)
    most = spec.context_tokens - spec.answer_tokens
    most = most if room is None else min(room, most)
    brief = spec.brief_prompts
    if brief is None:
        brief = most < _SHORT_ROOM or (record is not None and record.brief)
    aims = [_BRIEF] if brief else []
    # An endpoint elsewhere that is slow to begin has a queue; it would not be faster with a shorter prompt.
    if reading is not None and is_local(spec.base_url) and reading * _READING_SECONDS < spec.context_tokens:
        aims.append(max(_LEAST, int(reading * _READING_SECONDS)))
    return PromptSize(most, min(aims, default=None), brief)
