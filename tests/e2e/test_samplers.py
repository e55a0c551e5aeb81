"""Samplers in real runs: each completes one, people switch between them, presets choose one."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.loop.past import recall_past
from engine.runs.folder import Run
from engine.runs.presets import find_preset
from engine.samplers.map_elites import MapElites
from engine.settings.model import SamplerSettings
from engine.task.load import load_task
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import (
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    make_run,
    slow_evaluate,
    start_engine,
    wait_for,
    wait_for_event,
)
from tests.e2e.test_commands import outcome

SLOW = slow_evaluate(0.1)
NAMES: tuple[str, ...] = get_args(get_type_hints(SamplerSettings)["name"])


def test_every_sampler_completes_run(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task()
    for name in NAMES:
        run = make_run(task, tmp_path / name, rounds=6, workers=2, sampler={"name": name})
        finish(run)
        check_integrity(run)
        check_complete(run, 6)
        learned = [e.data for e in events(run, ev.LearnDone)]
        assert all(isinstance(data, ev.LearnDone) and data.why.startswith(name.split("_p")[0]) for data in learned)
        shown = 0 if name in ("iid", "sequential") else 2
        assert {len(data.inspirations) for data in learned[4:]} == {shown}  # type: ignore[attr-defined]
        designed = [e.data for e in events(run, ev.DesignDone)]
        assert all(isinstance(data, ev.DesignDone) and data.size and len(data.sketch) == 64 for data in designed)


def test_sampler_can_be_switched_during_run(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=500, workers=2)
    engine = start_engine(run)
    where = ("--runs", tmp_path / "runs")

    def learned(since: int) -> list[ev.LearnDone]:
        return [e.data for e in events(run, ev.LearnDone) if e.seq > since and isinstance(e.data, ev.LearnDone)]

    wait_for(lambda: learned(0), "a draw")
    for change, why in (("sampler=greedy", "greedy"), ("sampler.name=map_elites", "map_elites, island")):
        told = evolve("set", run.name, change, "sampler.inspirations=1", *where).out
        assert f"sampler.name = {why.split(',')[0]} (was " in told
        assert "sampler.inspirations = 1 (was " in told
        switched = events(run, ev.SettingsChanged)[-1].seq
        wait_for(lambda: len(learned(switched)) >= 3, f"draws after {change}")  # noqa: B023
        assert all(data.why.startswith(why) and len(data.inspirations) <= 1 for data in learned(switched))
    assert evolve("stop", run.name, *where).code == 0
    assert engine.wait(90) == 1, run.log.read_text()
    check_integrity(run)
    with JournalReader(run.db) as reader:
        homes = {event.data.island for event in reader.events() if isinstance(event.data, ev.LearnDone)}
    assert len(homes) > 1, "the island of a draw is recorded"


def test_resume_after_switched_sampler_reproduces_run(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    # Slow enough that no engine of the torn run is done before it is stopped.
    tasks = {"whole": make_task(), "torn": make_task("slow", evaluate=slow_evaluate(0.4))}
    change = ["sampler.name=map_elites", "sampler.islands=2", "sampler.migration_interval=2"]
    runs = []
    for name, task in tasks.items():
        run = make_run(task, tmp_path / name, rounds=4, workers=1, seed=3)
        finish(run)
        # Taken up by the next engine, at the same place in both journals.
        assert evolve("set", run.name, "rounds=18", *change, "--runs", tmp_path / name).code == 0
        runs.append(run)
    whole, torn = runs
    finish(whole, cold=True)
    for _ in range(2):
        count = len(events(torn, ev.RoundEnded))
        engine = start_engine(torn)
        wait_for_event(torn, lambda e: len(events(torn, ev.RoundEnded)) > count + 1, "two rounds")  # noqa: B023
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(90) == 1
    finish(torn)
    assert outcome(torn) == outcome(whole)
    islands = {e.data.island for e in events(whole, ev.LearnDone)}  # type: ignore[attr-defined]
    assert islands == {None, 0, 1}


def test_fold_ends_with_last_sampler(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=3, workers=1)
    finish(run)
    assert evolve("set", run.name, "rounds=5", "sampler=map_elites", "--runs", tmp_path / "runs").code == 0
    finish(run)
    past = recall_past(run)
    with past.reader:
        sampler = past.sampler.current
        assert isinstance(sampler, MapElites)
        members = {node for island in range(past.state.settings.sampler.islands) for node in sampler.members(island)}
        assert members == {node.id for node in past.state.nodes if node.score is not None}


@pytest.mark.parametrize(("options", "name", "workers"), [([], "ucb1_paper", 4), (["--workers", "2"], "greedy", 2)])
def test_preset_overrides_task_and_options_override_preset(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path, options: list[str], name: str, workers: int
) -> None:
    task = make_task(toml="[run]\nworkers = 7\npatience = 50\n[run.sampler]\nname = 'random'\nc = 0.5\n")
    if options:
        options = [*options, "--set", "sampler=greedy"]
    where = ("--runs", tmp_path / "runs")
    done = evolve("run", task, "--preset", "paper", "--rounds", 2, "--headless", "--json", *options, *where)
    assert done.code == 0, done.err
    state = fold(Run(Path(done.json["run"])))
    settings = state.settings
    assert (settings.sampler.name, settings.workers, settings.patience) == (name, workers, 50)
    assert (settings.sampler.keep, settings.sampler.exploitation, settings.sampler.c) == (70, 0.6, 0.5)
    assert state.spec.limits.seconds == 300
    assert state.spec.limits.memory_mb == 512, "what the preset does not name is the task's"


@pytest.mark.parametrize(("seconds", "cpu", "then"), [(60, 20, 300), (60, 120, 600), (20, None, None), (900, 700, 700)])
def test_preset_scales_cpu_time_with_time(
    make_task: TaskMaker, seconds: float, cpu: float | None, then: float | None
) -> None:
    task = load_task(make_task(toml="" if cpu is None else f"cpu_seconds = {cpu}\n", seconds=seconds))
    limits = find_preset("paper").limit(task).spec.limits
    assert (limits.seconds, limits.cpu_seconds) == (300, then)


def test_unknown_preset_is_refused(make_task: TaskMaker, evolve: Evolve) -> None:
    done = evolve("run", make_task(), "--preset", "papper")
    assert (done.code, done.err) == (2, "error: there is no preset 'papper'\n  There are paper, iid, sequential\n")


@pytest.mark.parametrize("name", ["iid", "sequential"])
def test_baseline_passes_on_nothing_but_its_parent(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path, name: str
) -> None:
    where = ("--runs", tmp_path / "runs", "--name", name)
    done = evolve("run", make_task(), "--headless", "--json", "--preset", name, "--rounds", 5, "--workers", 1, *where)
    assert done.code == 0, done.err
    nodes = fold(Run(tmp_path / "runs" / name)).nodes
    parents = [node.parents for node in nodes if node.round]
    assert parents == [(0,) if name == "iid" else (node.id - 1,) for node in nodes if node.round]
