"""How much of a run its files hold: what a new process could go on from."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import all_runs
from engine.state.fold import fold_run

__all__ = ["first_evaluation", "noted_scores", "openevolve_state", "our_programs", "our_scores", "shinka_measured"]
__all__ += ["shinka_programs"]


def our_programs(home: Path) -> int:
    """Return how many measured programs the newest run of a workspace holds, the seed not counted."""
    runs = all_runs(home / "runs")
    if not runs:
        return 0
    with JournalReader(runs[-1].db) as reader:
        # A resumed run does not measure again what has a result for its stage, and this task has one stage.
        return len({event.node for event in reader.events_of(ev.EvalStageDone) if event.round})


def first_evaluation(home: Path) -> float:
    """Return when the only run of a workspace began to measure, in seconds since 1970."""
    [run] = all_runs(home / "runs")
    with JournalReader(run.db) as reader:
        return reader.events_of(ev.EvalStarted)[0].at / 1000


def openevolve_state(output: Path) -> tuple[int, int]:
    """Return the round of OpenEvolve's newest whole checkpoint, and how many programs it holds beside the initial one.

    These are fewer than the rounds: it drops programs.
    """
    found = sorted(output.glob("checkpoints/checkpoint_*"), key=lambda path: int(path.name.rpartition("_")[2]))
    for checkpoint in reversed(found):
        try:
            metadata = json.loads((checkpoint / "metadata.json").read_bytes())
            programs = [json.loads(path.read_bytes()) for path in checkpoint.glob("programs/*.json")]
        except (OSError, ValueError):
            continue  # half-written
        return int(metadata["last_iteration"]), sum(program["parent_id"] is not None for program in programs)
    return 0, 0


def shinka_programs(results: Path) -> int:
    """Return how many programs ShinkaEvolve's database holds, the initial one not counted."""
    path = results / "programs.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as database:
        try:
            [(count,)] = database.execute("SELECT count(DISTINCT generation) FROM programs WHERE generation > 0")
        except sqlite3.OperationalError:
            return 0  # killed before the table was made
    return int(count)


def shinka_measured(results: Path) -> int:
    """Return how many programs of ShinkaEvolve have been measured, the initial one not counted."""
    return sum(path.parts[-3] != "gen_0" for path in results.glob("gen_*/results/metrics.json"))


def our_scores(home: Path) -> list[float | None]:
    """Return the scores of the only run of a workspace, by node."""
    [run] = all_runs(home / "runs")
    with JournalReader(run.db) as reader:
        return [node.score for node in fold_run(reader).nodes if node.status is not None]


def noted_scores(file: Path) -> list[float | None]:
    """Return what a peer's evaluator noted: a line for each program that it began, and one for each score."""
    found: list[float | None] = []
    for line in file.read_text().splitlines():
        if line == "begin":
            found.append(None)
        else:
            found[-1] = float(line)
    return found
