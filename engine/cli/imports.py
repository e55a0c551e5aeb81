"""`evolve import`: make a run of another system's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.app import JsonOption, RunsOption, app, folder_of, print_json
from engine.cli.foreign import ContainerOption, MetricOption, NetworkOption, PythonOption, keep_interpreter, open_task
from engine.cli.options import SetOption
from engine.cli.trust import TrustOption, settle
from engine.runs.configure import choose_settings, own_layers
from engine.runs.presets import Preset
from engine.runs.review import review_task
from engine.settings.model import parse_setting
from engine.text import visible

__all__: list[str] = []


@app.command("import")
def import_(
    source: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Output of OpenEvolve (its trace, too), ShinkaEvolve or ASI-Evolve."),
    ],
    task: Annotated[
        str, typer.Option("--task", metavar="TASK", help="The task that it was about: a folder or a built-in task.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the new run.")] = "",
    set_: SetOption = None,
    python: PythonOption = "",
    metric: MetricOption = "",
    container: ContainerOption = False,
    container_network: NetworkOption = False,
    runs: RunsOption = None,
    trust: TrustOption = False,
    json: JsonOption = False,
) -> None:
    """Import a run of another system: it replays, compares, exports and forks; 'evolve resume' goes on with it."""
    # Lazy: few people import, and every command would load the readers.
    from engine.runs.imports.history import score_by
    from engine.runs.imports.write import import_run, read_history

    source = source.expanduser()
    history = read_history(source)
    loaded = open_task(task, python, metric, container, container_network)
    # Those systems maximise: without its own figure, a task that minimises could not tell better from worse.
    minimised = loaded.spec.direction == "minimize"
    if metric or (loaded.origin is None and (minimised or loaded.spec.metric != "score")):
        score_by(history, metric or loaded.spec.metric, required=bool(metric) or minimised)
    own: list[tuple[str, dict[str, Any]]] = [(f"--set {text}", parse_setting(text)) for text in set_ or []]
    settings = choose_settings(loaded, Preset(), own)
    settle(review_task(loaded, settings, own_layers(own)), trust, may_ask=not json)
    keep_interpreter(python)
    made = import_run(history, loaded, settings, folder_of(runs), name, source.absolute())
    if json:
        print_json(
            {
                "run": str(made.run.folder), "format": history.format, "nodes": made.nodes, "best": made.best,
                "best_there": made.theirs, "lacking": made.lacking,
            }
        )  # fmt: skip
        return
    print(made.run.folder)
    told = f"{made.nodes} programs of {history.format}"
    if made.best is not None:
        told += f", the best is #{made.best}"
    if made.theirs is not None and made.theirs != made.best:
        told += f" (there #{made.theirs} counts as the best)"
    for line in (told, *made.lacking, f"'evolve resume {made.run.name}' goes on with it"):
        print(visible(line), file=sys.stderr)
