"""Say why an answer could not be used, and what to do about it in the form that was asked for."""

from __future__ import annotations

from engine.llm.blocks import AnswerError
from engine.llm.messages import Answer
from engine.llm.parts import EDITS
from engine.llm.requests import Mode

__all__ = ["refusal_of"]

_ABOUT_PROGRAMS = ("<program>", "</program>", "whole program")
_FUNCTION = "begin with one code fence that holds the whole function, and end with one sentence behind it"
_HUNG_UP = {
    "repetition": ("it said the same over and over", "write each line once, and end when the change is complete"),
    "cap_tokens": ("it was far longer than a program", "write no more than was asked for"),
    "total_seconds": ("its time was up", "write a shorter answer"),
}


def refusal_of(error: AnswerError, mode: Mode, answer: Answer) -> str:
    """Return what is wrong with an answer to a prompt of some mode, and after a semicolon what to do instead.

    Args:
        error: what its reader says, which does not know the form that was asked for.
        mode: the mode of the design.
        answer: the answer, which may have been hung up on.
    """
    what, _, advice = str(error).partition("; ")
    form = _FUNCTION if answer.brief else EDITS if mode == "diff" else ""
    if form and any(words in str(error) for words in (*_ABOUT_PROGRAMS, *((EDITS,) if answer.brief else ()))):
        advice = form
    if answer.truncated and answer.ended_by in _HUNG_UP:
        why, cure = _HUNG_UP[answer.ended_by]
        return f"the answer was cut off, since {why}; {cure}" + (f"; {form}" if form else "")
    return f"{what}; {advice}" if advice else what
