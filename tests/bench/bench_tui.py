"""What the terminal application costs, under a real pseudo-terminal of 120×40 and a run of 10,000 nodes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from engine.state.timeline import run_timeline
from tests.tui.synthetic import make_run
from tests.tui.terminal import Terminal

Row = dict[str, Any]

NODES = 10_000
SHOWN = "of 10,0"
"""The cursor's place among the rows: the run is read and can be used."""
EVOLVE = [sys.executable, "-c", "from engine.cli import main; main()"]


def main(full: bool) -> list[Row]:
    """Measure; `full` takes longer and gives steadier figures."""
    seconds, starts, keys = (20, 7, 100) if full else (8, 3, 40)
    with tempfile.TemporaryDirectory(prefix="evolve-bench-") as folder, _environment(folder):
        runs = Path(folder) / "runs"
        runs.mkdir()
        rows = _idle("list of runs", runs, [], seconds)
        make_run(runs / "big", NODES)
        rows = [*_starts(runs, starts), *rows, *_idle("10k nodes", runs, ["big"], seconds)]
        for rate in (10, 50):
            rows += _live(runs, rate, seconds, keys if rate == 10 else 0)
        rows += _hang_up(runs)
        make_run(runs / "long", 10_400, end="finished")
        rows += [*_replay_opens(runs, starts), *_replay_plays(runs, seconds), *_seeks(Run(runs / "long"))]
    return rows


def _row(name: str, value: float, unit: str, budget: str, note: str = "") -> Row:
    return {"name": name, "value": value, "unit": unit, "budget": budget, "note": note}


