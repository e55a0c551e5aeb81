"""Read answers of models tolerantly; raise an error that the model can read if an answer cannot be used.

A program is taken from `<program>` tags, else from code fences, else from JSON; else the whole answer is the program.
If there are several, prefer those that are valid Python and define what the task requires.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.llm.blocks import (
    AnswerError,
    Block,
    fence_blocks,
    json_object,
    read_fences,
    tag_blocks,
    tag_text,
    variants,
    without_reasoning,
)
from engine.llm.hunks import apply_hunks, read_hunks
from engine.programs.outline import ProgramError, outline
from engine.task.spec import Interface
from engine.text import one_line, visible

__all__ = [
    "REPORT_SCHEMA",
    "AnswerError",
    "Findings",
    "Idea",
    "Judgement",
    "Program",
    "judgement_schema",
    "parse_diff",
    "parse_judgement",
    "parse_parts",
    "parse_program",
    "parse_report",
]

_NAME_LENGTH = 80
_MOTIVATION_LENGTH = 600
_LESSON_LENGTH = 300
_REASON_LENGTH = 400
_NOTE_LENGTH = 8000
_MOST_TRIED = 1_000_000
"""Most characters of possible programs to parse per answer, so that an odd answer cannot stop the loop."""
_HUNK = re.compile(
    r"^[ \t]*<{5,9}[ \t]*SEARCH.*?^[ \t]*>{5,9}[ \t]*REPLACE[^\n]*$", re.DOTALL | re.MULTILINE | re.IGNORECASE
)
_PYTHON = ("", "py", "python", "python3")
_SHORT = 0.5
"""Least length of a later program, as a share of an earlier one's, to count as its correction."""
_CUT = (
    "the answer was cut off before the program was complete; write a shorter answer: no explanation, "
    "and a program no longer than it has to be"
)


@dataclass(frozen=True)
class Program:
    """A program as a model wrote it."""

    code: str
    name: str
    """A few words; empty if the answer has none."""
    motivation: str


@dataclass(frozen=True)
class Idea:
    """A prior that a model proposes."""

    title: str
    body: str
    """Markdown."""


