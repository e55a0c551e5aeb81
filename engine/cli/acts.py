"""Commands that act on a run's nodes: inject, rerun, pin, unpin, prune, restore, star, comment; and on runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.app import RunName, RunsOption, app, pick
from engine.cli.control import command_run
from engine.errors import EvolveError, UsageError
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.runs.manage import delete_run, rename_run
from engine.text import visible

__all__: list[str] = []

NodeNumber = Annotated[int, typer.Argument(metavar="NODE", help="Number of a node.", min=0)]
Subtree = Annotated[bool, typer.Option("--subtree", help="All that descends from it, too.")]


@app.command()
def inject(
    run: RunName,
    program: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A program of your own; it takes the next round.")
    ] = None,
    hint: Annotated[str | None, typer.Option(metavar="TEXT", help="Words that the next designs are shown.")] = None,
    parent: Annotated[
        int | None, typer.Option(metavar="NODE", help="The node that the program was made from.", min=0)
    ] = None,
    runs: RunsOption = None,
) -> None:
    """Give a running run a program or a hint."""
    if (program is None) == (hint is None):
        raise UsageError("inject takes either --program FILE or --hint TEXT")
    data: dict[str, Any] = {"what": "hint", "text": hint}
    if program is not None:
        try:
            code = program.read_text(encoding="utf-8")
        except OSError as exc:
            raise UsageError(f"{program} cannot be read: {exc.strerror}") from None
        except UnicodeDecodeError as exc:
            raise UsageError(f"{program} is no UTF-8 text: {exc.reason} at byte {exc.start}") from None
        data = {"what": "program", "code": code, "name": program.stem, "parent": parent}
    command_run(pick(run, runs), "inject", data)


@app.command()
def rerun(run: RunName, node: NodeNumber, runs: RunsOption = None) -> None:
    """Measure a node once more; its score becomes the mean of its measurements."""
    command_run(pick(run, runs), "rerun", {"node": node})


@app.command()
def pin(run: RunName, node: NodeNumber, runs: RunsOption = None) -> None:
    """Take a node as the parent of every design until it is unpinned."""
    command_run(pick(run, runs), "pin", {"node": node})


@app.command()
def unpin(run: RunName, node: NodeNumber, runs: RunsOption = None) -> None:
    """Sample a pinned node as any other again."""
    command_run(pick(run, runs), "unpin", {"node": node})


@app.command()
def prune(run: RunName, node: NodeNumber, subtree: Subtree = False, runs: RunsOption = None) -> None:
    """Never take a node as a parent again, until it is restored."""
    command_run(pick(run, runs), "prune", {"node": node, "subtree": subtree})


@app.command()
def restore(run: RunName, node: NodeNumber, subtree: Subtree = False, runs: RunsOption = None) -> None:
    """Take a pruned node back."""
    command_run(pick(run, runs), "restore", {"node": node, "subtree": subtree})


@app.command()
def star(
    run: RunName,
    node: NodeNumber,
    off: Annotated[bool, typer.Option("--off", help="Take the star away.")] = False,
    runs: RunsOption = None,
) -> None:
    """Mark a node, to find it again."""
    command_run(pick(run, runs), "star", {"node": node, "starred": not off})


@app.command()
def comment(
    run: RunName,
    words: Annotated[list[str], typer.Argument(metavar="[NODE] TEXT", help="A node's number first, if it is of one.")],
    runs: RunsOption = None,
) -> None:
    """Write something about a run, or about one of its nodes."""
    node = int(words[0]) if len(words) > 1 and words[0].isdecimal() else None
    text = " ".join(words if node is None else words[1:])
    command_run(pick(run, runs), "comment", {"node": node, "text": text})


@app.command()
def rename(
    run: RunName, name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")], runs: RunsOption = None
) -> None:
    """Give a run another name."""
    print(rename_run(pick(run, runs), name).folder)


@app.command()
def delete(
    run: RunName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    runs: RunsOption = None,
) -> None:
    """Delete a run with all that was measured in it."""
    picked = pick(run, runs, ask=False)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("delete asks before it deletes, and here is nobody to answer", "Use --yes")
        question = f"Delete {visible(str(picked.folder))} with {_describe(picked)}?"
        if not typer.confirm(question):
            return
    delete_run(picked)


def _describe(run: Run) -> str:
    try:
        with JournalReader(run.db) as reader:
            return f"{reader.last_seq()} events"
    except EvolveError:
        return "a journal that cannot be read"
