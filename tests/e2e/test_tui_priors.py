"""A session at a real terminal with a real engine: pause, correct a prior, resume, see that it is used."""

from __future__ import annotations

from pathlib import Path

from engine.journal.events import LearnDone, PriorChanged, RunResumed
from engine.runs.folder import Run
from tests.conftest import COMMAND, Evolve, TaskMaker
from tests.e2e.runs import events, slow_evaluate
from tests.tui.terminal import Terminal

ROOT = Path(__file__).parents[2]

SLOW = slow_evaluate(0.7)


def test_prior_is_corrected_during_pause(make_task: TaskMaker, workspace: Path, evolve: Evolve) -> None:
    task = make_task(evaluate=SLOW, priors={"hint.md": "# Move left\n", "other.md": "# Other words\n"})
    run = Run(workspace / "runs" / "mine")
    command = [*COMMAND, "run", str(task), "--rounds", "10000", "--workers", "1", "--name", "mine"]
    terminal = Terminal([*command, "--set", "retrieval.embedder=off"], cwd=ROOT)
    try:
        terminal.read_until("● running")
        terminal.read_until("#1 ")
        terminal.send("p")
        terminal.read_until("‖ paused")
        terminal.send("C")
        terminal.read_until("Priors of point")
        terminal.read_until("Move left")
        terminal.send("\r")
        terminal.read_until("^s Save")
        terminal.send("\x1b[1;5F or right\x13")
        terminal.read_until("'hint' is saved as revision 2")
        assert (task / "priors" / "hint.md").read_text() == "# Move left\n or right"
        terminal.send("\x1b")
        terminal.read_until("Population")
        terminal.send("p")
        terminal.read_until("prior edited: Move left")
        terminal.read_until(" rev 2: Move left")
    finally:
        terminal.close()
        evolve("stop", "mine", "--now")
    assert events(run, RunResumed)
    (change,) = events(run, PriorChanged)
    assert isinstance(change.data, PriorChanged)
    assert (change.data.id, change.data.change, change.data.number) == ("hint", "edited", 2)
    shown = [
        (event.seq > change.seq, prior.number)
        for event in events(run, LearnDone)
        if isinstance(event.data, LearnDone)
        for prior in event.data.priors
        if prior.id == "hint"
    ]
    assert (True, 2) in shown and set(shown) <= {(False, 1), (True, 2)}
