"""Options that several commands about a run share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.complete import run_names

if TYPE_CHECKING:
    from engine.runs.folder import Run
    from engine.runs.warm import Warm
    from engine.task.spec import Task

__all__ = [
    "Address",
    "Detach",
    "ExecutorOption",
    "Headless",
    "Hours",
    "Patience",
    "PatienceEndpoint",
    "Rounds",
    "SetOption",
    "Slots",
    "Target",
    "Tokens",
    "Usd",
    "WarmOption",
    "Workers",
    "place_of",
    "warm_start",
]

Rounds = Annotated[int | None, typer.Option(metavar="N", help="Rounds in all.", min=0)]
Hours = Annotated[float | None, typer.Option(metavar="H", help="Stop after this many hours of engine time.", min=0)]
Usd = Annotated[
    float | None, typer.Option(metavar="X", help="Stop when the models have cost this many US dollars.", min=0)
]
Tokens = Annotated[
    int | None, typer.Option(metavar="N", help="Stop when the models have used this many tokens.", min=0)
]
Target = Annotated[float | None, typer.Option(metavar="X", help="Finish when the best score reaches this value.")]
Patience = Annotated[
    int | None, typer.Option(metavar="N", help="Finish after this many rounds without a new best.", min=1)
]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Rounds in flight; by default slots + 2.", min=1)]
Slots = Annotated[int | None, typer.Option(metavar="N", help="Evaluations at once; by default one per core.", min=1)]
ExecutorOption = Annotated[
    str | None,
    typer.Option("--executor", metavar="NAME", help="Where evaluations run: local, or ray or slurm for a cluster."),
]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="ray: the cluster's head; by default the cluster of this machine."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, for example sampler.c=0.2.")
]
Headless = Annotated[
    bool, typer.Option("--headless", help="Run the engine in the foreground and print progress on stderr.")
]
PatienceEndpoint = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="With --headless: stop if no model answers for this long; by default 600.", min=0
    ),
]
WarmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--warm",
        metavar="RUN",
        help="Start also from the best programs of another run, measured anew; may be given several times.",
        autocompletion=run_names,
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Start the engine, print the run's path and return.")]


def warm_start(runs: Sequence[Run], task: Task, replayed: Run | None = None) -> Warm | None:
    """Return what `--warm` gives a new run, else what the run had whose answers are replayed; None without either."""
    if not runs and replayed is None:
        return None
    # Lazy: this loads numpy, and few runs need it.
    from engine.runs.warm import warm_as, warm_from

    return warm_from(runs, task) if runs or replayed is None else warm_as(replayed)


def place_of(executor: str | None, address: str | None) -> dict[str, dict[str, str]]:
    """Return the settings that `--executor` and `--address` give; an address alone is that of a Ray cluster."""
    if executor is None and address is None:
        return {}
    given = {"name": executor or "ray"}
    return {"executor": given if address is None else {**given, "address": address}}
