"""Commands that tell how a run stands, in words: digest, status."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from engine.cli.app import JsonOption, RunArgument, RunsOption, app, existing_folder, pick, print_json
from engine.errors import EvolveError
from engine.journal.clock import local_time, now_ms
from engine.journal.reader import JournalReader
from engine.runs.digest import describe_digest, describe_span, digest_run, parse_since
from engine.runs.folder import Run, all_runs, is_alive
from engine.runs.seen import last_seen
from engine.runs.status import summary_now
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from engine.state.standstill_told import standstill_cell, standstill_entry
from engine.state.trouble import in_vain
from engine.text import counted, one_line, visible

__all__: list[str] = []

_SIGNS = {"running": "●", "paused": "‖", "dead": "✗", "failed": "✗"}


@app.command()
def digest(
    run: RunArgument = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="3h, 90m, 2d, 14:30, '2026-11-29 02:10'; by default since you last watched it."
        ),
    ] = None,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Tell what happened in a run since you last watched it, or since a time."""
    picked = pick(run, runs)
    seen, now = last_seen(picked), now_ms()
    found, state = digest_run(picked, parse_since(since, now) if since is not None else seen)
    entry = summary_now(picked, state)
    if json:
        print_json({**entry, "digest": {**msgspec.to_builtins(found), "metric": state.ranking.name}})
        return
    span, at = describe_span(now - found.since), local_time(found.since)
    if found.since == state.started_at:
        when = f"since its start on {at}"
    elif since is None:
        when = f"since you left, {span} ago ({at})"
    else:
        when = f"since {at}, {span} ago"
    print(f"{visible(picked.name)}, {entry['status']}, {when}:")
    for line in describe_digest(found, state.ranking.name):
        print(f"  {visible(line)}")


@app.command()
def status(run: RunArgument = None, runs: RunsOption = None, json: JsonOption = False) -> None:
    """Print how a run stands in one line, for a shell's prompt or tmux; nothing and exit code 1 if there is no run."""
    if run is None and not any(True for _ in all_runs(existing_folder(runs))):
        raise typer.Exit(1)
    picked = pick(run, runs, ask=False)
    with JournalReader(picked.db) as reader:
        state = fold_run(reader)
    others = _others_at_work(picked) if run is None else 0
    entry: dict[str, Any] = dict(summary_now(picked, state))
    vain = sum(in_vain(state).values())
    if json:
        more = {"rounds_asked": state.settings.rounds, "in_vain": vain, "others_running": others}
        print_json({**entry, **more, "standstill": standstill_entry(state)})
        return
    print(_line(picked, state, entry["status"], vain, others))


def _others_at_work(run: Run) -> int:
    found = 0
    for other in all_runs(run.folder.parent):
        try:
            found += other.folder != run.folder and is_alive(other)
        except EvolveError:
            continue
    return found


def _line(run: Run, state: RunState, status: str, vain: int, others: int) -> str:
    best, ranking = state.best_node, state.ranking
    parts = [
        one_line(run.name, 60), f"{_SIGNS.get(status, '■')} {status}", f"{state.rounds_done}/{state.settings.rounds}",
        f"{ranking.name} {ranking.brief(best)} #{best.id}" if best is not None else "no score",
        *([standstill_cell(state)] if standstill_cell(state) else []),
        *([f"${state.usd:.2f}"] if state.usd else []), *([f"{vain:,} in vain"] if vain else []),
        *([_beside(others, status)] if others else []),
    ]  # fmt: skip
    if status == "paused" and state.reason:
        parts.append(one_line(run.filled(state.reason), 80))
    return visible("  ".join(parts))


def _beside(others: int, status: str) -> str:
    """Return how many other runs are at work; beside a dead one '+1 running' would be read as its own."""
    return f"+{others} running" if status == "running" else f"{counted(others, 'other run')} at work"
