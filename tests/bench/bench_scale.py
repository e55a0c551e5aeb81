"""One engine with a thousand slots whose evaluations are simulated: what a round costs as a run grows, how many slots
it keeps busy, and what follows for a million nodes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.cli.bench import load_bench
from engine.journal.reader import JournalReader
from engine.runs.folder import Run

_MILLION = 1_000_000
_FIRST = 20
_FOLD = (
    "import sys, time; from pathlib import Path; from engine.journal.reader import JournalReader\n"
    "from engine.state.fold import fold_run\n"
    "reader = JournalReader(Path(sys.argv[1])); began = time.process_time(); state = fold_run(reader)\n"
    "print(time.process_time() - began, state.seq)\n"
)


def main(full: bool, slots: int | None = None) -> list[dict[str, Any]]:
    """Measure runs of 1,000 and 10,000 nodes; when `full` (some ten minutes) also one of 100,000.

    Args:
        full: the larger run as well, and slots are watched for longer.
        slots: evaluations at once; by default 1,000.
    """
    slots = slots or 1_000
    folder = Path(tempfile.mkdtemp(prefix="evolve-bench-", dir=os.environ.get("EVOLVE_BENCH_DIR")))
    os.environ["EVOLVE_HOME"] = str(folder / "workspace")
    try:
        task = load_bench("engine")._task(folder)
        sizes = [_grow(folder, task, nodes, slots) for nodes in (1_000, 10_000, *([100_000] if full else []))]
        rows = [row for size in sizes for row in size.rows(slots)]
        rows += _million(*sizes[-2:], slots)
        rows += [row for seconds in (20.0, 10.0, 5.0) for row in _keep_busy(folder, task, slots, seconds, full)]
        return rows
    finally:
        shutil.rmtree(folder)


def _row(name: str, value: float, unit: str, note: str = "", budget: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "budget": budget, "note": note}


@dataclass(frozen=True)
class _Size:
    """An engine that takes up a run of so many nodes, and goes on with it."""

    nodes: int
    cpu_ms: float
    """CPU of the engine's process, a round."""
    others_ms: float
    """That of the designer's child."""
    events: float
    """Events a round."""
    rss_mb: float
    open_cpu: float
    """CPU seconds from the start of the engine to its first round."""
    bytes_a_node: float
    fold_cpu: float
    folded: int

    def rows(self, slots: int) -> list[dict[str, Any]]:
        """Return what there is to tell of it."""
        of = f"at {self.nodes:,} nodes"
        note = f"{slots:,} in flight; {self.others_ms:.1f} ms of the designer's child; {self.events:.1f} events a round"
        return [
            _row(f"engine's CPU a round {of}", self.cpu_ms, "ms", note),
            _row(f"engine's memory {of}", self.rss_mb, "MB"),
            _row(f"journal a node {of}", self.bytes_a_node / 1e3, "KB"),
            _row(f"open a run {of}", self.open_cpu, "s", "CPU time of an engine before its first round"),
            _row(f"fold {of}", self.fold_cpu, "s", f"CPU time; {self.folded / self.fold_cpu:,.0f} events a second"),
        ]


def _grow(folder: Path, task: Path, nodes: int, slots: int) -> _Size:
    base = load_bench("engine")
    rounds = max(500, slots)
    run = _make_run(folder, task, nodes + slots + 4 * rounds, slots)
    base.fill(run, nodes)
    size = run.db.stat().st_size
    with _engine(run, slots, 0.0) as engine, JournalReader(run.db) as reader:
        base._wait(engine, reader, nodes + 1)
        opened = base._own_cpu(engine.pid)
        # The first round of each worker comes at once.
        first = base._wait(engine, reader, nodes + slots + _FIRST)
        seq, cpu, others = reader.last_seq(), base._own_cpu(engine.pid), _children_cpu(engine.pid)
        last = base._wait(engine, reader, first + rounds)
        cpu, others = base._own_cpu(engine.pid) - cpu, _children_cpu(engine.pid) - others
        events, rss = reader.last_seq() - seq, base._rss_mb(engine.pid)
    done = last - first
    told = subprocess.run([sys.executable, "-c", _FOLD, str(run.db)], check=True, capture_output=True, text=True)
    fold_cpu, folded = told.stdout.split()
    return _Size(
        nodes, cpu / done * 1e3, others / done * 1e3, events / done, rss, opened, size / nodes, float(fold_cpu),
        int(folded),
    )  # fmt: skip


