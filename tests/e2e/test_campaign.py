"""Campaigns of real engines: all runs are made, compared, kept, and gone on with after every kind of end."""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.campaigns.work import _Shift, _spawn
from engine.runs.folder import Run, is_alive
from tests.conftest import COMMAND, Evolve, TaskMaker
from tests.e2e.runs import (
    HELD,
    check_complete,
    check_integrity,
    events,
    fold,
    let_go,
    make_run,
    start_engine,
    wait_for,
    wait_for_event,
)

DISTANCE = """\
import runpy


def evaluate(program_path):
    x, y = runpy.run_path(program_path)["point"]()
    return {"score": (x - 3.0) ** 2 + (y - 1.0) ** 2}
"""


def lengths(runs: list[Run]) -> list[int]:
    found = []
    for run in runs:
        with JournalReader(run.db) as reader:
            found.append(reader.last_seq())
    return found


def test_campaign_runs_and_compares_everything(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task(evaluate=DISTANCE)
    toml = task / "task.toml"
    toml.write_text(toml.read_text().replace('"maximize"', '"minimize"'))
    file = tmp_path / "small.toml"
    file.write_text(
        f"""
        tasks = ["{task}"]
        seeds = 2
        parallel = 2
        checkpoints = [3, 5, 50]
        [run]
        rounds = 5
        [settings.default]
        [settings.seq]
        preset = "sequential"
        """
    )
    folder = tmp_path / "workspace" / "campaigns" / "small"
    # The folder of a run whose making was interrupted holds no journal.
    (folder / "point.default.0").mkdir(parents=True)
    (folder / "point.default.0" / "new.db").touch()
    done = evolve("campaign", file, "--json", "--trust")
    assert done.code == 0, done.err
    assert not (folder / "point.default.0" / "new.db").exists()
    runs = [Run(folder / f"point.{way}.{seed}") for seed in (0, 1) for way in ("default", "seq")]
    for run in runs:
        check_integrity(run)
        check_complete(run, 5)
    assert [fold(run).settings.seed for run in runs] == [0, 0, 1, 1]

    found = done.json["tasks"][0]
    assert (found["direction"], done.json["baseline"], done.json["planned"]) == ("minimize", "default", 4)
    assert [(cell["at"], cell["setting"]) for cell in found["cells"]] == [
        (at, way) for at in (3.0, 5.0, None) for way in ("default", "seq")
    ], "no run came to the last checkpoint"
    for cell in found["cells"]:
        bests = {way: [_best(run, cell["at"]) for run in runs if f".{way}." in run.name] for way in ("default", "seq")}
        assert cell["mean"] == pytest.approx(statistics.fmean(bests[cell["setting"]]))
        assert cell["low"] <= cell["mean"] <= cell["high"] and cell["runs"] == 2
        if cell["setting"] == "seq":
            gains = [base - ours for base, ours in zip(bests["default"], bests["seq"], strict=True)]
            assert cell["gain"]["mean"] == pytest.approx(statistics.fmean(gains)), "lower is better"

    page = (folder / "campaign.html").read_text()
    assert page.count('class="thin') == 4 and page.count('class="thick') == 2
    assert "point.seq.1" in page and "each run may take 5 rounds" in page

    before = lengths(runs)
    again = evolve("campaign", file, "--json")
    assert (again.code, again.json) == (0, done.json), "the same runs give the same summary"
    assert lengths(runs) == before and "begins" not in again.err, "finished runs are kept"
    shown = evolve("campaign", file, "--summary").out
    assert re.search(r"^default +\S+ \(\S+ to \S+; 2\)", shown, re.MULTILINE)
    assert "better than default by" in shown and "not begun" not in shown
    compared = evolve("compare", "point.default.0", "point.seq.0", "--runs", folder)
    assert compared.code == 0 and "sequential" in compared.out

    file.write_text(file.read_text().replace("rounds = 5", "rounds = 6"))
    other = evolve("campaign", file)
    assert other.code == 2
    assert "run 'point.default.0'" in other.err and "began with another value of rounds than" in other.err
    file.write_text(file.read_text().replace("rounds = 6", "rounds = 5").replace("seeds = 2", "seeds = [0, 1, 7]"))
    more = evolve("campaign", file, "--summary")
    assert more.code == 1 and "2 runs of 6 not begun" in more.out


def _best(run: Run, at: float | None) -> float:
    return min(n.score for n in fold(run).nodes if n.score is not None and (at is None or n.round <= at))


@pytest.fixture
def begun() -> Iterator[list[subprocess.Popen[str]]]:
    """Campaigns that the test starts; those that are left are ended."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_engine_that_had_the_run_first_is_waited_for(make_task: TaskMaker, tmp_path: Path) -> None:
    """A campaign may be killed while its engine still starts; the next one's engine then finds the run taken."""
    run = make_run(make_task(evaluate=HELD, seconds=200), tmp_path, rounds=1)
    first = start_engine(run)
    wait_for(lambda: is_alive(run), "the engine")
    told: list[str] = []
    shift = _Shift(lambda planned, summary, words: told.append(words if summary is None else summary["status"]))
    planned: Any = SimpleNamespace(run=run)
    shift.engines.append((planned, _spawn(run)))

    def seen(words: str) -> bool:
        shift.look()
        return words in told

    wait_for(lambda: seen("still has an engine") or told, "the end of the second engine")
    assert told == ["still has an engine"] and shift.engines == [(planned, None)]
    let_go(run)
    wait_for(lambda: seen("finished"), "the end of the run")
    assert first.wait(90) == 0 and not shift.engines


def test_campaign_goes_on_after_every_kind_of_end(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path, begun: list[subprocess.Popen[str]]
) -> None:
    file = tmp_path / "held.toml"
    task = make_task(evaluate=HELD, seconds=200)
    file.write_text(f'tasks = ["{task}"]\nseeds = 2\n[run]\nrounds = 2\n[settings.only]\n')
    folder = tmp_path / "runs"
    first, second = Run(folder / "point.only.0"), Run(folder / "point.only.1")

    def start() -> subprocess.Popen[str]:
        words = [*COMMAND, "campaign", str(file), "--out", str(folder), "--trust"]
        begun.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    def engine_of(run: Run) -> int:
        found = re.search(r"^pid (\d+)$", run.lock.read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def wait_for_evaluation(run: Run, engines: int) -> None:
        """Wait until the latest of so many engines evaluates something."""
        wait_for(run.db.exists, run.name)
        wait_for(lambda: len(events(run, ev.EngineStarted)) == engines, "the engine")
        latest = events(run, ev.EngineStarted)[-1].seq
        wait_for_event(run, lambda e: e.seq > latest and isinstance(e.data, ev.EvalProgress), "an evaluation")

    # Told to end.
    campaign = start()
    wait_for_evaluation(first, 1)
    refused = evolve("campaign", file, "--out", folder)
    assert refused.code == 1 and "another process works on the campaign" in refused.err
    campaign.send_signal(signal.SIGTERM)
    out, err = campaign.communicate(timeout=90)
    assert campaign.returncode == 130, err
    assert "point.only.0 is stopped, 0 rounds" in out and "1 run of 2 not begun" in out
    assert not second.folder.exists()

    # Killed alone: its engine goes on, and is waited for.
    campaign = start()
    wait_for_evaluation(first, 2)
    campaign.kill()
    campaign.communicate()
    campaign = start()
    assert campaign.stderr is not None
    told = iter(campaign.stderr.readline, "")
    assert any("1/2 point.only.0 still has an engine" in line for line in told)
    # Killed together with its engine, in the next run.
    let_go(first)
    assert any("1/2 point.only.0 finished, 2 rounds" in line for line in told)
    wait_for_evaluation(second, 1)
    campaign.kill()
    campaign.communicate()
    os.kill(engine_of(second), signal.SIGKILL)
    wait_for(lambda: not is_alive(second), "the end of the engine")
    before = lengths([first])
    campaign = start()
    wait_for_evaluation(second, 2)
    let_go(second)
    _, err = campaign.communicate(timeout=90)
    assert campaign.returncode == 0, err
    assert "2/2 point.only.1 goes on" in err and "point.only.0" not in err
    assert lengths([first]) == before, "a finished run is left alone"
    for run in (first, second):
        check_integrity(run)
        check_complete(run, 2)
    assert [len(events(run, ev.EngineStarted)) for run in (first, second)] == [2, 2]
