"""How far does recombination get on the open problems? Run searches by the command line, and print a table of them.

    python -m tests.bench.search_open_problems run FOLDER --until 13:00
    python -m tests.bench.search_open_problems table FOLDER

Each search has one worker, so that its rounds are the same wherever it runs; the time that is left is shared among the
searches that are left. Those that are there already are not run again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from engine.journal.events import EngineStarted
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.state.best_known import way_to_record
from engine.state.fold import fold_run
from engine.state.run_state import RunState

TASKS = (
    "circle_packing", "heilbronn", "distance_ratio", "autocorrelation", "minimum_overlap", "sum_difference",
    "bin_packing",
)  # fmt: skip
MARKS = (10, 30, 100, 200)
"""Rounds after which the best is told."""
LEAST_SECONDS = 60.0
ENDING_SECONDS = 30.0
"""What the end of a search takes after its limit: the evaluation that runs then, and its journal."""


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="+", default=[*TASKS], help="TASK, TASK@INSTANCE or TASK+improve")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--until", metavar="HH:MM", help="when the last search has to end; by default none has to")
    parser.add_argument("--jobs", type=int, default=2, help="searches at once")
    args = parser.parse_args()
    if args.what == "run":
        _search(args)
    for line in table(args.folder):
        print(line)


def _search(args: argparse.Namespace) -> None:
    left = [(task, seed) for seed in args.seeds for task in args.tasks if not (args.folder / f"{task}-{seed}").exists()]
    lock = Lock()

    def work() -> None:
        while True:
            with lock:
                if not left:
                    return
                seconds = _seconds(args.until, args.jobs, len(left))
                task, seed = left.pop(0)
            if seconds is None or seconds >= LEAST_SECONDS:
                run(args.folder, task, seed, args.rounds, seconds)

    with ThreadPoolExecutor(args.jobs) as pool:
        for done in [pool.submit(work) for _ in range(args.jobs)]:
            done.result()


def _seconds(until: str | None, jobs: int, left: int) -> float | None:
    """Return how long the next of the searches that are left may take."""
    if until is None:
        return None
    hour, minute = map(int, until.split(":"))
    now = time.localtime()
    remaining = (hour - now.tm_hour) * 3600 + (minute - now.tm_min) * 60 - now.tm_sec
    return remaining / -(-left // jobs) - ENDING_SECONDS


def run(folder: Path, task: str, seed: int, rounds: int, seconds: float | None) -> None:
    """Run one search to its end."""
    name, _, instance = task.partition("+")[0].partition("@")
    command = [
        sys.executable,
        "-c",
        "from engine.cli import main; main()",
        "run",
        name,
        "--designer",
        "recombine",
        "--rounds",
        str(rounds),
    ]
    command += ["--seed", str(seed), "--workers", "1", "--headless", "--name", f"{task}-{seed}", "--runs", str(folder)]
    command += ["--instance", instance] if instance else []
    command += ["--kind", "improve"] if task.endswith("+improve") else []
    command += ["--hours", f"{seconds / 3600:.5f}"] if seconds is not None else []
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{task}-{seed}.log").open("wb") as log:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)


def table(folder: Path) -> Iterator[str]:
    """Yield the rows of a table in Markdown, a search each."""
    marks = " | ".join(f"{mark} rounds" for mark in MARKS)
    yield f"| task | seed | rounds | seconds | start | {marks} | best | way to the record | from the record |"
    yield "|" + "---|" * (8 + len(MARKS))
    for path in sorted(folder.glob("*/run.db")):
        with JournalReader(path) as reader:
            state = fold_run(reader)
            began = [event.at for event in reader.events() if isinstance(event.data, EngineStarted)]
        if state.best_node is not None and state.best_node.score is not None:
            yield _row(Run(path.parent), state, (state.at - began[0]) / 1000)


def _row(run: Run, state: RunState, seconds: float) -> str:
    task, _, seed = run.name.rpartition("-")
    best, record, share = state.best_node, state.spec.record, way_to_record(state)
    assert best is not None and best.score is not None and record is not None and share is not None
    told = [_after(state, mark) if state.rounds_done >= mark else "–" for mark in MARKS]
    off = abs(best.score / record.value - 1)
    cells = [task, seed, str(state.rounds_done), f"{seconds:.0f}", f"{state.nodes[0].score:.6g}", *told]
    return f"| {' | '.join([*cells, f'{best.score:.7g}', f'{share:.1%}', f'{off:.2%}'])} |"


def _after(state: RunState, mark: int) -> str:
    """Return the best score after some rounds."""
    known = [step.score for step in state.best_steps if step.round <= mark]
    return f"{known[-1]:.7g}"


if __name__ == "__main__":
    main()
