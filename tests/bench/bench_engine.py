"""What the engine costs: CPU a round, start, memory, disk, the sandbox; each against its budget."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from engine.journal import events as ev
from engine.journal.blobs import insert_blob
from engine.journal.database import connect_writer, insert_event, sha256_of
from engine.journal.reader import JournalReader
from engine.programs.minhash import sketch
from engine.runs.create import create_run
from engine.runs.folder import Run
from engine.samplers import make_sampler, take_up
from engine.settings.model import SamplerSettings, Settings, merge_settings
from engine.state.fold import apply, fold_run
from engine.state.run_state import RunState
from engine.task.load import load_task

SEED = (
    '"""A program of 60 lines."""\n\n'
    + "".join(
        f"C{i} = {i}.5\n\n\ndef part{i}(x):\n    value = C{i} * x\n    return value + {i + 1}.25\n\n\n"
        for i in range(6)
    )
    + "def total(x):\n    return "
    + " + ".join(f"part{i}(x)" for i in range(6))
    + "\n"
)

EVALUATE = """\
import zlib


def evaluate(path):
    with open(path, "rb") as file:
        return {"score": zlib.crc32(file.read()) / 2**32}
"""

TOML = 'name = "bench"\ndirection = "maximize"\n[interface]\nfunctions = ["total"]\n'


def main(full: bool) -> list[dict[str, Any]]:
    """Measure; `full` takes longer and gives steadier figures."""
    rounds = 400 if full else 150
    folder = Path(tempfile.mkdtemp(prefix="evolve-bench-", dir=os.environ.get("EVOLVE_BENCH_DIR")))
    os.environ["EVOLVE_HOME"] = str(folder / "workspace")
    try:
        task = _task(folder)
        costs = {nodes: _cost_per_round(folder, task, nodes, rounds) for nodes in (100, 1_000, 10_000)}
        rows = [
            _row(f"CPU per round at {nodes:,} nodes", cost["cpu_ms"], "ms", "≤ 5", f"{cost['seconds']:.0f} ms wall")
            for nodes, cost in costs.items()
        ]
        growth = costs[10_000]["cpu_ms"] / costs[1_000]["cpu_ms"]
        rows.append(_row("growth from 1,000 to 10,000 nodes", growth, "×", "≤ 1.1", "best peer: 4.9× within 1,000"))
        rows.append(_row("engine's memory at 1,000 nodes", costs[1_000]["rss_mb"], "MB", "≤ 80", "best peer: 78 MB"))
        rows.append(_row("start to first evaluation", _start(folder, task), "s", "≤ 1.0", "best peer: 1.0 s"))
        rows += _disk(folder, task, 1_000 if full else 300)
        rows.append(_sandbox(folder, task))
        rows.append(_fold(folder))
        for nodes in (100, 1_000, 10_000):
            rows += _samplers(nodes, 1_000 if full else 200)
        return rows
    finally:
        shutil.rmtree(folder)


def _row(name: str, value: float, unit: str, budget: str, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "budget": budget, "note": note}


def _task(folder: Path) -> Path:
    task = folder / "bench"
    task.mkdir()
    for name, text in {"task.toml": TOML, "brief.md": "Bench.\n", "seed.py": SEED, "evaluate.py": EVALUATE}.items():
        (task / name).write_text(text)
    assert len(SEED.splitlines()) <= 60, "the budget is stated for a program of at most 60 lines"
    return task


def _make_run(folder: Path, task: Path, **settings: object) -> Run:
    loaded = load_task(task)
    return create_run(loaded, merge_settings(("bench", settings)), folder / "runs")


def fill(run: Run, nodes: int) -> None:
    """Write a past of so many nodes into a new run, as the engine would have."""
    rng = random.Random(nodes)
    connection = connect_writer(run.db)
    connection.execute("BEGIN")
    seq, best = 1, -1.0

    def add(data: ev.Data, round: int | None = None, node: int | None = None) -> None:
        nonlocal seq
        seq += 1
        insert_event(connection, ev.Event(seq, 1_700_000_000_000 + seq * 20, round, node, data))

    for node in range(nodes):
        parent = rng.randrange(node) if node else None
        code = SEED.replace("C0 = 0.5", f"C0 = {node}.5") if node else SEED
        score = rng.random() * 0.9
        add(ev.RoundStarted(), node)
        if parent is not None:
            shown = [ev.PriorShown(f"prior-{n}", "0" * 64, "A prior", 1.0, "matches score") for n in range(4)]
            add(ev.LearnDone(parent, [], shown, "ucb1"), node)
        insert_blob(connection, code.encode())
        digest = f"{node:064x}"
        parents = [] if parent is None else [parent]
        add(ev.DesignDone(sha256_of(code), "tune" if node else "seed", "tune C0", "x", parents, [], digest), node, node)
        add(ev.EvalStarted("explore"), node, node)
        add(ev.EvalStageDone("explore", "ok", score=score), node, node)
        add(ev.EvalDone("ok", score, stage="explore"), node, node)
        if score > best:
            best = score
            add(ev.BestCrowned(score), node, node)
        add(ev.AnalyzeDone(f"tune C0: gained over #{parent}, score {score:.6g} [changed C0]"), node, node)
        add(ev.RoundEnded("node"), node)
    connection.execute("COMMIT")
    connection.close()


def _engine(run: Run) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "engine", str(run.folder)], stdin=subprocess.DEVNULL)


def _own_cpu(pid: int) -> float:
    """CPU seconds of a process's threads, its children not counted."""
    return sum(int(p.read_text().split()[0]) for p in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _rounds_done(reader: JournalReader) -> int:
    rows = reader._execute("SELECT count(*) FROM events WHERE kind = 'round.ended' AND seq > ?", (0,))
    return int(rows[0][0])


def _cost_per_round(folder: Path, task: Path, nodes: int, rounds: int) -> dict[str, float]:
    run = _make_run(folder, task, rounds=nodes - 1 + rounds + 20, workers=2, slots=1)
    fill(run, nodes)
    engine = _engine(run)
    with JournalReader(run.db) as reader:
        # The first rounds pay for what is done once: the designer's child, the sandbox's probe.
        first = _wait(engine, reader, nodes + 10)
        cpu, began = _own_cpu(engine.pid), time.monotonic()
        last = _wait(engine, reader, nodes + 10 + rounds)
        cpu, seconds = _own_cpu(engine.pid) - cpu, time.monotonic() - began
        rss = _rss_mb(engine.pid)
    engine.terminate()
    engine.wait()
    done = last - first
    return {"cpu_ms": cpu / done * 1e3, "seconds": seconds / done * 1e3, "rss_mb": rss}


def _wait(engine: subprocess.Popen[bytes], reader: JournalReader, rounds: int) -> int:
    while (done := _rounds_done(reader)) < rounds:
        if engine.poll() is not None:
            raise RuntimeError(f"the engine ended with {engine.returncode} after {done} rounds")
        time.sleep(0.02)
    return done


def _start(folder: Path, task: Path) -> float:
    """From the command to the first evaluation, median of 5."""
    taken = []
    for _ in range(5):
        began = time.time()
        code = "from engine.cli import main; main()"
        command = [sys.executable, "-c", code, "run", str(task), "--headless", "--trust", "--rounds", "0"]
        subprocess.run(command, check=True, capture_output=True)
        runs = sorted((folder / "workspace" / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
        with JournalReader(Run(runs[-1]).db) as reader:
            at = next(event.at for event in reader.events() if isinstance(event.data, ev.EvalStarted))
        taken.append(at / 1000 - began)
    return statistics.median(taken)


def _disk(folder: Path, task: Path, rounds: int) -> list[dict[str, Any]]:
    run = _make_run(folder, task, rounds=rounds, workers=4, slots=2)
    engine = _engine(run)
    written = 0
    while engine.poll() is None:
        try:
            lines = dict(line.split(": ") for line in Path(f"/proc/{engine.pid}/io").read_text().splitlines())
            written = max(written, int(lines["write_bytes"]))
        except (OSError, KeyError, ValueError):
            pass
        time.sleep(0.05)
    size = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    scale = 1_000 / rounds / 1e6
    return [
        _row("disk at the end, per 1,000 rounds", size * scale, "MB", "≤ 10", f"{rounds} rounds; best peer: 11 MB"),
        _row("written by the engine, per 1,000 rounds", written * scale, "MB", "≤ 100", "peers: 130 to 2,526 MB"),
    ]


def _sandbox(folder: Path, task: Path) -> dict[str, Any]:
    """Compare an evaluation with all confinement to one with limits only: medians of the wall clock.

    Both take turns, so that whatever else the machine does falls on both.
    """
    code = (
        "import asyncio, os, sys, time, statistics; from pathlib import Path\n"
        "from engine.evaluation.cgroups import CGROUP_VARIABLE, find_cgroups\n"
        "from engine.evaluation.bubblewrap import LANDLOCK_VARIABLE, OFF, VARIABLE\n"
        "from engine.evaluation.evaluator import Evaluation, Job\nfrom engine.task.spec import Limits\n"
        "from engine.evaluation.sandbox import sandbox_name\n"
        "names = (VARIABLE, LANDLOCK_VARIABLE, CGROUP_VARIABLE)\n"
        "own = {name: os.environ.get(name) or 'auto' for name in names}\n"
        "async def main():\n"
        "    task, folder, taken = Path(sys.argv[1]), Path(sys.argv[2]), {True: [], False: []}\n"
        "    for n in range(60):\n"
        "        os.environ.update(own if n % 2 else dict.fromkeys(names, OFF))\n"
        "        job = Job(program='X = 1', task_folder=task, folder=folder / str(n), metric='score', guarded=False,\n"
        "            gpu=False, python=None, mounts=[], stage='explore', repeat=0, seed=0, settings={},\n"
        "            limits=Limits(), threads=1)\n"
        "        began = time.perf_counter()\n"
        "        e = await Evaluation.start(job, lambda s, v: None); o = await e.outcome(); await e.acknowledge()\n"
        "        assert o.status == 'ok', o\n"
        "        taken[bool(n % 2)].append(time.perf_counter() - began)\n"
        "    cgroup = find_cgroups().version or 'none'\n"
        "    print(sandbox_name(), cgroup, *(statistics.median(taken[which][5:]) for which in (True, False)))\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(task), str(folder / "evals")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    name, cgroup, confined, bare = done.stdout.split()
    extra = (float(confined) - float(bare)) * 1e3
    note = f"{name}, cgroup {cgroup}: {float(confined) * 1e3:.0f} ms against {float(bare) * 1e3:.0f} ms for all of it"
    return _row("sandbox on top of a bare process", extra, "ms", "≤ 30", note)


def _fold(folder: Path) -> dict[str, Any]:
    run = next(run for run in map(Run, (folder / "runs").iterdir()) if _nodes(run) > 9_000)
    with JournalReader(run.db) as reader:
        began = time.perf_counter()
        state: RunState = fold_run(reader)
        seconds = time.perf_counter() - began
    return _row(
        "events folded a second", state.seq / seconds, "1/s", "≥ 100,000", f"{state.seq:,} events from the file"
    )


def _samplers(nodes: int, rounds: int) -> list[dict[str, Any]]:
    """What each sampler takes in a round, in this process: one draw, and the events of a node that comes of it."""
    rows = []
    for name in get_args(get_type_hints(SamplerSettings)["name"]):
        rng = random.Random(nodes)
        state = _population(nodes, rng)
        sampler = make_sampler(msgspec.convert({"name": name}, SamplerSettings))
        began = time.perf_counter()
        take_up(sampler, state)
        switch = time.perf_counter() - began
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            sample = sampler.sample(state, 2, rng)
            seconds = time.perf_counter() - began
            assert sample is not None
            for event in _round(state, sample.parent, sample.inspirations, sample.island, rng):
                apply(state, event)
                began = time.perf_counter()
                sampler.apply(event, state)
                seconds += time.perf_counter() - began
            taken.append(seconds * 1e3)
        note = f"p95 {statistics.quantiles(taken, n=20)[-1]:.2f} ms; switching to it {switch * 1e3:.0f} ms"
        rows.append(_row(f"{name} per round at {nodes:,} nodes", statistics.median(taken), "ms", "≤ 1", note))
    return rows


def _population(nodes: int, rng: random.Random) -> RunState:
    """A run of so many nodes that differ in lines, size and score."""
    spec = {"name": "bench", "direction": "maximize"}
    start = ev.RunStarted("bench", msgspec.to_builtins(Settings()), spec, {})
    state = RunState(ev.Event(1, 0, None, None, start))
    while len(state.nodes) < nodes:
        parent = rng.randrange(len(state.nodes)) if state.nodes else None
        for event in _round(state, parent, [], None, rng):
            apply(state, event)
    return state


def _round(
    state: RunState, parent: int | None, inspirations: list[int], island: int | None, rng: random.Random
) -> list[ev.Event]:
    node = len(state.nodes)
    code = "\n".join(f"x = {rng.randrange(200)}" for _ in range(rng.randrange(20, 60)))
    parents = [] if parent is None else [parent]
    made = ev.DesignDone("0" * 64, "tune", "n", "", parents, digest=str(node), size=len(code), sketch=sketch(code))
    learned = [] if parent is None else [ev.LearnDone(parent, inspirations, island=island)]
    steps = [ev.RoundStarted(), *learned, made, ev.EvalDone("ok", rng.random()), ev.RoundEnded("node")]
    return [
        ev.Event(state.seq + n, 0, node, node if isinstance(data, ev.DesignDone | ev.EvalDone) else None, data)
        for n, data in enumerate(steps, 1)
    ]


def _nodes(run: Run) -> int:
    with JournalReader(run.db) as reader:
        kept = reader.meta("summary")
        return int(msgspec.json.decode(kept)["nodes"]) if kept else 0