@dataclass(frozen=True)
class Findings:
    """A model's report on a measured program."""

    lesson: str
    note: str
    """Markdown."""
    causes: tuple[str, ...] = ()
    next_step: str = ""
    priors: tuple[Idea, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """A model's judgement by one criterion."""

    score: float
    """From 0 to 1."""
    reason: str


def parse_program(text: str, interface: Interface | None = None, *, truncated: bool = False) -> Program:
    """Read an answer that holds a whole program.

    Args:
        text: the answer.
        interface: what a program must define; it tells the program among several blocks. If no program has all of
            it, the best one is returned, and later checks say what is missing.
        truncated: whether the answer ended at the limit of tokens; an unclosed program is then an error.

    Raises:
        AnswerError: the answer has no program, or was cut off.
    """
    text = without_reasoning(text)
    required = [*interface.functions, *interface.classes] if interface else []
    # Text in tags within a line is prose about code.
    tags = [block for block in tag_blocks(text, "program", "code") if "\n" in block.text]
    fences = fence_blocks(text)
    if not tags and re.match(r"\s*(?:[`~]{3,}[ \t]*json[ \t]*\n\s*)?\{", text, re.IGNORECASE):
        whole = json_object(text, "program", "code")
        if whole is not None:
            return _from_json(whole)
    unclosed = any(not block.closed for block in tags) or (not tags and read_fences(text)[1])
    if truncated and unclosed:
        raise AnswerError(_CUT)
    budget = _Budget(_MOST_TRIED)
    fenced = [inner for block in tags for inner in _fences_in(block)]
    readings = [_read_blocks([*tags, *fenced], budget), _read_blocks(fences, budget)]
    if not tags and not fences and not truncated:
        bare = _named_parts_removed(text)
        readings.append(_read_blocks([Block(0, len(bare), bare, closed=True)], budget, prose=True))
    for fits in (True, False):
        for found in readings:
            chosen = _choose([item for item in found if not fits or _defines(item.code, required)])
            if chosen is not None and (chosen.closed or fits):
                return _described(chosen, text)
    return _as_it_stands(text, tags, fences)


def _as_it_stands(text: str, tags: list[Block], fences: list[Block]) -> Program:
    """Return a block that is not valid Python, so that the syntax check can say where."""
    if any(not block.closed for block in tags) or (not tags and read_fences(text)[1]):
        raise AnswerError("nothing closes the program; end it with </program>, and write nothing behind that")
    # From the first opening to the first closing after it, as a reader of the form would take it.
    block = min(tags or fences, key=lambda item: (item.start, item.end), default=None)
    if block is not None and tags:
        block = min(_fences_in(block), key=lambda item: (item.start, item.end), default=block)
    if block is None or not block.text.strip():
        raise AnswerError(
            "the answer holds no program; write all of it between <program> and </program>, each on a line of its own"
        )
    return _described(_Reading(block.start, block.end, next(variants(block.text)), True), text)


def parse_diff(text: str, parent: str, *, truncated: bool = False) -> Program:
    """Read an answer made of SEARCH/REPLACE blocks and apply them, all or none, to the parent's program.

    Raises:
        AnswerError: there are no blocks, one cannot be applied, or blocks may be missing at its cut-off end.
    """
    text = without_reasoning(text)
    if truncated:
        raise AnswerError("the answer was cut off; write fewer and shorter blocks, and no explanation")
    code = apply_hunks(read_hunks(text), parent)
    around = _HUNK.sub("\n", text)
    return Program(code, *_name_and_motivation(around, around))


def parse_parts(text: str, interface: Interface | None = None, *, truncated: bool = False) -> Program:
    """Read an answer that holds parts of a program, in one code fence or in several.

    Raises:
        AnswerError: there are no parts, one is not valid Python, or some may be missing because the answer was cut off.
    """
    whole = parse_program(text, interface, truncated=truncated)
    blocks, _ = read_fences(without_reasoning(text))
    parts = [next(variants(block)) for info, block in blocks if info in _PYTHON]
    if truncated:
        raise AnswerError(_CUT)
    if len(parts) < 2 or tag_blocks(text, "program", "code"):
        return whole
    for number, part in enumerate(parts, start=1):
        try:
            outline(part)
        except ProgramError as exc:
            raise AnswerError(f"code block {number} of the answer is not valid Python: {exc.reason}") from None
    return replace(whole, code="\n\n".join(parts))


# Programs among the blocks of an answer


@dataclass(frozen=True)
class _Reading:
    start: int
    end: int
    code: str
    closed: bool


class _Budget:
    """Count down the characters that may still be parsed."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int) -> bool:
        self.left -= count
        return self.left >= 0


def _fences_in(block: Block) -> list[Block]:
    return [
        Block(block.start + inner.start, block.start + inner.end, inner.text)
        for inner in fence_blocks(block.text)
        if inner.closed
    ]


def _read_blocks(blocks: Sequence[Block], budget: _Budget, prose: bool = False) -> list[_Reading]:
    """Return the blocks that are valid Python and more than a word of prose, longest first."""
    found: list[_Reading] = []
    for block in sorted(blocks, key=lambda item: (-len(item.text), item.start)):
        if any(item.start <= block.start and block.end <= item.end for item in found):
            continue
        for code in variants(block.text):
            if not budget.take(len(code)):
                return found
            parts = _parts(code)
            if parts is not None and (parts - {"<other>"} if prose else parts):
                found.append(_Reading(block.start, block.end, code, block.closed))
                break
    return found


def _parts(code: str) -> set[str] | None:
    try:
        return set(outline(code).parts)
    except ProgramError:
        return None


def _defines(code: str, required: Sequence[str]) -> bool:
    shape = outline(code)
    return all(name in shape.functions or name in shape.classes for name in required)


def _choose(found: Sequence[_Reading]) -> _Reading | None:
    """Choose the last block not much shorter than the longest: corrections come last, examples are short."""
    longest = max((len(item.code) for item in found), default=0)
    return max(
        (item for item in found if len(item.code) >= _SHORT * longest), key=lambda item: item.start, default=None
    )


def _from_json(whole: dict[str, Any]) -> Program:
    code = whole.get("program", whole.get("code"))
    if not isinstance(code, str) or not code.strip():
        raise AnswerError("the answer's 'program' is no text; put the whole program there, as one string")
    fenced = (
        [block.text for block in fence_blocks(code) if block.closed] if code.lstrip().startswith(("`", "~")) else []
    )
    name, motivation = (str(whole.get(key) or "") for key in ("name", "motivation"))
    code = next(variants(max(fenced, key=len) if fenced else code))
    return Program(code, one_line(name, _NAME_LENGTH), one_line(motivation, _MOTIVATION_LENGTH))


def _described(chosen: _Reading, text: str) -> Program:
    before, behind = text[: chosen.start], text[chosen.end :]
    return Program(chosen.code, *_name_and_motivation(before + "\n" + behind, before))


def _named_parts_removed(text: str) -> str:
    return re.sub(r"<(name|motivation)>.*?</\1>", "", text, flags=re.DOTALL | re.IGNORECASE)


def _name_and_motivation(around: str, before: str) -> tuple[str, str]:
    """Return name and motivation from the text around a program; without a motivation, take the text before it."""
    name = tag_text(around, "name") or _labelled(around, "name")
    motivation = tag_text(around, "motivation") or _labelled(around, "motivation")
    if not motivation:
        prose = re.sub(r"<[^<>\n]{1,40}>|`{3,}[^\n]*|~{3,}[^\n]*", " ", _named_parts_removed(before))
        motivation = prose.strip()
    return one_line(name.strip("`*\"' "), _NAME_LENGTH), one_line(motivation, _MOTIVATION_LENGTH)


def _labelled(text: str, label: str) -> str:
    """Return the text after a label such as `**Name:**`, on its line or on the next."""
    match = re.search(rf"^[ \t#*]*{label}[ \t*]*:[ \t*]*\n?[ \t]*([^\s`~][^\n]*)$", text, re.IGNORECASE | re.MULTILINE)
    return match[1].strip(" *") if match else ""


# Reports and judgements

_TEXT = {"type": "string"}
REPORT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "lesson": _TEXT,
        "causes": {"type": "array", "items": _TEXT},
        "next_step": _TEXT,
        "note": _TEXT,
        "priors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"title": _TEXT, "body": _TEXT},
                "required": ["title", "body"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["lesson", "causes", "next_step", "note", "priors"],
    "additionalProperties": False,
}
"""Schema of the Analyzer's answer, for endpoints that support structured output."""


def judgement_schema(criteria: Collection[str]) -> dict[str, Any]:
    """Return the schema of a judge's answer: a score from 0 to 1 and a reason for each criterion."""
    one = {
        "type": "object",
        "properties": {"reason": _TEXT, "score": {"type": "number"}},
        "required": ["reason", "score"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": dict.fromkeys(criteria, one),
        "required": list(criteria),
        "additionalProperties": False,
    }


def parse_report(text: str) -> Findings:
    """Read an Analyzer's answer: JSON, or the same parts in tags.

    Raises:
        AnswerError: the answer has no lesson.
    """
    text = without_reasoning(text)
    found: dict[str, Any] = json_object(text, "lesson") or {
        name: tag_text(text, name) for name in ("lesson", "causes", "next_step", "note")
    }
    lesson = one_line(str(found.get("lesson") or ""), _LESSON_LENGTH)
    if not lesson:
        raise AnswerError("the answer holds no lesson; answer with the JSON object that is asked for and nothing else")
    return Findings(
        lesson=lesson,
        note=_markdown(found.get("note")),
        causes=tuple(one_line(cause, _REASON_LENGTH) for cause in _items(found.get("causes")))[:8],
        next_step=one_line(str(found.get("next_step") or ""), _REASON_LENGTH),
        priors=tuple(_ideas(found.get("priors")))[:3],
    )


def _markdown(value: Any) -> str:
    return visible(str(value or "")[:_NOTE_LENGTH]).strip()


def _items(value: Any) -> Iterator[str]:
    lines = value.splitlines() if isinstance(value, str) else value if isinstance(value, list) else []
    for line in lines:
        if isinstance(line, str) and line.strip(" -*\t"):
            yield line.strip(" -*\t")


def _ideas(value: Any) -> Iterator[Idea]:
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict):
            title, body = one_line(str(item.get("title") or ""), _NAME_LENGTH), _markdown(item.get("body"))
            if title and body:
                yield Idea(title, body)


def parse_judgement(text: str, criteria: Collection[str]) -> dict[str, Judgement]:
    """Read a judge's answer: a score from 0 to 1 for every criterion, each with a reason.

    Raises:
        AnswerError: a criterion is missing, or a score is not a number from 0 to 1.
    """
    found = json_object(without_reasoning(text), *criteria)
    if found is None:
        raise AnswerError("the answer holds no scores; answer with the JSON object that is asked for and nothing else")
    judged: dict[str, Judgement] = {}
    for name in criteria:
        item = found.get(name)
        score = item.get("score") if isinstance(item, dict) else None
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise AnswerError(f'\'{name}\' has no score; give each criterion as {{"reason": "…", "score": 0.5}}')
        if not 0 <= score <= 1:
            raise AnswerError(f"the score of '{name}' is {score:g}; scores lie between 0 and 1")
        reason = item.get("reason") if isinstance(item, dict) else ""
        judged[name] = Judgement(float(score), one_line(str(reason or ""), _REASON_LENGTH))
    return judged
