"""Ask a model once in each role, shortly and for real, and say what its endpoint can do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import msgspec

from engine.llm.answers import (
    REPORT_SCHEMA,
    AnswerError,
    judgement_schema,
    parse_judgement,
    parse_program,
    parse_report,
)
from engine.llm.client import Client, Reply, Retry, Spent
from engine.llm.faults import Fault
from engine.llm.messages import Message, Role
from engine.llm.thoughts import opens_thoughts
from engine.settings.models import ModelSpec
from engine.task.spec import Interface

__all__ = ["ROLES", "Trial", "try_role"]

ROLES: tuple[Role, ...] = get_args(Role)

_CAP = 2_000
"""Tokens of an answer, thoughts left out, at which to hang up: a usual one has some fifty."""
_FIRST_SECONDS, _TOTAL_SECONDS = 300.0, 600.0
_SYSTEM = "You improve small Python programs. Answer in the form that is asked for, and be brief."
_PROGRAM = "def double(x):\n    return x + x\n"
_CRITERION = "plain"
_ASKED: Mapping[Role, str] = {
    "researcher": (
        f"Rewrite this program so that it multiplies:\n\n{_PROGRAM}\nWrite the whole program between <program> and "
        "</program>, each on a line of its own, and nothing else."
    ),
    "fixer": (
        "This program fails with a SyntaxError:\n\ndef double(x)\n    return x + x\n\nWrite the mended program between "
        "<program> and </program>, each on a line of its own, and nothing else."
    ),
    "analyzer": (
        f"This program was measured, and it is as fast as its parent:\n\n{_PROGRAM}\nSay in one sentence what that "
        'teaches. Answer with a JSON object of the keys "lesson" (a text), "causes" (a list of texts), "next_step" (a '
        'text), "note" (a text) and "priors" (an empty list), and nothing else.'
    ),
    "judge": (
        f"Mark this program by how plain it is, from 0 to 1:\n\n{_PROGRAM}\nAnswer with a JSON object of the key "
        f'"{_CRITERION}" that holds an object of the keys "reason" (a text) and "score" (a number), and nothing else.'
    ),
}
_SCHEMAS: Mapping[Role, dict[str, Any]] = {"analyzer": REPORT_SCHEMA, "judge": judgement_schema([_CRITERION])}
_READ: Mapping[Role, Callable[[str], object]] = {
    "researcher": lambda text: parse_program(text, Interface(functions=["double"])),
    "fixer": lambda text: parse_program(text, Interface(functions=["double"])),
    "analyzer": parse_report,
    "judge": lambda text: parse_judgement(text, [_CRITERION]),
}


@dataclass
class Trial:
    """What one call showed."""

    role: Role
    fault: Fault | None = None
    unusable: str = ""
    """Why the answer could not be used; empty if it could."""
    streamed: bool = False
    counted: bool = False
    """Whether the endpoint counted tokens."""
    schema: bool | None = None
    """Whether it took a schema; None if none was sent."""
    strays: bool = False
    """Whether it took a schema, and answered in another form."""
    cut: bool = False
    """Whether the endpoint ended the answer at a limit of tokens."""
    responses: bool = False
    """Whether it was asked by the Responses API."""
    thoughts: str = ""
    """Where the thoughts stood; empty without any."""
    tokens_per_second: float = 0.0
    spent: Spent = field(default_factory=Spent)
    changes: list[str] = field(default_factory=list)
    """What the endpoint refused, and how it was asked then."""


async def try_role(client: Client, spec: ModelSpec, role: Role) -> Trial:
    """Ask a model once in a role."""
    trial = Trial(role)
    spec = msgspec.structs.replace(
        spec,
        retries=0,
        first_token_seconds=spec.first_token_seconds or _FIRST_SECONDS,
        total_seconds=spec.total_seconds or _TOTAL_SECONDS,
    )
    schema = _SCHEMAS.get(role)
    began = time.monotonic()
    first: list[float] = []

    def on_text(piece: str, thought: bool) -> None:
        if piece and not first:
            first.append(time.monotonic())

    def on_retry(retry: Retry) -> None:
        trial.changes.append(retry.reason)

    messages = [Message("system", _SYSTEM), Message("user", _ASKED[role])]
    try:
        reply = await client.ask(spec, messages, trial.spent, on_text, schema, cap=_CAP, on_retry=on_retry)
    except Fault as fault:
        trial.fault = fault
        return trial
    seconds = time.monotonic() - began
    if first and reply.streamed and time.monotonic() - first[0] > seconds / 10:
        # Pieces that came all at once say nothing about the speed of writing.
        seconds = time.monotonic() - first[0]
    trial.streamed, trial.counted = reply.streamed, reply.counted
    trial.tokens_per_second = trial.spent.tokens_out / max(seconds, 1e-3)
    trial.responses = client.form_of(spec).api == "responses"
    trial.thoughts = reply.thoughts_in or ("the text" if opens_thoughts(reply.text) else "")
    trial.schema = client.form_of(spec).schema if schema is not None and spec.structured != "off" else None
    trial.cut = reply.truncated and not reply.ended_by
    trial.strays = bool(trial.schema) and not (reply.truncated or reply.refused or _is_json(reply.text))
    trial.unusable = _unusable(reply, role, trial.spent.tokens_out)
    return trial


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _unusable(reply: Reply, role: Role, tokens: int) -> str:
    if reply.refused:
        return "the model declined to answer"
    if reply.truncated:
        return f"the answer was cut off at {tokens:,} tokens"
    try:
        _READ[role](reply.text)
    except AnswerError as exc:
        return str(exc)
    return ""
