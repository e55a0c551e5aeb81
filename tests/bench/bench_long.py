"""A long run with a trivial evaluator: whether memory, time a round and disk stay flat over thousands of rounds."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from engine.cli.bench import load_bench
from engine.journal.reader import JournalReader

_PARTS = 5


class _Mark(NamedTuple):
    """The engine after so many rounds."""

    rounds: int
    cpu: float
    seconds: float
    rss_mb: float
    disk_mb: float


def main(full: bool) -> list[dict[str, Any]]:
    """Measure 5,000 rounds when `full` (some ten minutes), else 500."""
    base = load_bench("engine")
    rounds = 5_000 if full else 500
    folder = Path(tempfile.mkdtemp(prefix="evolve-bench-", dir=os.environ.get("EVOLVE_BENCH_DIR")))
    os.environ["EVOLVE_HOME"] = str(folder / "workspace")
    try:
        run = base._make_run(folder, base._task(folder), rounds=rounds + 100)
        engine = base._engine(run)
        marks = []
        with JournalReader(run.db) as reader:
            # The first rounds pay for what is done once.
            for part in range(_PARTS + 1):
                done = base._wait(engine, reader, 20 + part * rounds // _PARTS)
                disk = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file()) / 1e6
                cpu, rss = base._own_cpu(engine.pid), base._rss_mb(engine.pid)
                marks.append(_Mark(done, cpu, time.monotonic(), rss, disk))
        engine.terminate()
        engine.wait()
    finally:
        shutil.rmtree(folder)
    return _rows(marks, rounds)


def _rows(marks: list[_Mark], rounds: int) -> list[dict[str, Any]]:
    def row(name: str, value: float, unit: str, budget: str = "", note: str = "") -> dict[str, Any]:
        return {"name": name, "value": value, "unit": unit, "budget": budget, "note": note}

    def each(first: _Mark, last: _Mark) -> tuple[float, float]:
        count = last.rounds - first.rounds
        return (last.cpu - first.cpu) / count * 1e3, (last.seconds - first.seconds) / count * 1e3

    parts = [each(first, last) for first, last in itertools.pairwise(marks)]
    cpus, walls = [part[0] for part in parts], [part[1] for part in parts]
    disk = (marks[-1].disk_mb - marks[0].disk_mb) / (marks[-1].rounds - marks[0].rounds) * 1e3
    grown = (marks[-1].rss_mb - marks[1].rss_mb) / (marks[-1].rounds - marks[1].rounds) * 1e3
    told = f"by fifths of {rounds:,} rounds: "
    return [
        row("engine CPU a round, last fifth", cpus[-1], "ms", "≤ 5", told + _list(cpus)),
        row("the same, last fifth over first", cpus[-1] / cpus[0], "×", "≤ 1.1"),
        row("wall clock a round, last fifth", walls[-1], "ms", "", told + _list(walls)),
        row("engine's memory at the end", marks[-1].rss_mb, "MB", "≤ 80", _list([mark.rss_mb for mark in marks])),
        row("memory per 1,000 rounds, after the first fifth", grown, "MB"),
        row("disk while it runs, per 1,000 rounds", disk, "MB", "≤ 10", _list([mark.disk_mb for mark in marks])),
    ]


def _list(values: list[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)
