"""What is recorded of a command that designs: what it was given, how it ended, what it said, cost and left."""

from __future__ import annotations

import base64
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from engine.evaluation.outcome import Outcome
from engine.journal.events import CallTold
from engine.llm.command import Left, ReadProgram
from engine.llm.secrets import hide, is_secret
from engine.programs.errors import ProgramError
from engine.settings.command import CommandSettings
from engine.text import one_line, without_codes

__all__ = ["Ended", "Usage", "cost_told", "prompt_of", "read_end", "usage_of"]

_MOST_OF_A_NOTE = 2000
_MOST_OF_A_REASON = 400
_MOST_OF_A_FILE = 1 << 18
"""Bytes of a file that is recorded with what a command was given; of a longer one its length is."""
_MOST_OF_ALL = 1 << 20
"""Bytes of all files that are recorded with one design; of those that find no room their length is."""
_LARGEST = 1e12
_NOT_TOLD = "what it left was not told in a form that can be read"


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`usage.json`: what a command says that its design cost."""

    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    """How many of `tokens_in` were cached."""
    usd: float | None = None
    """US dollars; None if they are not known."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            # Comparisons alone: an integer may be too large to become a float, and NaN is in no range.
            if value is not None and not 0 <= value < _LARGEST:
                raise ValueError(f"`{name}` must be a number from 0, below 10^12")
        if self.tokens_cached > self.tokens_in:
            raise ValueError("`tokens_cached` must not be above `tokens_in`")


class _Told(msgspec.Struct, frozen=True):
    """How a command ended, as the harness tells it from within the sandbox."""

    code: int | None
    ended: Literal["", "seconds", "tokens"]
    running: bool
    problem: str
    files: dict[str, str]
    usage: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Ended:
    """The end of a command."""

    left: Left
    transcript: str
    """What it printed, harmless and without secrets; of a long one the beginning and the end."""
    usage: Usage | None
    """None if it told none that can be read."""


def prompt_of(files: Mapping[str, bytes]) -> bytes:
    """Return what a command is given, in the form of a recorded prompt: a message for each file, README.md first."""
    messages, room = [], _MOST_OF_ALL
    for path in sorted(files, key=lambda path: (path != "README.md", "/" in path, path)):
        content = files[path]
        text = f"({len(content):,} bytes)"
        if len(content) <= min(room, _MOST_OF_A_FILE):
            text, room = content.decode("utf-8", "replace"), room - len(content)
        messages.append({"role": path, "content": text})
    return msgspec.json.encode({"messages": messages, "schema": None})


def read_end(outcome: Outcome, read: ReadProgram, settings: CommandSettings, secrets: Mapping[str, str]) -> Ended:
    """Return how a command ended.

    Args:
        outcome: of its errand.
        read: makes a program of the files that it left.
        settings: with which it was run.
        secrets: the values of the variables that it got, by name.
    """
    transcript = hide(without_codes(outcome.stdout.decode("utf-8", "replace")), secrets.values())
    told = _decode(outcome.built) if outcome.status == "ok" else None
    usage, wrong = _usage(told.usage if told is not None else "")
    if told is not None:
        problem = _fault(told, settings, transcript) or wrong
    elif outcome.status == "ok":
        problem = _NOT_TOLD
    else:
        problem = f"the command was ended: {_limit_named(outcome.reason)}"
    code = ""
    if told is not None and not problem:
        try:
            code = read({path: base64.b64decode(content) for path, content in told.files.items()})
        except ProgramError as exc:
            problem = exc.reason
        except ValueError:
            problem = _NOT_TOLD
    leaked = sorted(name for name, value in secrets.items() if is_secret(value) and value in code)
    if leaked:
        code, problem = "", f"its program holds the value of {', '.join(leaked)}"
    notes = base64.b64decode(told.notes).decode("utf-8", "replace") if told is not None else ""
    notes = hide(without_codes(notes), secrets.values())[:_MOST_OF_A_NOTE]
    told_problem = one_line(hide(problem, secrets.values()), _MOST_OF_A_REASON)
    return Ended(Left("" if problem else code, notes, told_problem), transcript, usage)


def _limit_named(reason: str) -> str:
    """Return why an errand was ended, with the setting that counts."""
    setting = "memory_mb" if reason.startswith("memory limit") else "processes" if "processes" in reason else ""
    named = f"; command.{setting} is the limit" if setting else ""
    return reason.replace("the evaluator", "what runs it") + named


def _decode(text: str) -> _Told | None:
    """Return what the harness told; None if that is no such message, since the command may have forged it."""
    try:
        told = msgspec.json.decode(text, type=_Told)
        base64.b64decode(told.notes, validate=True), base64.b64decode(told.usage, validate=True)
        return told
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _fault(told: _Told, settings: CommandSettings, transcript: str) -> str:
    """Return why a command that ran left no program; empty if it may have."""
    if told.ended == "seconds":
        return f"it took longer than {settings.seconds:g} s; command.seconds is the limit"
    if told.ended == "tokens":
        return f"it took more than {settings.tokens:,} tokens; command.tokens is the limit"
    if told.code is None:
        return f"{told.problem}; command.readable names what it may read, such as the folder where it is installed"
    if told.code:
        lines = [line.strip() for line in transcript.splitlines() if line.strip()]
        return f"it ended with {_how(told.code)}: {lines[-1] if lines else 'it said nothing'}"
    if told.running:
        return "it left processes running that could not be ended"
    return told.problem


def _how(code: int) -> str:
    """Return how a process ended that did not end well."""
    if code > 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _usage(encoded: str) -> tuple[Usage | None, str]:
    """Return what usage.json says, and why it cannot be read; empty if it can, or if there is none."""
    if not encoded:
        return None, ""
    try:
        return msgspec.json.decode(base64.b64decode(encoded), type=Usage), ""
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        return None, f"its usage.json cannot be counted: {exc}"


def usage_of(values: Mapping[str, float]) -> Usage | None:
    """Return what a command says while it works, by the names in usage.json; None if it cannot be counted."""
    try:
        return msgspec.convert(dict(values), Usage)
    except (msgspec.ValidationError, ValueError):
        return None


def cost_told(said: Usage | CallTold | None) -> dict[str, Any]:
    """Return what a command said that its design cost, as fields of `call.done`; None if it said nothing."""
    if said is None:
        return {"priced": False}
    return {
        "tokens_in": said.tokens_in, "tokens_out": said.tokens_out, "tokens_cached": said.tokens_cached,
        "usd": said.usd or 0.0, "priced": said.usd is not None,
    }  # fmt: skip
