"""Shared helpers of the end-to-end tests: start engines as processes, read their journals, find survivors."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from engine.evaluation.evaluator import Job
from engine.journal import events as ev
from engine.journal.database import connect_writer
from engine.journal.reader import JournalReader
from engine.runs.create import create_run
from engine.runs.folder import Run, is_alive
from engine.settings.model import merge_settings
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from engine.task.load import load_task
from engine.task.spec import Limits
from tests.conftest import OPEN_EVALUATE, SEED
from tests.warm_command import WarmCommand, WarmEngine, read_at_start


def make_run(task: Path, runs: Path, **settings: object) -> Run:
    """Create a run of a task folder."""
    loaded = load_task(task)
    return create_run(loaded, merge_settings(("task", loaded.spec.run), ("test", settings)), runs)


NOISY = OPEN_EVALUATE.replace("def evaluate(program_path):", "def evaluate(program_path, report):").replace(
    "(y - 1.0) ** 2,", "(y - 1.0) ** 2 + report.seed % 1000 / 1000,"
)
"""An evaluator whose score depends on the evaluation's seed."""


def slow_evaluate(seconds: float, evaluate: str = OPEN_EVALUATE) -> str:
    """Return the text of an evaluator that sleeps before it measures.

    Args:
        seconds: how long it sleeps.
        evaluate: the evaluator without the sleep.
    """
    return evaluate.replace("import runpy\n", "import runpy\nimport time\n").replace(
        "    x, y =", f"    time.sleep({seconds})\n    x, y ="
    )


HELD = """\
import os
import time


def evaluate(program_path, report):
    report(1, begun=1.0)
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
        time.sleep(0.01)
    return {"score": 1.0}
"""
"""An evaluator that says that it has begun, and then waits for `let_go`."""


def let_go(run: Run) -> None:
    """Let the evaluations of `HELD` end."""
    (run.task / "go").touch()


WAITING = """\
import pathlib
import time
import uuid


def evaluate(path, report):
    step = 0
    while not pathlib.Path("@GO@").exists():
        step += 1
        report(step, loss=9.0)
        time.sleep(0.05)
    return {"score": 1.0, "mark": uuid.uuid4().hex}
"""
"""An evaluator that reports until the file @GO@ appears; each time it returns another mark."""

Engine = subprocess.Popen[bytes] | WarmEngine

started: list[Engine] = []
"""Engines that tests started; a fixture ends those that still run at the end of a test."""


@functools.cache
def _warm() -> WarmCommand:
    """The process that forks engines, until this one ends."""
    command = WarmCommand()
    atexit.register(command.close)
    return command


def start_engine(run: Run, cold: bool = False) -> Engine:
    """Start a run's engine in a session of its own.

    Args:
        cold: start an interpreter for it, whose hashes are others than those of every other engine.
    """
    engine: Engine
    if cold or read_at_start(os.environ) != _warm().start:
        with run.log.open("ab") as log:
            engine = subprocess.Popen(
                [sys.executable, "-m", "engine", str(run.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
    else:
        run.log.touch()
        engine = _warm().engine(run.folder, run.log)
    started.append(engine)
    return engine


def finish(run: Run, timeout: float = 90, cold: bool = False) -> RunState:
    """Run the engine until it ends, and return the run's state."""
    engine = start_engine(run, cold)
    code = engine.wait(timeout)
    state = fold(run)
    assert code == (0 if state.status == "finished" else 1), run.log.read_text()
    return state


def fold(run: Run) -> RunState:
    """Fold the run's journal as it is now."""
    with JournalReader(run.db) as reader:
        return fold_run(reader)


def events(run: Run, kind: type[ev.Data] | None = None) -> list[ev.Event]:
    """Read the run's events, of one kind or all."""
    with JournalReader(run.db) as reader:
        return [event for event in reader.events() if kind is None or isinstance(event.data, kind)]


def wait_for(condition: Callable[[], object], what: str, timeout: float = 90) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while True:
        before = time.thread_time()
        if condition():
            return
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        # To look, which may fold a whole run, leaves most of the core to what is waited for.
        time.sleep(max(0.01, 9 * (time.thread_time() - before)))


def wait_for_event(run: Run, condition: Callable[[ev.Event], object], what: str, timeout: float = 90) -> None:
    """Wait until the journal holds an event."""
    wait_for(lambda: any(condition(event) for event in events(run)), what, timeout)


def processes_of(token: str) -> list[str]:
    """List command lines of living processes that contain a token."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if token in command and state != "Z":
            found.append(command)
    return found


def is_running(pid: int) -> bool:
    """Tell whether a process is there and has not ended."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def check_integrity(run: Run) -> None:
    """Check everything that must hold in every journal, however its engines ended."""
    connection = connect_writer(run.db)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    all_events = events(run)
    assert [event.seq for event in all_events] == list(range(1, len(all_events) + 1)), "holes in the journal"
    measured = Counter(
        (e.node, e.data.stage, e.data.repeat) for e in all_events if isinstance(e.data, ev.EvalStageDone)
    )
    assert all(count == 1 for count in measured.values()), "an experiment was recorded twice"
    seen: set[tuple[int | None, str, int]] = set()
    for event in all_events:
        if isinstance(event.data, ev.EvalStageDone):
            seen.add((event.node, event.data.stage, event.data.repeat))
        elif isinstance(event.data, ev.EvalStarted):
            which = (event.node, event.data.stage, event.data.repeat)
            assert which not in seen, f"{which} was run again after its result was there"
    drawn = [number for e in all_events if isinstance(e.data, ev.VerifyStarted) for number in e.data.draws]
    assert drawn == sorted(set(drawn)), "two verifications had the same data"
    fresh = Counter((e.node, e.data.of, e.data.draw) for e in all_events if isinstance(e.data, ev.VerifyMeasured))
    assert all(count == 1 for count in fresh.values()), "a verification was measured twice"
    ended = Counter(e.round for e in all_events if isinstance(e.data, ev.RoundEnded))
    assert all(count == 1 for count in ended.values()), "a round ended twice"
    with JournalReader(run.db) as reader:
        for node in fold_run(reader).nodes:
            assert reader.text(node.program)


def check_complete(run: Run, rounds: int) -> None:
    """Check a finished run: all requested rounds are done, and every node is measured and analyzed."""
    state = fold(run)
    assert (state.status, state.rounds_done, state.rounds_started) == ("finished", rounds, rounds)
    assert not state.open_rounds
    assert not state.evaluations
    assert all(node.status is not None and node.analyzed for node in state.nodes)
    assert len(state.nodes) == rounds + 1 - state.no_design
    assert not is_alive(run)
    assert not run.work.exists(), "folders of evaluations are left behind"


def job_of(task: Path, tmp_path: Path, go: Path | None, program: str = SEED, seconds: float = 600) -> Job:
    """Return an evaluation of a task's program, which may see the folder of the file `go`."""
    return Job(
        program=program, task_folder=task, folder=tmp_path / "work" / "0-explore-0", metric="score", guarded=go is None,
        gpu=False, python=None, mounts=[] if go is None else [str(go.parent)], stage="explore", repeat=0, seed=1,
        settings={}, limits=Limits(seconds=seconds, memory_mb=256, processes=32), threads=1,
    )  # fmt: skip


def unread(stream: str, text: str, left_out: int) -> None:
    """Ignore what an evaluation prints."""