def _million(smaller: _Size, larger: _Size, slots: int) -> list[dict[str, Any]]:
    """Reckon a million nodes, by the line through two sizes."""

    def at_a_million(of: str) -> float:
        low, high = getattr(smaller, of), getattr(larger, of)
        slope = (high - low) / (larger.nodes - smaller.nodes)
        return float(high + max(0.0, slope) * (_MILLION - larger.nodes))

    of = "reckoned at 1,000,000 nodes"
    cpu_ms = at_a_million("cpu_ms")
    return [
        _row(f"engine's CPU a round {of}", cpu_ms, "ms", f"by the line through {smaller.nodes:,} and {larger.nodes:,}"),
        _row(f"{slots:,} slots stay busy by one core {of}, from", slots * cpu_ms / 1e3, "s", "an evaluation"),
        _row(f"engine's memory {of}", at_a_million("rss_mb"), "MB"),
        _row(f"journal {of}", larger.bytes_a_node * _MILLION / 1e9, "GB"),
        _row(f"open a run {of}", at_a_million("open_cpu"), "s", "CPU time"),
        _row(f"fold {of}", at_a_million("fold_cpu"), "s", "CPU time"),
    ]


def _keep_busy(folder: Path, task: Path, slots: int, seconds: float, full: bool) -> list[dict[str, Any]]:
    """How many slots hold an evaluation that has not ended, and what the engine takes for that."""
    base = load_bench("engine")
    rows = []
    for reports in (False, True) if seconds == 10.0 else (False,):
        run = _make_run(folder, task, _MILLION, slots)
        with _engine(run, slots, seconds, reports) as engine, JournalReader(run.db) as reader:
            assert engine.stdout is not None
            base._wait(engine, reader, 2 * slots)
            cpu, seq, size = base._own_cpu(engine.pid), reader.last_seq(), _size(run)
            marks = [json.loads(engine.stdout.readline())]
            while marks[-1]["at"] < time.monotonic() - 1.5:
                marks = [json.loads(engine.stdout.readline())]  # what was told before this moment
            length = (4 if full else 2) * seconds
            while marks[-1]["at"] - marks[0]["at"] < length:
                marks.append(json.loads(engine.stdout.readline()))
            cpu, events = base._own_cpu(engine.pid) - cpu, reader.last_seq() - seq
            size = _size(run) - size
        taken = marks[-1]["at"] - marks[0]["at"]
        busy = (marks[-1]["held"] - marks[0]["held"]) / taken / slots
        hourly = size / taken * 3.6e-3
        note = f"{events / taken:,.0f} events a second; {cpu / taken:.0%} of a core; {hourly:,.0f} MB an hour"
        what = f"{slots:,} slots, evaluations of {seconds:g} s{', a report a second' if reports else ''}: slots busy"
        rows.append(_row(what, busy * 100, "%", note))
    return rows


def _make_run(folder: Path, task: Path, rounds: int, slots: int) -> Run:
    made: Run = load_bench("engine")._make_run(folder, task, rounds=rounds, workers=slots + 2)
    return made


@contextmanager
def _engine(run: Run, slots: int, seconds: float, reports: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.bench.scale_engine", run.folder, slots, seconds, int(reports)]
    with run.log.open("ab") as log:
        engine = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=ROOT
        )
    try:
        yield engine
    finally:
        engine.kill()
        engine.wait()
        assert engine.stdout is not None
        engine.stdout.close()


def _children_cpu(pid: int) -> float:
    """CPU seconds of the living children of a process."""
    base = load_bench("engine")
    found = 0.0
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += base._own_cpu(int(child))
    return found


def _size(run: Run) -> int:
    return sum(path.stat().st_size for path in run.folder.glob("run.db*"))
