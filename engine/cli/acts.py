"""Commands that change nodes (inject, rerun, pin, unpin, prune, restore, star, comment), undo, rename, delete."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.app import RunName, RunsOption, app, pick
from engine.cli.node_name import NodeNumber, parse_node, resolve_in
from engine.cli.programs import read_program
from engine.cli.steer import command_run
from engine.errors import EvolveError, UsageError
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.runs.manage import delete_run, rename_run
from engine.state.fold import first_state
from engine.text import visible

__all__: list[str] = []

Subtree = Annotated[bool, typer.Option("--subtree", help="Include all its descendants.")]


def _ask_about(run: Run, kind: str, node: int, **more: Any) -> None:
    """Ask for an act on a node, as `parse_node` read it."""
    command_run(run, kind, {"node": resolve_in(run, node), **more})


@app.command()
def inject(
    run: RunName,
    program: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your own program, a folder if it has several files; it takes a round."),
    ] = None,
    hint: Annotated[str | None, typer.Option(metavar="TEXT", help="Text to show to the next designs.")] = None,
    parent: Annotated[
        int | None, typer.Option(metavar="NODE", help="The node that the program derives from.", parser=parse_node)
    ] = None,
    runs: RunsOption = None,
) -> None:
    """Inject a program or a hint into a run."""
    if (program is None) == (hint is None):
        raise UsageError("inject takes either --program FILE or --hint TEXT")
    data: dict[str, Any] = {"what": "hint", "text": hint}
    picked = pick(run, runs)
    if program is not None:
        with JournalReader(picked.db) as reader:
            spec = first_state(reader).spec
        try:
            code = read_program(program, spec)
        except OSError as exc:
            raise UsageError(f"{program} cannot be read: {exc.strerror}") from None
        except UnicodeDecodeError as exc:
            raise UsageError(f"{program} is not UTF-8 text: {exc.reason} at byte {exc.start}") from None
        above = None if parent is None else resolve_in(picked, parent)
        data = {"what": "program", "code": code, "name": program.stem, "parent": above}
    command_run(picked, "inject", data)


@app.command()
def rerun(
    run: RunName,
    node: NodeNumber,
    runs: RunsOption = None,
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="MACHINE",
            help="A machine of the cluster; its parent is measured there, too, if another kind had measured that.",
        ),
    ] = "",
) -> None:
    """Measure a node again; its score becomes the mean of its measurements."""
    _ask_about(pick(run, runs), "rerun", node, **({"on": on} if on else {}))


@app.command()
def pin(run: RunName, node: NodeNumber, runs: RunsOption = None) -> None:
    """Use a node as the parent of every design until it is unpinned."""
    _ask_about(pick(run, runs), "pin", node)


@app.command()
def unpin(run: RunName, node: NodeNumber, runs: RunsOption = None) -> None:
    """Sample a pinned node like any other node again."""
    _ask_about(pick(run, runs), "unpin", node)


@app.command()
def prune(run: RunName, node: NodeNumber, subtree: Subtree = False, runs: RunsOption = None) -> None:
    """Exclude a node from sampling until it is restored."""
    _ask_about(pick(run, runs), "prune", node, subtree=subtree)


@app.command()
def restore(run: RunName, node: NodeNumber, subtree: Subtree = False, runs: RunsOption = None) -> None:
    """Restore a pruned node: sample it again."""
    _ask_about(pick(run, runs), "restore", node, subtree=subtree)


@app.command()
def star(
    run: RunName,
    node: NodeNumber,
    off: Annotated[bool, typer.Option("--off", help="Remove the star.")] = False,
    runs: RunsOption = None,
) -> None:
    """Star a node to find it again."""
    _ask_about(pick(run, runs), "star", node, starred=not off)


@app.command()
def comment(
    run: RunName,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[NODE] TEXT",
            help="The comment; if it is about one node, after its number, or 'best' and then the text in quotes.",
        ),
    ],
    runs: RunsOption = None,
) -> None:
    """Comment on a run, or on one of its nodes."""
    # A comment may begin with the word: 'best so far'.
    if len(words) > 1 and (words[0].isdecimal() or (words[0] == "best" and len(words) == 2)):
        _ask_about(pick(run, runs), "comment", parse_node(words[0]), text=" ".join(words[1:]))
    else:
        command_run(pick(run, runs), "comment", {"node": None, "text": " ".join(words)})


@app.command()
def undo(run: RunName, runs: RunsOption = None) -> None:
    """Take back the last act: a star, pin, pruning, comment, hint, setting, later pause, or a program that waits."""
    command_run(pick(run, runs), "undo", {})


@app.command()
def rename(
    run: RunName, name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")], runs: RunsOption = None
) -> None:
    """Rename a run."""
    print(rename_run(pick(run, runs), name).folder)


@app.command()
def delete(
    run: RunName,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    runs: RunsOption = None,
) -> None:
    """Delete a run with all its results."""
    picked = pick(run, runs, ask=False)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("delete asks before it deletes, and this is not a terminal", "Use --yes")
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
