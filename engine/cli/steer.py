"""Commands that steer a run: pause, step, stop, set."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
import typer

from engine.cli.app import RunArgument, RunName, RunsOption, app, pick
from engine.errors import RunError, UsageError
from engine.journal.reader import JournalReader
from engine.runs.asking import ask
from engine.runs.changes import check_set
from engine.runs.command_kinds import Answer, read_moment
from engine.runs.folder import Run, is_alive
from engine.runs.review import agree_to_change
from engine.settings.decode import deep_merge
from engine.settings.model import parse_setting
from engine.state.fold import fold_run

__all__ = ["command_run", "require_ok"]

_STOP_SECONDS = 10.0


@app.command()
def pause(
    run: RunArgument = None,
    now: Annotated[bool, typer.Option("--now", help="Freeze running evaluations too.")] = False,
    at: Annotated[
        str,
        typer.Option(
            metavar="WHEN",
            help="Pause later: 'best', at the next new best; a number, when that round ends; 'off', not any more.",
        ),
    ] = "",
    runs: RunsOption = None,
) -> None:
    """Pause a run: let running stages finish and start none."""
    if at and now:
        raise UsageError("--at and --now exclude each other")
    if at:
        command_run(pick(run, runs), "arm", read_moment(at))
    else:
        command_run(pick(run, runs), "pause", {"now": now})


@app.command()
def step(run: RunArgument = None, runs: RunsOption = None) -> None:
    """Run one round of a paused run to its end."""
    command_run(pick(run, runs), "step", {})


@app.command()
def stop(
    run: RunArgument = None,
    now: Annotated[bool, typer.Option("--now", help="End running evaluations; they run again on resume.")] = False,
    runs: RunsOption = None,
) -> None:
    """End a run's engine after the running stages. 'evolve resume' goes on from there."""
    picked = pick(run, runs)
    command_run(picked, "stop", {"now": now})
    if now:
        deadline = time.monotonic() + _STOP_SECONDS
        while is_alive(picked) and time.monotonic() < deadline:
            time.sleep(0.05)


@app.command(name="set")
def set_setting(
    run: RunName,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE", help="For example rounds=300.")],
    runs: RunsOption = None,
) -> None:
    """Change settings of a run. Without an engine they are kept for its next start."""
    picked = pick(run, runs)
    change: dict[str, Any] = {}
    for text in assignments:
        change = deep_merge(change, parse_setting(text))
    with JournalReader(picked.db) as reader:
        state = fold_run(reader)
    check_set(state.settings, change)
    command_run(picked, "set", {"settings": msgspec.to_builtins(change)})
    agree_to_change(picked, state, change)


def command_run(run: Run, kind: str, data: dict[str, Any]) -> None:
    """Send a command to a run and print the answer.

    Raises:
        RunError: the command was refused, or there was no answer.
    """
    print(require_ok(run, ask(run, kind, data)).text)


def require_ok(run: Run, answer: Answer) -> Answer:
    """Return the answer; raise RunError if it is a refusal."""
    if not answer.ok:
        raise RunError(f"run '{run.name}': {answer.text}")
    return answer
