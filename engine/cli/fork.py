"""`evolve fork`: start a new run from a prefix of another run."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from engine.cli.app import JsonOption, RunName, RunsOption, app, folder_of, pick, print_json
from engine.cli.options import SetOption
from engine.journal.reader import JournalReader
from engine.runs.fork import fork_run
from engine.runs.review import agree_to_change
from engine.settings.decode import deep_merge
from engine.settings.model import parse_setting
from engine.state.fold import fold_run

__all__: list[str] = []


@app.command()
def fork(
    run: RunName,
    at: Annotated[int | None, typer.Option(metavar="SEQ", help="Last event to keep; by default the newest.")] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the random draws after the fork; by default the run's.")
    ] = None,
    priors_at_seq: Annotated[
        bool, typer.Option("--priors-at-seq", help="Use the priors as they were at that event, not as they are today.")
    ] = False,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the new run.")] = "",
    set_: SetOption = None,
    runs: RunsOption = None,
    allow_network_fs: Annotated[
        bool, typer.Option("--allow-network-fs", help="Allow the run on a network file system.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fork a run: copy it up to an event into a new run and print its path. 'evolve resume' goes on with it."""
    source = pick(run, runs)
    change: dict[str, Any] = {}
    for text in set_ or []:
        change = deep_merge(change, parse_setting(text))
    made = fork_run(
        source, folder_of(runs), at_seq=at, seed=seed, priors_at_seq=priors_at_seq, change=change, name=name,
        allow_network_fs=allow_network_fs,
    )  # fmt: skip
    if change:
        with JournalReader(source.db) as reader:
            agree_to_change(made.run, fold_run(reader, made.at_seq), change)
    if json:
        print_json({"run": str(made.run.folder), "parent": str(source.folder), "at_seq": made.at_seq})
        return
    print(made.run.folder)
    told = f"forked from '{source.name}' at event {made.at_seq}"
    if made.own_priors is not None:
        told += f" with {made.own_priors} priors of its own in {made.run.folder / 'priors'}"
    print(f"{told}; 'evolve resume {made.run.name}' goes on with it", file=sys.stderr)
