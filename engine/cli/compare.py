"""`evolve compare`: compare runs side by side."""

from __future__ import annotations

import difflib
from shlex import quote
from typing import Annotated, Any

import typer

from engine.cli.app import JsonOption, RunsOption, app, pick, print_json
from engine.cli.complete import run_names
from engine.cli.table import print_table
from engine.errors import UsageError
from engine.runs.compare import (
    AXES,
    Axis,
    ComparedRun,
    Step,
    best_at,
    common_ranking,
    differing,
    doubts,
    extent,
    read_compared,
    shared_places,
)
from engine.state.ranking import Ranking
from engine.text import visible

__all__: list[str] = []

_NAMES: dict[Axis, str] = {
    "rounds": "rounds",
    "usd": "dollars",
    "tokens": "tokens",
    "seconds": "seconds of engine time",
}


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN", help="Paths, names or beginnings of names; two or more.", autocompletion=run_names
        ),
    ],
    by: Annotated[str, typer.Option(metavar="AXIS", help=f"Axis of the curves: {', '.join(AXES)}.")] = "rounds",
    diff: Annotated[
        bool, typer.Option("--diff", help="Print how the best programs differ from the first run's best.")
    ] = False,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Compare runs: figures, the best at equal cost, settings that differ."""
    axis = next((known for known in AXES if known == by), None)
    if axis is None:
        raise UsageError(f"--by {by}: there is no such axis", f"Choose one of {', '.join(AXES)}")
    if len(names) < 2:
        raise UsageError("compare needs two runs or more", f"'evolve show {quote(names[0])}' shows one")
    compared = [read_compared(pick(name, runs)) for name in names]
    differences = differing(compared)
    if json:
        print_json({"runs": [_plain(run) for run in compared], "differ": differences})
        return
    _print_figures(compared)
    _print_curves(compared, axis)
    if differences:
        print()
        columns = ["setting", *(run.run.name for run in compared)]
        print_table(columns, [[key, *map(str, values)] for key, values in differences.items()])
    else:
        print("\nAll settings are the same.")
    if diff:
        for other in compared[1:]:
            _print_diff(compared[0], other)


def _plain(run: ComparedRun) -> dict[str, Any]:
    best = run.best
    return {
        "run": str(run.run.folder), "name": run.run.name, "task": run.task, "metric": run.ranking.metric,
        "direction": run.ranking.direction, "ranked_by": run.ranking.key, "status": run.status, "rounds": run.rounds,
        "nodes": run.nodes, "failed": run.failed, "usd": run.usd, "tokens": run.tokens,
        "seconds": round(run.seconds, 3), "generations": run.generations,
        "best": None if best is None else {"node": best.node, "score": best.score, "fitness": best.fitness},
        "curve": [step._asdict() for step in run.steps], "settings": run.settings,
    }  # fmt: skip


def _print_figures(runs: list[ComparedRun]) -> None:
    for doubt in doubts(runs):
        print(f"{doubt}\n")
    rows = [
        [
            run.run.name, run.task, run.status, str(run.rounds), str(run.nodes), str(run.failed),
            "–" if run.best is None else f"{_best(run, run.best)} #{run.best.node}",
            "–" if run.best is None else str(run.best.rounds), str(run.generations), f"{run.tokens:,}",
            f"{run.usd:.2f}", f"{run.seconds:.1f}",
        ]
        for run in runs
    ]  # fmt: skip
    head = ["name", "task", "status", "rounds", "nodes", "failed", "best", "at round", "generations"]
    print_table(
        [*head, "tokens", "usd", "s"],
        rows,
        ("generations", "usd", "tokens", "task", "failed", "nodes", "status", "rounds"),
    )


def _best(run: ComparedRun, best: Step) -> str:
    return run.ranking.brief(best, 6) if run.ranking.by_fitness else run.ranking.describe(best, 8)


def _print_curves(runs: list[ComparedRun], axis: Axis) -> None:
    places = shared_places(runs, axis)
    if not places:
        none = next(run.run.name for run in runs if not extent(run, axis))
        print(f"\nNo curves by {_NAMES[axis]}: '{none}' has spent none.")
        return
    ranking = common_ranking(runs)
    named = "Best fitness (score)" if ranking.by_fitness else "Best"
    print(f"\n{named} after so many {_NAMES[axis]}, as far as all of them went:")
    rows = [[run.run.name, *(_at(run, ranking, axis, place) for place in places)] for run in runs]
    columns = [f"{place:.6g}" for place in places]
    print_table(["name", *columns], rows, (*columns[:-1:2], *columns[1:-1:2]))


def _at(run: ComparedRun, ranking: Ranking, axis: Axis, place: float) -> str:
    step = best_at(run, axis, place)
    if step is None or not ranking.by_fitness:
        return "–" if step is None else f"{step.score:.8g}"
    return f"{'–' if step.fitness is None else f'{step.fitness:.6g}'} ({step.score:.6g})"


def _print_diff(first: ComparedRun, other: ComparedRun) -> None:
    print()
    if not first.best or not other.best:
        print(f"'{(other if first.best else first).run.name}' has no program with a score.")
        return
    a, b = (f"{run.run.name} #{run.best.node}" for run in (first, other) if run.best)
    lines = list(difflib.unified_diff(first.program.splitlines(), other.program.splitlines(), a, b, lineterm=""))
    print(visible("\n".join(lines)) if lines else f"{a} and {b} are the same program.")
