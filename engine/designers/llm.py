"""The Researcher: a model writes candidates from context nodes, priors and earlier rejections."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress

from engine.designers.base import Design, DesignerError
from engine.journal.events import Event
from engine.llm.answers import AnswerError, Program, parse_diff, parse_parts, parse_program
from engine.llm.hunks import has_hunks
from engine.llm.messages import Answer, CallFailed, Role
from engine.llm.parts import is_part, put_parts
from engine.llm.prompts import Prompts, PromptTooLong, researcher_prompt
from engine.llm.requests import DesignRequest, Mode
from engine.programs.outline import ProgramError, changed_parts, outline, unbound_names
from engine.task.spec import TaskSpec
from engine.text import one_line

__all__ = ["LlmDesigner"]

_PARTS_NAMED = 3
_DECLINED_LENGTH = 200


class LlmDesigner:
    """Ask a model for a program, for edits of the parent, for a crossover of two programs, or for a repair.

    An unusable answer counts as an attempt, and the next prompt says why it was refused. The designer has no memory of
    its own.

    Args:
        spec: the task.
        brief: its problem statement.
        prompts: the templates, including the task's own.
        room: returns the most tokens of a prompt under the current settings.
    """

    name = "llm"
    modes: tuple[Mode, ...] = ("full", "diff", "crossover", "fix")
    reads_hints = True

    def __init__(self, spec: TaskSpec, brief: str, prompts: Prompts, room: Callable[[], int]) -> None:
        self._spec = spec
        self._brief = brief
        self._prompts = prompts
        self._room = room

    def apply(self, event: Event) -> None:
        """Do nothing: the next request holds all that a model learns from."""

    async def design(self, request: DesignRequest) -> Design:
        """Let the model write one candidate.

        Raises:
            DesignerError: no model is configured, the prompt does not fit, or the answer cannot be used.
            Stopping: the engine is ending.
            TaskError: a template of the task is invalid.
        """
        if request.ask is None:
            raise DesignerError("no model is configured")
        try:
            messages = researcher_prompt(self._prompts, self._spec, self._brief, request, self._room())
            role: Role = "fixer" if request.mode == "fix" else "researcher"
            answer = await request.ask(role, messages, key=f"design/{request.attempt}")
        except PromptTooLong as exc:
            raise DesignerError(str(exc)) from None
        except CallFailed as exc:
            raise DesignerError(f"the model's endpoint refused the call: {exc}") from None
        if answer.refused:
            said = one_line(answer.text, _DECLINED_LENGTH)
            raise DesignerError(f"the model declined to answer{f': {said}' if said else ''}", "answer")
        try:
            program, operator = self._read(answer, request)
        except AnswerError as exc:
            raise DesignerError(str(exc), "answer") from None
        _check_names(program.code, request.parent.code)
        parents = [request.parent.id]
        if operator == "crossover":
            parents += [node.id for node in request.inspirations[:1] if node.id != request.parent.id]
        return Design(
            code=program.code,
            operator=operator,
            name=program.name or _changes(request.parent.code, program.code),
            motivation=program.motivation or "the model gave no reason",
            parents=parents,
        )

    def _read(self, answer: Answer, request: DesignRequest) -> tuple[Program, Mode]:
        """Return the program of an answer and the mode in which it was actually written."""
        if request.mode == "diff" and has_hunks(answer.text):
            return parse_diff(answer.text, request.parent.code, truncated=answer.truncated), "diff"
        try:
            written = parse_program(answer.text, self._spec.interface, truncated=answer.truncated)
        except AnswerError as exc:
            if request.mode != "diff":
                raise
            raise AnswerError(f"there is neither a SEARCH/REPLACE block nor a function in the answer: {exc}") from None
        if self._is_whole(written.code, request):
            return written, "full" if request.mode == "diff" else request.mode
        # Also accept a model that writes a few functions instead of the whole program.
        parts = parse_parts(answer.text, self._spec.interface, truncated=answer.truncated)
        edited = dataclasses.replace(parts, code=put_parts(parts.code, request.parent.code))
        return edited, "diff" if request.mode == "full" else request.mode

    def _is_whole(self, code: str, request: DesignRequest) -> bool:
        """Tell whether code is a complete program: it lacks no required function and nothing that it uses."""
        interface = self._spec.interface
        try:
            shape = outline(code)
        except ProgramError:
            # As a program it goes to the check, which stores it with the reason; as an edit it is refused here.
            return request.mode != "diff"
        required = {*interface.functions, *interface.classes}
        return required <= shape.functions | shape.classes and not is_part(code, request.parent.code)

    async def aclose(self) -> None:
        """Do nothing: it has no processes."""


def _check_names(code: str, parent: str) -> None:
    """Refuse a program that would raise NameError: models omit helpers and constants that they saw elsewhere.

    A name that the parent lacks too, in a function that nothing calls, is not the design's fault.
    """
    try:
        unbound = set(unbound_names(code))
    except ProgramError:
        return  # the stage checks its syntax and stores the program with the reason
    with suppress(ProgramError):
        unbound -= set(unbound_names(parent)) if unbound else set()
    if unbound:
        raise DesignerError(
            f"the program uses {', '.join(sorted(unbound)[:5])}, which nothing in it defines; define or import it",
            "static",
        )


def _changes(before: str, after: str) -> str:
    """Name a design whose model gave it no name."""
    try:
        changed = changed_parts(before, after)
    except ProgramError:
        return "a new program"
    more = ", …" if len(changed) > _PARTS_NAMED else ""
    return f"changed {', '.join(changed[:_PARTS_NAMED])}{more}" if changed else "the same program"
