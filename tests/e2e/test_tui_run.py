"""The application on a real engine: start, watch, pause, hint, lose the terminal, attach again, finish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.journal.events import EngineStarted, Injected, RunFinished, RunPaused, RunResumed
from engine.runs.folder import Run, is_alive
from tests.conftest import COMMAND, TaskMaker
from tests.e2e.runs import events, fold, processes_of, wait_for
from tests.tui.terminal import Terminal

ROOT = Path(__file__).parents[2]

SLOW = """\
import runpy
import time


def evaluate(program_path):
    time.sleep(0.2)
    x, y = runpy.run_path(program_path)["point"]()
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2, "x": x}
"""


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Close the given terminals at the end."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_run_is_watched_steered_left_and_attached_again(
    make_task: TaskMaker, tmp_path: Path, workspace: Path, terminals: list[Terminal]
) -> None:
    task = make_task(evaluate=SLOW)
    run = Run(workspace / "runs" / "mine")
    command = [*COMMAND, "run", str(task), "--rounds", "40", "--workers", "2", "--slots", "1", "--name", "mine"]
    first = Terminal(command, (80, 24), cwd=ROOT)
    terminals.append(first)
    first.read_until("● running")
    first.read_until("#1 ")

    first.send("p")
    first.read_until("‖ paused")
    first.send("j\r")
    first.read_until("1 Code")
    first.send("2")
    first.read_until("@@")
    first.send("\x1b")
    first.read_until("Population")
    first.send("i")
    first.read_until("A hint for the next designs")
    first.send("nearer to three\r")
    first.read_until("inject:")
    assert [event.data for event in events(run, Injected)] == [Injected("hint", text="nearer to three")]

    first.hang_up()
    assert first.process.wait(90) == 129
    assert is_alive(run)

    second = Terminal([*COMMAND, "attach", "mine"], (120, 40), cwd=ROOT)
    terminals.append(second)
    # It rests still: on a busy machine its notes would have gone on beyond the hint.
    second.read_until("hint: nearer to three")
    second.send("p")
    second.read_until("■ finished")
    second.send("q")
    second.read_until("is finished. Come back with: evolve attach mine")
    assert second.process.wait(90) == 0
    wait_for(lambda: not is_alive(run), "the engine to end")
    assert fold(run).rounds_done == 40
    assert len(events(run, EngineStarted)) == 1 and len(events(run, RunFinished)) == 1
    assert len(events(run, RunPaused)) == len(events(run, RunResumed)) == 1
    wait_for(lambda: not processes_of(str(run.folder)), "the end of all its processes")


def test_dead_run_is_resumed_from_screen(make_task: TaskMaker, workspace: Path, terminals: list[Terminal]) -> None:
    from tests.e2e.runs import make_run, start_engine

    run = make_run(make_task(evaluate=SLOW), workspace / "runs", rounds=12, workers=2, slots=1)
    engine = start_engine(run)
    wait_for(lambda: is_alive(run) and len(fold(run).nodes) > 2, "some nodes")
    engine.kill()
    engine.wait()

    terminal = Terminal([*COMMAND, "attach", run.name], (80, 24), cwd=ROOT)
    terminals.append(terminal)
    terminal.read_until("✗ dead")
    terminal.send("p")
    terminal.read_until("■ finished")
    # A finished run is offered more rounds.
    terminal.send("p")
    terminal.read_until("Rounds in all, now 12")
    # All at once, as a slow line would deliver it.
    terminal.send("\x7f\x7f14\r")
    terminal.read_until("14/14")
    terminal.send("q")
    assert terminal.process.wait(90) == 0
    wait_for(lambda: not is_alive(run), "the engine to end")
    assert fold(run).rounds_done == 14


def test_run_in_a_terminal_whose_stderr_is_redirected_prints_lines(
    make_task: TaskMaker, tmp_path: Path, workspace: Path, terminals: list[Terminal]
) -> None:
    log = tmp_path / "log"
    command = 'log=$1; shift; exec "$@" 2>"$log"'
    words = [*COMMAND, "run", str(make_task()), "--rounds", "0", "--name", "mine"]
    terminal = Terminal(["/bin/sh", "-c", command, "sh", str(log), *words], (100, 24), cwd=ROOT)
    terminals.append(terminal)
    terminal.read_until("finished: best")
    assert terminal.process.wait(90) == 0
    assert "Ctrl-C leaves it running" in log.read_text()