@contextmanager
def _environment(folder: str) -> Iterator[None]:
    before = os.environ.get("EVOLVE_HOME")
    os.environ["EVOLVE_HOME"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["EVOLVE_HOME"]
        else:
            os.environ["EVOLVE_HOME"] = before


@contextmanager
def _terminal(runs: Path, names: list[str]) -> Iterator[Terminal]:
    command = [*EVOLVE, "attach", *names, "--runs", str(runs)] if names else EVOLVE
    terminal = Terminal(command, (120, 40), cwd=ROOT, emulate=False)
    try:
        yield terminal
    finally:
        terminal.close()


@contextmanager
def _engine(run: Run, rate: float) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.tui.stand_in", str(run.folder), "--rate", str(rate)]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        while not is_alive(run):
            assert process.poll() is None, "the stand-in for an engine ended"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _starts(runs: Path, count: int) -> list[Row]:
    bare, paints, usable = [], [], []
    for _ in range(count):
        with _terminal(runs, []) as terminal:
            bare.append(terminal.read_until("Help"))
        with _terminal(runs, ["big"]) as terminal:
            paints.append(terminal.read_until("Population"))
            usable.append(terminal.read_until(SHOWN))
    note = f"median of {count}"
    return [
        _row("start of evolve to first paint", statistics.median(bare), "s", "≤ 0.7", f"{note}, the list of runs"),
        _row("start to first paint, 10k nodes", statistics.median(paints), "s", "≤ 0.7", note),
        _row("start to usable, 10k nodes", statistics.median(usable), "s", "≤ 1.2", note),
    ]


def _idle(what: str, runs: Path, names: list[str], seconds: int) -> list[Row]:
    with _terminal(runs, names) as terminal:
        terminal.read_until(SHOWN if names else "Help")
        terminal.read(5, quiet=1.5)
        cpu = terminal.cpu_seconds()
        count = sum(terminal.read(1.0) for _ in range(seconds))
        cpu = terminal.cpu_seconds() - cpu
        rows = [
            _row(f"idle, {what}: bytes", count, "B", "0", f"over {seconds} s"),
            _row(f"idle, {what}: CPU", cpu / seconds * 100, "%", "≤ 0.7"),
        ]
        return [*rows, _row("memory at 10k nodes", terminal.memory_mb(), "MB", "≤ 120")] if names else rows


def _live(runs: Path, rate: int, seconds: int, keys: int) -> list[Row]:
    with _engine(Run(runs / "big"), rate), _terminal(runs, ["big"]) as terminal:
        terminal.read_until("running")
        for _ in range(3):
            terminal.read(1.0)
        cpu = terminal.cpu_seconds()
        counts = [terminal.read(1.0) for _ in range(seconds)]
        cpu = terminal.cpu_seconds() - cpu
        budget = "≤ 4" if rate == 10 else "≤ 6"
        rows = [
            _row(f"{rate} events/s: CPU", cpu / seconds * 100, "%", budget),
            _row(f"{rate} events/s: bytes, mean second", sum(counts) / seconds, "B", "≤ 4000"),
            _row(f"{rate} events/s: bytes, worst second", max(counts), "B", "≤ 20000"),
        ]
        return [*rows, *_keys(terminal, keys, rate)] if keys else rows


def _keys(terminal: Terminal, count: int, rate: int) -> list[Row]:
    """Time from a cursor key to the first byte after it; bytes that events cause now and then make it look short."""
    waits = []
    for _ in range(count):
        terminal.read(0.2, quiet=0.05)
        begun = time.perf_counter()
        terminal.send("j")
        while not terminal.read(1.0, quiet=0.0):
            assert time.perf_counter() - begun < 10, "the application does not answer"
        waits.append(time.perf_counter() - begun)
    waits.sort()
    note = f"{count} keys, p50 {statistics.median(waits) * 1000:.0f} ms, longest {waits[-1] * 1000:.0f} ms"
    return [_row(f"{rate} events/s: key to first byte, p95", waits[int(count * 0.95) - 1] * 1000, "ms", "≤ 40", note)]


def _hang_up(runs: Path) -> list[Row]:
    with _terminal(runs, ["big"]) as terminal:
        terminal.read_until(SHOWN)
        begun = time.perf_counter()
        terminal.hang_up()
        code = terminal.process.wait(20)
        return [_row("hang-up to exit", time.perf_counter() - begun, "s", "< 1", f"exit code {code}, to be 129")]


@contextmanager
def _replay(runs: Path, *options: str) -> Iterator[Terminal]:
    command = [*EVOLVE, "replay", str(runs / "long"), *options]
    terminal = Terminal(command, (120, 40), cwd=ROOT, emulate=False)
    try:
        yield terminal
    finally:
        terminal.close()


def _replay_opens(runs: Path, count: int) -> list[Row]:
    """Open a run of 100,000 events at its start and at its end, and go from place to place in it."""
    at_start, at_end, seeks, memory = [], [], [], 0.0
    with JournalReader(runs / "long" / "run.db") as reader:
        last = reader.last_seq()
    places = [last // 2, last - 9, 5, last // 3, last - 4000]
    for _ in range(count):
        with _replay(runs) as terminal:
            at_start.append(terminal.read_until("event 1/"))
        with _replay(runs, "--at", str(last)) as terminal:
            at_end.append(terminal.read_until(f"event {last:,}/"))
            terminal.read(4, quiet=2.0)
            for place in places:
                terminal.send("t")
                terminal.read(1.0, quiet=0.2)
                terminal.send(str(place))
                terminal.read(1.0, quiet=0.2)
                begun = time.perf_counter()
                terminal.send("\r")
                terminal.read_until(f"event {place:,}/")
                seeks.append(time.perf_counter() - begun)
                terminal.read(2.0, quiet=0.4)
            memory = terminal.memory_mb()
    note = f"{last:,} events, median of {count}"
    seeks.sort()
    return [
        _row("replay: command to the run's start", statistics.median(at_start), "s", "≤ 1", note),
        _row("replay: command to the run's end", statistics.median(at_end), "s", "≤ 1", note),
        _row(
            "replay: seek, key to paint, median", statistics.median(seeks) * 1000, "ms", "≤ 100",
            f"{len(seeks)} seeks, longest {seeks[-1] * 1000:.0f} ms",
        ),
        _row("replay: memory", memory, "MB", "≤ 120"),
    ]  # fmt: skip


def _replay_plays(runs: Path, seconds: int) -> list[Row]:
    with _replay(runs, "--speed", "1000", "--at", "2") as terminal:
        terminal.read_until("event ")
        terminal.read(3.0)
        cpu = terminal.cpu_seconds()
        counts = [terminal.read(1.0) for _ in range(seconds)]
        cpu = terminal.cpu_seconds() - cpu
        return [
            _row("replay at 1000×: CPU", cpu / seconds * 100, "%", "–", "some 5,000 events a second"),
            _row("replay at 1000×: bytes, mean second", sum(counts) / seconds, "B", "≤ 20000"),
            _row("replay at 1000×: bytes, worst second", max(counts), "B", "≤ 20000"),
        ]


def _seeks(run: Run) -> list[Row]:
    """The state alone, without a terminal: CPU time of folding all, and of any place afterwards."""
    with JournalReader(run.db) as reader:
        last = reader.last_seq()
        line = run_timeline(reader)
        begun = time.process_time()
        line.grow(last)
        whole = time.process_time() - begun
        waits = []
        for place in range(last // 20, last, last // 20):
            begun = time.process_time()
            line.at(place)
            waits.append(time.process_time() - begun)
    return [
        _row("state: events folded a second, states kept", last / whole, "/s", "≥ 100000"),
        _row("state: any place, longest", max(waits) * 1000, "ms", "≤ 100", f"{len(waits)} places, CPU time"),
    ]


if __name__ == "__main__":
    for row in main("--full" in sys.argv):
        print(f"{row['name']:<42} {row['value']:>10.4g} {row['unit']:<3} budget {row['budget']:<8} {row['note']}")
