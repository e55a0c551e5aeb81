"""The Researcher: a model writes candidates from context nodes, priors and earlier rejections."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from engine.designers.base import Design, DesignerError
from engine.designers.naming import changes_named
from engine.journal.events import Event
from engine.llm.answers import AnswerError, Program, holds_hunks, parse_diff, parse_parts, parse_program
from engine.llm.json_parts import is_placeholder
from engine.llm.left_out import with_left_out
from engine.llm.messages import Answer, CallFailed, Message, PromptSize, Role
from engine.llm.parts import EDITS, is_part, put_parts
from engine.llm.prompts import (
    Prompts,
    PromptTooLong,
    again_prompt,
    form_of,
    researcher_prompt,
    without_echo,
)
from engine.llm.refusal import refusal_of
from engine.llm.requests import DesignRequest, Mode
from engine.programs.blocks import keep_outside
from engine.programs.outline import ProgramError
from engine.task.spec import TaskSpec
from engine.text import one_line

__all__ = ["LlmDesigner"]

_DECLINED_LENGTH = 200
_ANY = PromptSize(1 << 40)


class LlmDesigner:
    """Ask a model for a program, for edits of the parent, for a crossover of two programs, or for a repair.

    An unusable answer counts as an attempt, and the next prompt says why it was refused. The designer has no memory of
    its own.

    Args:
        spec: the task.
        brief: its problem statement.
        prompts: the templates, including the task's own.
    """

    name = "llm"
    modes: tuple[Mode, ...] = ("full", "diff", "crossover", "fix")
    reads_hints = True

    def __init__(self, spec: TaskSpec, brief: str, prompts: Prompts) -> None:
        self._spec = spec
        self._language = spec.language
        self._brief = brief
        self._prompts = prompts

    def apply(self, event: Event) -> None:
        """Do nothing: the next request holds all that a model learns from."""

    async def design(self, request: DesignRequest) -> Design:
        """Let the model write one candidate.

        Raises:
            DesignerError: no model is configured, the prompt does not fit, or the answer cannot be used.
            Stopping: the engine is ending.
            TaskError: a template of the task is invalid.
        """
        ask = request.ask
        if ask is None:
            raise DesignerError("no model is configured")
        request = _without_twins(request)
        form = ""

        def write(size: PromptSize) -> Sequence[Message]:
            nonlocal form
            if size.again:
                return again_prompt(self._prompts, self._spec, self._brief, request)
            messages = researcher_prompt(self._prompts, self._spec, self._brief, request, size)
            form = form_of(messages)
            return messages

        try:
            role: Role = "fixer" if request.mode == "fix" else "researcher"
            models = {request.model: 1.0} if request.model else None
            answer = await ask(role, write, key=f"design/{request.attempt}", models=models)
            if not form:
                # It was asked by an earlier engine, in either form, or the form stands earlier in the conversation.
                form = "\n".join(form_of(write(size)) for size in (_ANY, replace(_ANY, brief=True)))
        except PromptTooLong as exc:
            raise DesignerError(str(exc)) from None
        except CallFailed as exc:
            if exc.kind == "answer":
                raise DesignerError(str(exc), "answer") from None
            raise DesignerError(f"the model's endpoint refused the call: {exc}") from None
        if answer.refused:
            said = one_line(answer.text, _DECLINED_LENGTH)
            raise DesignerError(f"the model declined to answer{f': {said}' if said else ''}", "answer")
        own = replace(answer, text=without_echo(answer.text, form))
        try:
            program, operator = self._read(own, request)
        except AnswerError as exc:
            told = refusal_of(exc, request.mode, answer)
            if own.text != answer.text.replace("\r\n", "\n"):
                if not own.text.strip():
                    told = "the answer repeats the prompt's example and says nothing else"
                told += "; the prompt's example is no answer"
            raise DesignerError(told, "answer") from None
        code, left_out = self._complete(program.code, request)
        parents = [request.parent.id]
        if operator == "crossover":
            parents += [node.id for node in request.inspirations[:1] if node.id != request.parent.id]
        return Design(
            code=code,
            operator=operator,
            name=_said(program.name) or changes_named(request.parent.code, code, self._language),
            motivation=" ".join(filter(None, [_said(program.motivation) or "the model gave no reason", left_out])),
            parents=parents,
        )

    def _read(self, answer: Answer, request: DesignRequest) -> tuple[Program, Mode]:
        """Return the program of an answer and the mode in which it was actually written."""
        language = self._language
        if request.mode == "diff" and holds_hunks(answer.text, language):
            return parse_diff(answer.text, request.parent.code, truncated=answer.truncated, language=language), "diff"
        try:
            written = parse_program(answer.text, self._spec.interface, truncated=answer.truncated, language=language)
        except AnswerError as exc:
            if request.mode != "diff":
                raise
            told = str(exc).partition("; ")[0]
            raise AnswerError(
                f"there is neither a SEARCH/REPLACE block nor a function in the answer ({told}); {EDITS}"
            ) from None
        interface = self._spec.interface
        # The short form asks for a function: it is a whole program only if it has all that one must have.
        asked_for_part = answer.brief and language.has_functions and not interface.functions and not interface.classes
        if not asked_for_part and self._is_whole(written.code, request):
            return written, "full" if request.mode == "diff" else request.mode
        # Also accept a model that writes a few functions instead of the whole program.
        parts = parse_parts(answer.text, self._spec.interface, truncated=answer.truncated, language=language)
        edited = replace(parts, code=put_parts(parts.code, request.parent.code, language))
        return edited, "diff" if request.mode == "full" else request.mode

    def _is_whole(self, code: str, request: DesignRequest) -> bool:
        """Tell whether code is a complete program: it lacks no required function and nothing that it uses."""
        interface = self._spec.interface
        try:
            shape = self._language.outline(code)
        except ProgramError:
            # As a program it goes to the check, which stores it with the reason; as an edit it is refused here.
            return request.mode != "diff"
        required = {*interface.functions, *interface.classes}
        return required <= shape.functions | shape.classes and not is_part(code, request.parent.code, self._language)

    def _complete(self, code: str, request: DesignRequest) -> tuple[str, str]:
        """Return a program with what the answer left out, and what that is; models omit what they saw elsewhere.

        A name that the parent lacks too, in a function that nothing calls, is not the design's fault.

        Raises:
            DesignerError: the program would raise NameError.
        """
        blocks = self._spec.interface.blocks
        try:
            if blocks:
                # What the answer says outside is put back later: what it defines or imports there does not count.
                code = keep_outside(request.parent.code, code)
            code, left_out = with_left_out(code, request, self._language, within_blocks=blocks)
            unbound = set(self._language.unbound_names(code))
        except ProgramError:
            return code, ""  # the stage checks syntax and blocks, and stores the program with the reason
        with suppress(ProgramError):
            unbound -= set(self._language.unbound_names(request.parent.code)) if unbound else set()
        if unbound:
            raise DesignerError(
                f"the program uses {', '.join(sorted(unbound)[:5])}, which nothing in it defines; define or import it",
                "static",
            )
        return code, left_out

    async def aclose(self) -> None:
        """Do nothing: it has no processes."""


def _without_twins(request: DesignRequest) -> DesignRequest:
    """Leave out nodes beside the parent that behave as it does: they show nothing new."""
    others = [node for node in request.inspirations if not node.repeats_parent]
    if not others and request.mode == "crossover":
        others = request.inspirations[:1]
    return replace(request, inspirations=others)


def _said(text: str) -> str:
    """Return a name or a motivation; empty for dots that stand in place of one."""
    return "" if is_placeholder(text) else text
