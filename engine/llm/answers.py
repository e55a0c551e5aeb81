"""Read answers of models tolerantly; raise an error that the model can read if an answer cannot be used.

A program is taken from `<program>` tags, else from code fences, else from JSON; else the whole answer is the program.
If there are several, prefer those that are valid programs and define what the task requires.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from engine.llm.blocks import (
    AnswerError,
    Block,
    fence_blocks,
    read_fences,
    tag_blocks,
    tag_text,
    variants,
)
from engine.llm.hunks import apply_hunks, has_hunks, read_hunks
from engine.llm.json_parts import in_object, is_placeholder, json_object
from engine.llm.program_blocks import (
    Budget,
    Reading,
    choose,
    defines,
    fences_in,
    in_program,
    named_parts_removed,
    read_blocks,
)  # fmt: skip
from engine.llm.thoughts import opens_thoughts, without_thoughts
from engine.programs.languages.base import Language
from engine.programs.languages.registry import PYTHON
from engine.programs.outline import ProgramError
from engine.task.spec import Interface
from engine.text import one_line, visible

__all__ = [
    "REPORT_SCHEMA",
    "AnswerError",
    "Findings",
    "Idea",
    "Judgement",
    "Program",
    "holds_hunks",
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
_HUNK = re.compile(
    r"^[ \t]*<{5,9}[ \t]*SEARCH.*?^[ \t]*>{5,9}[ \t]*REPLACE[^\n]*$", re.DOTALL | re.MULTILINE | re.IGNORECASE
)
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


def parse_program(
    text: str, interface: Interface | None = None, *, truncated: bool = False, language: Language = PYTHON
) -> Program:
    """Read an answer that holds a whole program.

    Args:
        text: the answer.
        interface: what a program must define; it tells the program among several blocks. If no program has all of
            it, the best one is returned, and later checks say what is missing.
        truncated: whether the answer ended at the limit of tokens; an unclosed program is then an error.
        language: what it is written in.

    Raises:
        AnswerError: the answer has no program, or was cut off.
    """
    text = without_thoughts(text, partial(in_program, language=language))
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
    budget = Budget()
    fenced = [inner for block in tags for inner in fences_in(block)]
    readings = [read_blocks([*tags, *fenced], budget, language), read_blocks(fences, budget, language)]
    if not tags and not fences and not truncated:
        bare = named_parts_removed(text)
        readings.append(read_blocks([Block(0, len(bare), bare, closed=True)], budget, language, prose=True))
    for fits in (True, False):
        for found in readings:
            chosen = choose(
                [item for item in found if not fits or defines(item.code, required, language)], fits and bool(required)
            )
            if chosen is not None and (chosen.closed or fits):
                return _described(chosen, text)
    return _as_it_stands(text, tags, fences)


def _as_it_stands(text: str, tags: list[Block], fences: list[Block]) -> Program:
    """Return a block that is not a valid program, so that the syntax check can say where."""
    if any(not block.closed for block in tags) or (not tags and read_fences(text)[1]):
        raise AnswerError("nothing closes the program; end it with </program>, and write nothing behind that")
    # From the first opening to the first closing after it, as a reader of the form would take it.
    block = min(tags or fences, key=lambda item: (item.start, item.end), default=None)
    if block is not None and tags:
        block = min(fences_in(block), key=lambda item: (item.start, item.end), default=block)
    if block is None or not block.text.strip():
        raise AnswerError(
            "the answer holds no program; write all of it between <program> and </program>, each on a line of its own"
        )
    return _described(Reading(block.start, block.end, next(variants(block.text)), True), text)


def parse_diff(text: str, parent: str, *, truncated: bool = False, language: Language = PYTHON) -> Program:
    """Read an answer made of SEARCH/REPLACE blocks and apply them, all or none, to the parent's program.

    Raises:
        AnswerError: there are no blocks, one cannot be applied, or blocks may be missing at its cut-off end.
    """
    text = without_thoughts(text, partial(_in_edit, language=language))
    if truncated:
        raise AnswerError("the answer was cut off; write fewer and shorter blocks, and no explanation")
    code = apply_hunks(read_hunks(text), parent)
    around = _HUNK.sub("\n", text)
    return Program(code, *_name_and_motivation(around, around))


def holds_hunks(text: str, language: Language = PYTHON) -> bool:
    """Return whether the answer behind a model's thoughts opens a SEARCH/REPLACE block."""
    try:
        return has_hunks(without_thoughts(text, partial(_in_edit, language=language)))
    except AnswerError:
        return False


