"""Asking something of a run: its engine answers, or, if it has none, whoever asks does what can be done without one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from engine.errors import EvolveError, JournalError, RunError
from engine.journal.database import Command, encode_command, make_plain, send_command
from engine.journal.events import SettingsChanged
from engine.journal.reader import JournalReader
from engine.runs.command_kinds import COMMANDS, Answer, Refusal, check_command, read_answer, refuse
from engine.runs.effects import EFFECTS
from engine.runs.folder import Run, is_alive, lock_run
from engine.runs.resting import RestingRun, check_writable
from engine.runs.status import summarize
from engine.runs.undo import undoable

__all__ = ["ask", "carry_out", "hand_over"]

_ANSWER_SECONDS = 10.0
_OF_THE_SEARCH = {"pin", "unpin", "prune", "restore", "inject", "arm"}
"""Commands that mean nothing to a run that does not go on."""


def ask(run: Run, kind: str, data: Mapping[str, Any] | None = None) -> Answer:
    """Ask something of a run and wait for the answer.

    Args:
        run: the run.
        kind: one of `COMMANDS`.
        data: its fields.

    Raises:
        RunError: the run cannot be written, or its engine gave no answer within 10 s.
        JournalError: the run cannot be read or written.
    """
    with JournalReader(run.db) as reader:
        before = reader.last_seq()
        handed = hand_over(run, kind, data)
        if isinstance(handed, Answer):
            return handed
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            alive = is_alive(run)
            done = reader.answer_to(handed, before) if reader.changed() or not alive else None
            answer = read_answer(done) if done is not None else None if alive else carry_out(run, kind, data, handed)
            if answer is not None:
                return answer
            time.sleep(0.03)
    raise RunError(
        f"the engine of '{run.name}' has not answered within {_ANSWER_SECONDS:g} s", "It will when it can; see its log"
    )


def hand_over(run: Run, kind: str, data: Mapping[str, Any] | None = None, key: str = "") -> int | Answer:
    """Give a run a command: the id under which its engine answers, or the answer if no engine is at work.

    Args:
        run: the run.
        kind: one of `COMMANDS`.
        data: its fields.
        key: what to press to let the run go on, for people who see no command line.

    Raises:
        RunError: the run cannot be written.
        JournalError: the run cannot be read or written.
    """
    try:
        check_command(kind, data or {})
    except Refusal as exc:
        return refuse(exc)
    answer = None if is_alive(run) else carry_out(run, kind, data, key=key)
    return send_command(run.db, kind, dict(data or {})) if answer is None else answer


def carry_out(
    run: Run, kind: str, data: Mapping[str, Any] | None = None, command_id: int | None = None, key: str = ""
) -> Answer | None:
    """Carry out or keep a command without an engine; None if an engine has started meanwhile.

    Args:
        run: the run.
        kind: one of `COMMANDS`.
        data: its fields.
        command_id: of a command that its engine left unanswered.
        key: what to press to let the run go on, for people who see no command line.

    Raises:
        RunError: the run cannot be written.
        JournalError: the run cannot be read or written.
    """
    rule, given = COMMANDS[kind].when_no_engine, dict(data or {})
    starts = key or f"'evolve resume {run.typed}'"
    more = (key or f"'evolve resume {run.typed} --rounds N'") + " gives it more rounds"
    if rule == "refuse":
        if command_id is not None:
            return Answer(False, "ended", "the engine ended before it answered")
        status = summarize(run)["status"]
        hint = more if status == "finished" else f"{starts} starts one"
        return refuse(Refusal(f"no engine is at work, the run is {status}", hint, "no_engine"))
    check_writable(run)
    try:
        if kind == "undo" and (taken := _take_back_waiting(run, command_id)) is not None:
            return taken
        if rule == "keep":
            return _keep(run, kind, given, command_id, more)
        with lock_run(run, engine=False):
            return _apply(run, kind, given, command_id, more)
    except RunError:
        # The holder of the lock may be an engine.
        if is_alive(run):
            return None
        raise
    except JournalError:
        raise
    except EvolveError as exc:
        answer = refuse(exc)
        return answer._replace(text=f"{answer.text}: {more}") if answer.code == "finished" else answer


def _take_back_waiting(run: Run, command_id: int | None) -> Answer | None:
    """Take back the newest command that waits for the run's next engine; None if another act came after it.

    Args:
        run: the run.
        command_id: of an undo that its engine left unanswered; what was asked for later stays.
    """
    if _newest_waiting(run, command_id) is None:
        return None
    with lock_run(run, engine=False), RestingRun(run) as resting:
        # Whoever held the lock before may have answered it.
        newest = _newest_waiting(run, command_id)
        last = undoable(resting.state)
        if newest is None or (last is not None and last.at > newest.at):
            return None
        told = f"taken back: {newest.kind}, which waited for the run's next start"
        resting.write_answer(newest.kind, "", [], Answer(False, "undone", told), newest.id)
        answer = Answer(True, "done", told)
        if command_id is not None:
            # Else the next engine would undo once more.
            resting.write_answer("undo", "", [], answer, command_id)
    return answer


def _newest_waiting(run: Run, before: int | None) -> Command | None:
    with JournalReader(run.db) as reader:
        waiting = [
            command
            for command in reader.pending()
            if (before is None or command.id < before)
            and command.kind in COMMANDS
            and COMMANDS[command.kind].when_no_engine == "keep"
        ]
    return waiting[-1] if waiting else None


def _keep(run: Run, kind: str, data: dict[str, Any], command_id: int | None, more: str) -> Answer:
    """Keep a command for the run's next engine, if the command is valid now."""
    with RestingRun(run) as resting:
        resting.expect_pending(command_id)
        outcome = EFFECTS[kind](resting, data)
        text = f"kept for the run's next start: {outcome.text}{_condition(resting, kind, more)}"
    if command_id is None:
        send_command(run.db, kind, data)
        if not is_alive(run):
            make_plain(run.db)
    return Answer(True, "kept", text)


def _apply(run: Run, kind: str, data: dict[str, Any], command_id: int | None, more: str) -> Answer:
    """Carry out a command; the caller holds the run's lock."""
    raw = encode_command(kind, data)
    with RestingRun(run) as resting:
        outcome = EFFECTS[kind](resting, data)
        if any(isinstance(item, SettingsChanged) and "fitness" in item.settings for item, _ in outcome.effects):
            raise Refusal("another fitness makes another node the best, which needs an engine", "Start one first")
        answer = Answer(True, outcome.code, outcome.text + _condition(resting, kind, more))
        if outcome.effects:
            resting.write_answer(kind, raw, outcome.effects, answer, command_id)
    return answer


def _condition(resting: RestingRun, kind: str, more: str) -> str:
    """Return what must happen before a command can affect the search; empty if nothing."""
    return "" if resting.goes_on or kind not in _OF_THE_SEARCH else f"; the run is finished: {more}"
