"""A wall clock that is set while a real engine works: commands are carried out, and the step uses no budget."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.database import send_command
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from engine.state.fold import fold_run
from engine.state.timeline import run_timeline
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

HOUR = 3600
SLOW = slow_evaluate(0.3)
TICKING = """\
import time


def evaluate(program_path, report):
    for step in range(10_000):
        report(step, tick=step)
        time.sleep(0.05)
"""

ADOPT = """\
import sys
from pathlib import Path
from engine.runs.replace_task import adopt_task
from engine.runs.folder import Run
from engine.task.load import load_task

adopt_task(Run(Path(sys.argv[1])), load_task(Path(sys.argv[2])))
"""


class Clock:
    """The wall clock of every process that is started after it."""

    def __init__(self, library: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = file
        self.set(0)
        monkeypatch.setenv("LD_PRELOAD", str(library))
        monkeypatch.setenv("CLOCK_SHIFT", str(file))

    def set(self, seconds: int) -> None:
        """Set it ahead by `seconds`."""
        partial = self._file.with_suffix(".new")
        partial.write_text(str(seconds))
        partial.replace(self._file)


@pytest.fixture
def clock(shifted_clock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of this test's processes."""
    return Clock(shifted_clock, tmp_path / "clock", monkeypatch)


def rounds_after(run: Run, seq: int, count: int) -> None:
    """Wait until `count` rounds have ended after an event."""
    wait_for(lambda: sum(e.seq > seq for e in events(run, ev.RoundEnded)) >= count, f"{count} more rounds")


def steps(run: Run) -> list[int]:
    """Return the clock's steps in seconds, as recorded in the journal."""
    return [round(e.data.by_ms / 1000) for e in events(run, ev.ClockStepped)]  # type: ignore[attr-defined]


def test_clock_shows_time_set_by_test(clock: Clock) -> None:
    def look() -> int:
        return int(subprocess.check_output(["date", "+%s"], env=os.environ))

    before = look()
    clock.set(-HOUR)
    assert -HOUR - 10 < look() - before < -HOUR + 60


def test_every_command_works_after_clock_is_set_back(
    clock: Clock, make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=500, workers=1)
    where = ("--runs", tmp_path / "runs")
    engine = start_engine(run)
    rounds_after(run, 0, 2)
    clock.set(-HOUR)
    for kind, status in (("pause", "paused"), ("resume", "running"), ("pause", "paused")):
        asked = evolve(kind, *where)
        assert asked.code == 0, asked.err
        assert fold(run).status == status
    assert evolve("step", *where).code == 0
    assert "stopping" in evolve("stop", *where).out
    assert engine.wait(90) == 1, run.log.read_text()
    assert (fold(run).status, fold(run).reason) == ("stopped", "stopped by hand")
    assert steps(run) == [-HOUR]
    check_integrity(run)


def test_stale_command_is_detected_by_number_on_any_clock(clock: Clock, make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=2)
    number = send_command(run.db, "stop")
    clock.set(-HOUR)
    assert finish(run).status == "finished"
    with JournalReader(run.db) as reader:
        command = reader.command(number)
    assert command is not None
    assert "had ended" in command.result


@pytest.mark.parametrize("shift", [2 * HOUR, -2 * HOUR])
def test_clock_step_uses_no_hours_of_budget(
    clock: Clock, make_task: TaskMaker, evolve: Evolve, tmp_path: Path, shift: int
) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=12, hours=1, workers=1)
    engine = start_engine(run)
    rounds_after(run, 0, 2)
    clock.set(shift)
    rounds_after(run, fold(run).seq, 2)
    clock.set(0)
    assert engine.wait(90) == 0, run.log.read_text()
    check_complete(run, 12)
    check_integrity(run)
    assert steps(run) == [shift, -shift]
    assert not events(run, ev.BudgetWarned)
    assert fold(run).engine_ms < HOUR * 1000 / 2
    # The journal alone tells it, from wherever it is folded.
    with JournalReader(run.db) as reader:
        timeline = run_timeline(reader, every=7)
        for seq in range(1, reader.last_seq() + 1):
            assert timeline.at(seq).engine_ms == fold_run(reader, seq).engine_ms
    shown = evolve("resume", "--headless", "--json", "--runs", tmp_path / "runs").json
    assert shown["seconds"] == round(fold(run).engine_ms / 1000, 3)


def test_resume_on_another_clock_counts_own_time(clock: Clock, make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=12, hours=1, workers=1)
    engine = start_engine(run)
    rounds_after(run, 0, 2)
    clock.set(5 * HOUR)
    rounds_after(run, fold(run).seq, 1)
    engine.kill()
    engine.wait()
    clock.set(-5 * HOUR)
    assert finish(run).reason == "12 rounds are done"
    assert steps(run) == [5 * HOUR], "between two engines time is nobody's"
    assert fold(run).engine_ms < HOUR * 1000 / 2
    check_complete(run, 12)


@pytest.mark.parametrize("what", ["star", "task"])
def test_writing_to_stopped_run_adds_no_engine_time(
    clock: Clock, make_task: TaskMaker, evolve: Evolve, tmp_path: Path, what: str
) -> None:
    task = make_task(evaluate=SLOW)
    run = make_run(task, tmp_path / "runs", rounds=12, hours=1, workers=1)
    engine = start_engine(run)
    rounds_after(run, 0, 2)
    engine.kill()
    engine.wait()
    wait_for(lambda: not is_alive(run), "the end of the engine")
    for hours in (5, 10):
        clock.set(hours * HOUR)
        if what == "star":
            assert evolve("star", run.name, hours // 5, "--runs", tmp_path / "runs").code == 0
        else:
            (task / "brief.md").write_text(f"Words {hours}\n")
            subprocess.run([sys.executable, "-c", ADOPT, run.folder, task], check=True, cwd=Path(__file__).parents[2])
    assert fold(run).engine_ms < HOUR * 1000 / 2
    assert finish(run).reason == "12 rounds are done"
    assert fold(run).engine_ms < HOUR * 1000 / 2
    check_complete(run, 12)


def test_progress_is_reported_after_clock_is_set_back(clock: Clock, make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=TICKING, seconds=120), tmp_path / "runs", rounds=0)
    engine = start_engine(run)
    wait_for_event(run, lambda e: isinstance(e.data, ev.EvalProgress), "progress")
    clock.set(-HOUR)
    wait_for_event(run, lambda e: isinstance(e.data, ev.ClockStepped), "the clock's step")
    told = len(events(run, ev.EvalProgress))
    wait_for(lambda: len(events(run, ev.EvalProgress)) > told, "more progress")
    # What is under way keeps its age: it began before the clock was set, and not an hour later.
    state = fold(run)
    evaluation = state.evaluations[0]
    assert evaluation.started_at <= state.at < evaluation.started_at + HOUR * 1000 / 2
    assert state.open_rounds[0].started_at <= state.at < state.open_rounds[0].started_at + HOUR * 1000 / 2
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(90) == 1, run.log.read_text()
    assert fold(run).reason == "SIGTERM received"