def _in_edit(text: str, at: int, language: Language) -> bool:
    """Tell whether an offset lies within a SEARCH/REPLACE block, or within a program."""
    for match in _HUNK.finditer(text):
        if match.start() <= at < match.end():
            # A block that thoughts left open seems to reach to the end of the answer's.
            left_open = has_hunks(text[at : match.end()]) and opens_thoughts(text[: match.start()])
            return not left_open
    return in_program(text, at, language)


def parse_parts(
    text: str, interface: Interface | None = None, *, truncated: bool = False, language: Language = PYTHON
) -> Program:
    """Read an answer that holds parts of a program, in one code fence or in several.

    Raises:
        AnswerError: there are no parts, one is not valid, or the answer was cut off so that some may be missing.
    """
    whole = parse_program(text, interface, truncated=truncated, language=language)
    text = without_thoughts(text, partial(in_program, language=language))
    blocks, _ = read_fences(text)
    parts = [next(variants(block)) for info, block in blocks if not info or info in language.fences]
    if truncated:
        raise AnswerError(_CUT)
    if len(parts) < 2 or tag_blocks(text, "program", "code"):
        return whole
    for number, part in enumerate(parts, start=1):
        try:
            language.outline(part)
        except ProgramError as exc:
            raise AnswerError(
                f"code block {number} of the answer is not valid {language.title}: {exc.reason}"
            ) from None
    return replace(whole, code="\n\n".join(parts))


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


def _described(chosen: Reading, text: str) -> Program:
    before, behind = text[: chosen.start], text[chosen.end :]
    return Program(chosen.code, *_name_and_motivation(before + "\n" + behind, before, behind))


def _name_and_motivation(around: str, *proses: str) -> tuple[str, str]:
    """Return name and motivation from the text around a program; without a motivation, the first of `proses` is it."""
    name = tag_text(around, "name") or _labelled(around, "name")
    motivation = tag_text(around, "motivation") or _labelled(around, "motivation")
    for prose in proses:
        plain = re.sub(r"<[^<>\n]{1,40}>|`{3,}[^\n]*|~{3,}[^\n]*", " ", named_parts_removed(prose))
        motivation = motivation or plain.strip()
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


def parse_report(text: str, *, truncated: bool = False) -> Findings:
    """Read an Analyzer's answer: JSON, or the same parts in tags.

    Args:
        text: the answer.
        truncated: whether it ended at the limit of tokens; then only complete JSON counts.

    Raises:
        AnswerError: the answer has no lesson.
    """
    text = without_thoughts(text, in_object)
    report = json_object(text, "lesson", usable=_has_lesson, mend=not truncated)
    found: dict[str, Any] = report or {name: tag_text(text, name) for name in ("lesson", "causes", "next_step", "note")}
    lesson = one_line(str(found.get("lesson") or ""), _LESSON_LENGTH)
    if not lesson or is_placeholder(lesson):
        raise AnswerError("the answer holds no lesson; answer with the JSON object that is asked for and nothing else")
    return Findings(
        lesson=lesson,
        note=_markdown(found.get("note")),
        causes=tuple(one_line(cause, _REASON_LENGTH) for cause in _items(found.get("causes")))[:8],
        next_step=one_line(str(found.get("next_step") or ""), _REASON_LENGTH),
        priors=tuple(_ideas(found.get("priors")))[:3],
    )


def _has_lesson(found: dict[str, Any]) -> bool:
    return bool(found.get("lesson")) and not is_placeholder(found["lesson"])


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
    found = json_object(without_thoughts(text, in_object), *criteria, usable=_is_judged)
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


def _is_judged(found: dict[str, Any]) -> bool:
    """Tell a judgement from the example in the prompt, whose reasons are dots."""
    reasons = [item["reason"] for item in found.values() if isinstance(item, dict) and "reason" in item]
    return not reasons or not all(reason and is_placeholder(reason) for reason in reasons)
