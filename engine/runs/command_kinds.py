"""The kinds of commands for a run: the fields of each, and how it is handled if no engine is at work.

The engine, the command line and the application read them here, and an answer is the same for all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from engine.errors import EvolveError, UsageError
from engine.journal.events import CommandDone

__all__ = ["COMMANDS", "Answer", "CommandKind", "Refusal", "check_command", "read_answer", "read_moment", "refuse"]

WhenNoEngine = Literal["apply", "keep", "refuse"]
"""`apply`: the caller carries it out at once; `keep`: it waits for the next engine; `refuse`: it needs an engine."""


class Answer(NamedTuple):
    """The answer to a command."""

    ok: bool
    code: str
    """One word for programs: `done`, `unchanged` (it was so already), `kept` (for the next engine) or `retrying` (no
    model has answered yet); for a refusal `refused`, `stopping`, `finished`, `no_engine`, `ended`, or `undone` (taken
    back while it waited for an engine)."""
    text: str
    """For people."""


class Refusal(UsageError):
    """A command that cannot be carried out.

    Args:
        message: why.
        hint: what to do about it.
        code: of the answer.
    """

    def __init__(self, message: str, hint: str = "", code: str = "refused") -> None:
        super().__init__(message, hint)
        self.code = code


@dataclass(frozen=True)
class CommandKind:
    """One kind of command."""

    when_no_engine: WhenNoEngine
    label: str
    """Text of the status line until it is answered."""
    fields: Mapping[str, type]
    """The fields that its data may have; all are optional."""


_NODE: Mapping[str, type] = {"node": int}
_NODES: Mapping[str, type] = {"node": int, "subtree": bool}
_INJECTED: Mapping[str, type] = {"what": str, "text": str, "code": str, "name": str, "parent": int}

COMMANDS: dict[str, CommandKind] = {
    "pause": CommandKind("refuse", "pausing…", {"now": bool}),
    "arm": CommandKind("apply", "noting…", {"at": str, "round": int}),
    "resume": CommandKind("refuse", "resuming…", {}),
    "step": CommandKind("refuse", "stepping…", {}),
    "stop": CommandKind("refuse", "stopping…", {"now": bool, "reason": str}),
    "set": CommandKind("keep", "setting…", {"settings": dict}),
    "inject": CommandKind("keep", "injecting…", _INJECTED),
    "rerun": CommandKind("keep", "asking…", {"node": int, "on": str}),
    "verify": CommandKind("keep", "asking…", {"node": int, "fresh": int}),
    "pin": CommandKind("apply", "pinning…", _NODE),
    "unpin": CommandKind("apply", "unpinning…", _NODE),
    "prune": CommandKind("apply", "pruning…", _NODES),
    "restore": CommandKind("apply", "restoring…", _NODES),
    "star": CommandKind("apply", "marking…", {"node": int, "starred": bool}),
    "comment": CommandKind("apply", "writing…", {"node": int, "text": str}),
    "undo": CommandKind("apply", "undoing…", {}),
}


def check_command(kind: str, data: Mapping[str, Any]) -> None:
    """Raise Refusal for an unknown command, or for data that it does not take."""
    known = COMMANDS.get(kind)
    if known is None:
        raise Refusal(f"this version knows no command '{kind}'", _meant(kind, COMMANDS))
    for name, value in data.items():
        wanted = known.fields.get(name)
        if wanted is None:
            raise Refusal(f"{kind} takes no '{name}'", _meant(name, known.fields))
        # True is an int, too.
        if value is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)):
            raise Refusal(f"{kind}: '{name}' is {value!r}, and should be {_TYPES[wanted]}")


_TYPES = {int: "a whole number", bool: "true or false", str: "a text", dict: "a table"}


def _meant(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean '{close[0]}'?" if close else ""


def read_moment(text: str) -> dict[str, Any]:
    """Return what `arm` takes for a moment that a person typed: `best`, the number of a round, `off` or nothing.

    Raises:
        UsageError: it is no such moment.
    """
    word = text.strip().casefold()
    if word in ("best", "off", ""):
        return {"at": word or "off"}
    if word.isascii() and word.isdigit() and len(word) < 10:
        return {"at": "round", "round": int(word)}
    raise UsageError(f"'{text.strip()[:40]}' is no moment: give best, the number of a round, or off")


def refuse(error: EvolveError) -> Answer:
    """Return the answer to a command that failed."""
    return Answer(False, error.code if isinstance(error, Refusal) else "refused", str(error))


def read_answer(done: CommandDone) -> Answer:
    """Return the answer that an engine recorded; earlier versions recorded no code."""
    return Answer(done.ok, done.code or ("done" if done.ok else "refused"), done.result)
