"""Commands that start runs and go on with them: run, resume, attach."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated, Any

import msgspec
import typer

from engine.cli.app import (
    JsonOption,
    RunArgument,
    RunsOption,
    TaskName,
    app,
    fail,
    folder_of,
    pick,
    print_json,
)
from engine.cli.complete import preset_names, run_names
from engine.cli.foreign import (
    ContainerOption,
    InstanceOption,
    KindOption,
    MetricOption,
    NetworkOption,
    PythonOption,
    choice_of,
    keep_interpreter,
    open_like,
    open_task,
)
from engine.cli.options import (
    Address,
    Detach,
    ExecutorOption,
    Headless,
    Hours,
    Patience,
    PatienceEndpoint,
    Rounds,
    SetOption,
    Slots,
    Target,
    Tokens,
    Usd,
    WarmOption,
    Workers,
    place_of,
    warm_start,
)
from engine.cli.programs import write_program
from engine.cli.progress import ProgressLines, best_path, closing_object, follow_run, tell
from engine.cli.steer import require_ok
from engine.cli.trust import TrustOption, settle
from engine.errors import RunError, UsageError
from engine.evaluation.bubblewrap import wanted_bubblewrap
from engine.journal.events import EvalStageDone
from engine.journal.reader import JournalReader
from engine.runs.asking import ask, hand_over
from engine.runs.changes import check_set
from engine.runs.configure import (
    choose_settings,
    lacks_limit,
    model_table,
    own_layers,
    replayed,
    require_limit,
    task_settings,
)
from engine.runs.create import create_run
from engine.runs.folder import Run, is_alive
from engine.runs.manage import spawn_engine
from engine.runs.presets import PRESETS, Preset, find_preset
from engine.runs.replace_task import adopt_task
from engine.runs.review import agree_to_change, review_run, review_task
from engine.runs.status import RunSummary, summary_now
from engine.settings.decode import deep_merge
from engine.settings.model import Settings, parse_setting
from engine.state.best_known import describe_claim
from engine.state.fold import fold_run
from engine.state.run_state import RunState

__all__: list[str] = []

_PATIENCE_SECONDS = 600.0

_PRESET_NAMES = ", ".join(PRESETS)


@app.command()
def run(
    task: TaskName,
    rounds: Rounds = None,
    hours: Hours = None,
    usd: Usd = None,
    tokens: Tokens = None,
    target: Target = None,
    patience: Patience = None,
    workers: Workers = None,
    slots: Slots = None,
    executor: ExecutorOption = None,
    address: Address = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of every random draw of the search; by default 0.")
    ] = None,
    data_seed: Annotated[
        int | None,
        typer.Option(
            "--data-seed",
            metavar="N",
            help="Seed of the data that programs are judged on, for scores that others can reproduce; by default it "
            "follows from a secret of the run.",
        ),
    ] = None,
    designer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="auto, recombine, llm or command; auto is llm if a model is configured."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(metavar="NAME", help="The only model to ask, by its name in config.toml or at the endpoint."),
    ] = "",
    base_url: Annotated[str, typer.Option(metavar="URL", help="Address of the model's endpoint.")] = "",
    answers: Annotated[
        str,
        typer.Option(
            metavar="RUN",
            help="Replay the answers that another run recorded, with that run's settings, instance, kind and --warm.",
            autocompletion=run_names,
        ),
    ] = "",
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME", help=f"Settings of a published run: {_PRESET_NAMES}.", autocompletion=preset_names
        ),
    ] = "",
    warm: WarmOption = None,
    set_: SetOption = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the run.")] = "",
    runs: RunsOption = None,
    allow_network_fs: Annotated[
        bool, typer.Option("--allow-network-fs", help="Allow the run on a network file system.")
    ] = False,
    headless: Headless = False,
    patience_endpoint: PatienceEndpoint = None,
    detach: Detach = False,
    python: PythonOption = "",
    metric: MetricOption = "",
    container: ContainerOption = False,
    container_network: NetworkOption = False,
    instance: InstanceOption = "",
    kind: KindOption = "",
    trust: TrustOption = False,
    json: JsonOption = False,
) -> None:
    """Start a run. Its engine outlives this terminal (not with --headless)."""
    if headless and detach:
        raise UsageError("--headless and --detach exclude each other")
    if base_url and not model:
        raise UsageError("--base-url needs --model NAME, the model's name at the endpoint")
    wait = _patience(patience_endpoint, headless)
    replay = pick(answers, runs) if answers else None
    if replay is not None:
        # Its answers are about its instance and its population.
        recorded = choice_of(replay)
        instance, kind = instance or recorded[0], kind or recorded[1]
    loaded = open_task(task, python, metric, container, container_network, instance, kind)
    chosen = find_preset(preset) if preset else Preset()
    loaded = chosen.limit(loaded)
    options = {"rounds": rounds, "hours": hours, "usd": usd, "tokens": tokens, "target": target, "patience": patience}
    options |= {"workers": workers, "slots": slots, "seed": seed, "data_seed": data_seed}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if designer is not None:
        given["designer"] = {"name": designer}
    given |= place_of(executor, address)
    only, table = model_table(model, base_url, loaded) if model else ("", {})
    given |= {"models": {only: table}} if model else {}
    own = [("command line", given), *((f"--set {text}", parse_setting(text)) for text in set_ or [])]
    base = replayed(replay) if replay is not None else None
    settings = choose_settings(loaded, chosen, own, only, base)
    settle(review_task(loaded, settings, own_layers(own)), trust, may_ask=not (headless or detach or json))
    keep_interpreter(python)
    if lacks_limit(settings) and not headless and sys.stdin.isatty():
        limit = typer.prompt("The models cost money. US dollars to spend at most", type=float)
        settings = choose_settings(loaded, chosen, [*own, ("limit", {"usd": limit})], only, base)
    require_limit(settings)
    wanted_bubblewrap()  # fails before anything is created
    others = warm_start([pick(other, runs) for other in warm or []], loaded, replay)
    made = create_run(loaded, settings, folder_of(runs), name, allow_network_fs, warm=others)
    if detach:
        spawn_engine(made)
        print_json({"run": str(made.folder)}) if json else print(made.folder)
        return
    _work(made, headless, json, wait)


def _patience(seconds: float | None, headless: bool) -> float:
    if seconds is not None and not headless:
        raise UsageError("--patience-endpoint needs --headless: an engine of its own waits until a model answers")
    return _PATIENCE_SECONDS if seconds is None else seconds


def _work(run: Run, headless: bool, json: bool, wait: float) -> None:
    """Serve or follow a run in this terminal, and exit with its code."""
    if headless:
        _close(run, *_serve(run, wait), json)
        return
    if not is_alive(run):
        spawn_engine(run)
    _attend(run, json)


def _serve(run: Run, wait: float) -> tuple[RunState, RunSummary]:
    from engine.loop.serve import serve

    tell(f"run {run.folder}")
    lines = ProgressLines(run)
    try:
        serve(run, lines, wait, attended=False)
    finally:
        lines.end()
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
    return state, summary_now(run, state)


def _attend(run: Run, json: bool, mouse: bool = False) -> None:
    """Watch a run: in the application if this is a terminal, else as lines until it ends."""
    # The application draws on stderr, so a terminal whose stderr goes into a file gets lines.
    drawn = os.environ.get("TERM") != "dumb" and all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if not json and drawn:
        from tui.app import run_tui

        raise typer.Exit(run_tui(run.folder.parent, run, mouse))
    tell(f"run {run.folder}; Ctrl-C leaves it running")
    try:
        state, summary = follow_run(run)
    except KeyboardInterrupt:
        tell(f"\nThe run goes on. 'evolve attach {run.typed}' comes back to it.")
        raise typer.Exit(130) from None
    _close(run, state, summary, json)


def _close(run: Run, state: RunState, summary: RunSummary, json: bool) -> None:
    best, status = state.best_node, summary["status"]
    if json:
        print_json(closing_object(state, summary))
    elif best is None or best.score is None:
        print(f"{status}: no node has a score")
    if best is not None and best.score is not None:
        with JournalReader(run.db) as reader:
            code = reader.text(best.program)
            measured = {e.data.guarantee for e in reader.node_events(best.id) if isinstance(e.data, EvalStageDone)}
        path = best_path(run, state.spec)
        try:
            write_program(path, code, state.spec)
        except OSError as exc:
            tell(f"warning: {path} cannot be written: {exc.strerror}")
        except RunError as exc:
            tell(f"warning: {exc.message}")
        if not json:
            badge = "guarded" if measured == {"guarded"} else "open"
            print(f"{status}: best {state.ranking.describe(best)} (#{best.id}), {badge}, in {path}")
            if claim := describe_claim(state, run.typed):
                print(f"past the record: {claim}")
    if status in ("paused", "stopped", "dead") and not json:
        tell(f"'evolve resume {run.typed}' goes on with it.")
    interrupted = status == "stopped" and state.interrupted
    fail(0 if status == "finished" else 130 if interrupted else 1)


@app.command()
def resume(
    run: RunArgument = None,
    rounds: Rounds = None,
    hours: Hours = None,
    usd: Usd = None,
    tokens: Tokens = None,
    target: Target = None,
    patience: Patience = None,
    workers: Workers = None,
    slots: Slots = None,
    set_: SetOption = None,
    task: Annotated[
        str | None, typer.Option(metavar="DIR", help="Replace the run's copy of its task with this folder's files.")
    ] = None,
    runs: RunsOption = None,
    headless: Headless = False,
    patience_endpoint: PatienceEndpoint = None,
    trust: TrustOption = False,
    json: JsonOption = False,
) -> None:
    """Resume a run: unpause it, or restart its engine. A limit given here replaces the run's."""
    picked = pick(run, runs)
    wait = _patience(patience_endpoint, headless)
    if task is not None:
        loaded = open_like(task, picked)
        settle(review_task(loaded, task_settings(loaded), own_layers(())), trust, may_ask=not (headless or json))
        tell(adopt_task(picked, loaded))
    options = {"rounds": rounds, "hours": hours, "usd": usd, "tokens": tokens, "target": target, "patience": patience}
    options |= {"workers": workers, "slots": slots}
    change: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    for text in set_ or []:
        change = deep_merge(change, parse_setting(text))
    with JournalReader(picked.db) as reader:
        state = fold_run(reader)
        kept = [command.data.get("settings") for command in reader.pending() if command.kind == "set"]
    alive = is_alive(picked)
    whole = change
    for earlier in reversed(kept):
        # Settings changed while no engine ran count as if they were given here.
        whole = deep_merge(earlier, whole) if isinstance(earlier, dict) else whole
    if change:
        check_set(state.settings, change)
    at_its_end = not alive and state.status == "finished" and not _goes_on(state, whole)
    if not alive and not at_its_end:
        settle(review_run(picked, state), trust, may_ask=not (headless or json))
    if change:
        agree_to_change(picked, state, change)
        require_ok(picked, ask(picked, "set", {"settings": msgspec.to_builtins(change)}))
    if at_its_end:
        if not json:
            tell(f"'evolve resume {picked.typed} {_limit_to_raise(state)}' goes on with it.")
        _close(picked, state, summary_now(picked, state), json)
    if alive:
        alive = _unpause(picked)
    if headless and alive:
        _close(picked, *_follow_headless(picked), json)
    elif headless:
        _work(picked, True, json, wait)
    elif not alive:
        spawn_engine(picked)
    what = "is running already" if alive and state.status == "running" else "goes on"
    print_json({"run": str(picked.folder)}) if json else print(f"run '{picked.name}' {what}")


def _follow_headless(run: Run) -> tuple[RunState, RunSummary]:
    """Follow a run that has its own engine; if it pauses for a person, stop it for the same reason."""
    state, summary = follow_run(run)
    if summary["status"] == "paused":
        hand_over(run, "stop", {"reason": state.reason})
        state, summary = follow_run(run, waits=True)
    return state, summary


def _unpause(run: Run) -> bool:
    """Unpause a run that has an engine, or wait for an engine that is stopping; return whether the engine stays."""
    answer = ask(run, "resume")
    if answer.code == "retrying":
        tell(answer.text)
    if answer.ok or (answer.code != "stopping" and is_alive(run)):
        return require_ok(run, answer).ok
    if is_alive(run):
        tell(f"waiting for the engine of '{run.name}' to finish its running stages")
    while is_alive(run):
        time.sleep(0.05)
    return False


def _goes_on(state: RunState, change: dict[str, Any]) -> bool:
    """Return whether a change lets a finished run go on."""
    settings: Settings = check_set(state.settings, change)
    return bool(change) and settings.rounds > state.rounds_done


def _limit_to_raise(state: RunState) -> str:
    """Return the option that lets a finished run go on."""
    settings = state.settings
    if state.rounds_done >= settings.rounds:
        return f"--rounds {settings.rounds + 50}"
    waited = settings.patience is not None and state.rounds_done - state.rounds_at_best >= settings.patience
    return "--patience N" if waited else "--target X"


@app.command()
def attach(
    run: RunArgument = None,
    mouse: Annotated[bool, typer.Option("--mouse", help="Take mouse events.")] = False,
    runs: RunsOption = None,
) -> None:
    """Watch and steer a run in the application. Leaving does not touch the run."""
    _attend(pick(run, runs), False, mouse)
