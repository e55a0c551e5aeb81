"""Evaluations on a Ray cluster of two machines on loopback, and on this machine alone: what each costs, where it goes,
how full slots are, and how fast evaluations end with their engine.

Cluster and engine share this machine's cores, so that what a cluster of many machines spreads is added up here.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.cli.bench import load_bench
from engine.errors import UsageError
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from tests.bench.peers.group import Group, make_group
from tests.ray_machines import RayCluster

_FIRST = 20
"""Rounds that pay for what is done once: workers, blobs, the designer's child, the sandbox's probe."""
_AT_ONCE = 4
_WARM_SECONDS = 600.0
_QUIET_SECONDS = 5.0
_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_SLEEPY = """\
import time
import zlib


def evaluate(path):
    time.sleep(@SECONDS@)
    with open(path, "rb") as file:
        return {"score": zlib.crc32(file.read()) / 2**32}
"""


def main(full: bool, evaluations: int | None = None, slots: int | None = None) -> list[dict[str, Any]]:
    """Measure; the parts are an idle cluster, evaluations that take no time, and ones of a second.

    Args:
        full: 1,000 evaluations instead of 200, and slots are watched for 60 s instead of 20.
        evaluations: that take no time, each way.
        slots: of the cluster, for evaluations of a second; by default 64.

    Raises:
        UsageError: Ray is not installed, or no cgroup can be made that counts CPU time.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("Ray is not installed", "Run 'pip install asi-evolve-tui[ray]' in evolve's environment")
    count, slots = evaluations or (1_000 if full else 200), slots or 64
    folder = Path(tempfile.mkdtemp(prefix="evolve-b-", dir=os.environ.get("EVOLVE_BENCH_DIR")))
    os.environ["EVOLVE_HOME"] = str(folder / "workspace")
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        return [*_free(folder, count), *_full_slots(folder, slots, 60.0 if full else 20.0)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _row(name: str, value: float, unit: str, budget: str = "", note: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "budget": budget, "note": note}


# What is counted


class _Counter:
    """CPU seconds of all processes in cgroups, and those of the ones that live long by what they are.

    Args:
        groups: the cgroups.
        engine: the engine's process.
    """

    def __init__(self, groups: list[Group], engine: int) -> None:
        self._groups, self._engine = groups, engine
        self._seen: dict[int, tuple[str, float]] = {}

    def look(self) -> None:
        """Take in what the living processes have used; what a process used after the last look counts as unknown."""
        for group in self._groups:
            for pid, command in group.commands().items():
                try:
                    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
                except OSError:
                    continue
                kind = self._kind(pid, command)
                if kind:
                    self._seen[pid] = (kind, (int(fields[11]) + int(fields[12])) * _TICK)

    def read(self) -> Counter[str]:
        """Return the CPU seconds so far, by kind of process."""
        self.look()
        found: Counter[str] = Counter()
        for kind, seconds in self._seen.values():
            found[kind] += seconds
        found["evaluations"] = sum(group.cpu() for group in self._groups) - sum(found.values())
        return found

    def _kind(self, pid: int, command: str) -> str:
        if pid == self._engine:
            return "engine"
        if "ray_bridge" in command:
            return "bridge"
        if _is_rays(command):
            return "Ray's own"
        return "Ray's workers" if command.startswith("ray::") else ""


def _is_rays(command: str) -> bool:
    """Tell whether a process of the cluster is there whatever is evaluated."""
    if command.startswith("ray::"):
        return command.rstrip().endswith("Agent")
    return "/ray/" in command or "ray_cluster.py" in command


@dataclass(frozen=True)
class _Spent:
    """What a stretch of a run took."""

    rounds: int
    seconds: float
    cpu: Counter[str]
    rss_mb: float

    @property
    def total_ms(self) -> float:
        """CPU milliseconds of all processes, a round."""
        return sum(self.cpu.values()) / self.rounds * 1e3

    def shares(self) -> str:
        """Return where they went."""
        return ", ".join(f"{kind} {seconds / self.rounds * 1e3:.1f}" for kind, seconds in self.cpu.most_common())


@contextmanager
def _group() -> Iterator[Group]:
    made = make_group()
    if made is None:
        raise UsageError("no cgroup can be made that counts CPU time", "'evolve doctor' says why, and what to do")
    try:
        yield made
    finally:
        made.remove()


@contextmanager
def _cluster(folder: Path, group: Group, variables: Mapping[str, str] = MappingProxyType({})) -> Iterator[RayCluster]:
    # Ray's sockets need a short path.
    place = Path(tempfile.mkdtemp(prefix="r", dir=folder))
    cluster = RayCluster(place, {"RAY_TMPDIR": str(place), **variables}, group.start_in([]))
    try:
        yield cluster
    finally:
        cluster.close()


@contextmanager
def _engine(run: Run, group: Group) -> Iterator[subprocess.Popen[bytes]]:
    with run.log.open("ab") as log:
        engine = subprocess.Popen(
            group.start_in([sys.executable, "-m", "engine", str(run.folder)]),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT,
        )  # fmt: skip
    try:
        yield engine
    finally:
        if engine.poll() is None:
            engine.terminate()
        engine.wait()


def _done(engine: subprocess.Popen[bytes], run: Run, reader: JournalReader, rounds: int, counter: _Counter) -> int:
    """Wait until so many rounds are done; return how many are."""
    base = load_bench("engine")
    looked = time.monotonic()
    while (done := base._rounds_done(reader)) < rounds:
        if engine.poll() is not None:
            raise RuntimeError(f"the engine ended with {engine.returncode}: {run.log.read_text()[-2000:]}")
        if time.monotonic() - looked > 1.0:
            counter.look()
            looked = time.monotonic()
        time.sleep(0.05)
    return int(done)


# Evaluations that take no time


def _free(folder: Path, count: int) -> list[dict[str, Any]]:
    """What a round costs by each executor, the second one on a cluster that is there already."""
    task = load_bench("engine")._task(folder)
    with _group() as group:
        local = _spend(folder / "local", task, count, [group], {"slots": _AT_ONCE})
    with _group() as ours, _group() as theirs, _cluster(folder, theirs) as cluster:
        for name in ("alpha", "beta"):
            cluster.add(name, _AT_ONCE // 2)
        idle = _idle(theirs)
        ray = _spend(folder / "ray", task, count, [ours, theirs], {"executor": cluster.settings})
    said = f"{count:,} rounds, {_AT_ONCE} at once"
    return [
        _row("idle cluster of a head and two machines", idle * 1e3, "ms/s", "", "CPU time that Ray takes a second"),
        *(
            row
            for name, spent in (("here", local), ("on Ray", ray))
            for row in (
                _row(f"CPU a round {name}, all processes", spent.total_ms, "ms", "", spent.shares()),
                _row(f"wall clock a round {name}", spent.seconds / spent.rounds * 1e3, "ms", "", said),
                _row(f"engine's memory at the end {name}", spent.rss_mb, "MB"),
            )
        ),
    ]


def _idle(group: Group, seconds: float = 5.0) -> float:
    time.sleep(seconds)  # machines that have just started are busy with that
    before = group.cpu()
    time.sleep(seconds)
    return (group.cpu() - before) / seconds


def _spend(folder: Path, task: Path, count: int, groups: list[Group], settings: dict[str, Any]) -> _Spent:
    base = load_bench("engine")
    run = base._make_run(folder, task, rounds=_FIRST + count + 100, **settings)
    with _engine(run, groups[0]) as engine, JournalReader(run.db) as reader:
        counter = _Counter(groups, engine.pid)
        first = _done(engine, run, reader, _FIRST, counter)
        before, began = counter.read(), time.monotonic()
        last = _done(engine, run, reader, _FIRST + count, counter)
        after, seconds = counter.read(), time.monotonic() - began
        rss = base._rss_mb(engine.pid)
    return _Spent(last - first, seconds, Counter({kind: after[kind] - before[kind] for kind in after}), rss)


# Slots


def _full_slots(folder: Path, slots: int, seconds: float) -> list[dict[str, Any]]:
    """How full slots are of evaluations of a second, and of ones that leave the cores time; then the engine's end."""
    each = -(-slots // 2)
    share = int(10_000 / each) / 10_000  # Ray counts in ten thousandths of a core
    rows: list[dict[str, Any]] = []
    # Of idle workers Ray ends all but one for each core, and would start them again.
    kept = {"RAY_num_workers_soft_limit": str(each)}
    with _group() as theirs, _cluster(folder, theirs, kept) as cluster:
        for name in ("alpha", "beta"):
            cluster.add(name, 1)
        length = 1.0
        for turn in range(2):
            task = _sleepy(folder / f"sleepy{turn}", length, share)
            with _group() as ours:
                busy = _watch(folder / f"runs{turn}", task, cluster, [ours, theirs], slots, seconds, turn == 1)
            rows += busy.rows(slots, length)
            # So long that two thirds of the cores' time are enough for what an evaluation costs.
            length = float(max(2, round(slots * busy.spent.total_ms / 1e3 / (os.cpu_count() or 1) * 1.5)))
        rows.append(busy.end)
    return rows


def _sleepy(folder: Path, seconds: float, share: float) -> Path:
    folder.mkdir()
    base = load_bench("engine")
    task: Path = base._task(folder)
    (task / "task.toml").write_text(f"{base.TOML}[resources]\ncpus = {share}\n")
    (task / "evaluate.py").write_text(_SLEEPY.replace("@SECONDS@", str(seconds)))
    return task


@dataclass(frozen=True)
class _Busy:
    """How full the slots were while they were watched."""

    spent: _Spent
    held: float
    """Share of slots that held an evaluation, from its start on its machine to its result in the journal."""
    worker_mb: float
    warm: float
    """Seconds until each slot had its worker."""
    end: dict[str, Any]

    def rows(self, slots: int, length: float) -> list[dict[str, Any]]:
        """Return what there is to tell of it."""
        cores = os.cpu_count() or 1
        full = sum(self.spent.cpu.values()) / self.spent.seconds / cores
        rate = self.spent.rounds / self.spent.seconds
        named = f"{slots} slots, evaluations of {length:g} s"
        note = f"{rate:.1f} a second, of {slots / length:.1f} at best; {full:.0%} of {cores} cores busy"
        return [
            _row(f"{named}: slots busy", self.held * 100, "%", "≥ 95", note),
            _row("CPU an evaluation, all processes", self.spent.total_ms, "ms", "", self.spent.shares()),
            _row(
                "memory of a slot", self.worker_mb, "MB", "", "a Ray worker and what it forks from, shared pages halved"
            ),
            _row("until each slot had its worker", self.warm, "s", "", "Ray starts one at a time on each machine"),
            _row("engine's memory", self.spent.rss_mb, "MB"),
        ]


def _watch(
    folder: Path, task: Path, cluster: RayCluster, groups: list[Group], slots: int, seconds: float, kill: bool
) -> _Busy:
    base = load_bench("engine")
    run = base._make_run(folder, task, rounds=1_000_000, slots=slots, executor=cluster.settings)
    end: dict[str, Any] = {}
    with _engine(run, groups[0]) as engine, JournalReader(run.db) as reader:
        counter = _Counter(groups, engine.pid)
        warm = _warm(engine, run, reader, groups[-1], slots, counter)
        # What starts cold in a worker has been started then.
        first = _done(engine, run, reader, base._rounds_done(reader) + 2 * slots, counter)
        before, began, at = counter.read(), time.monotonic(), time.time()
        while time.monotonic() - began < seconds:
            time.sleep(1.0)
            counter.look()
        last = base._rounds_done(reader)
        after, taken, until = counter.read(), time.monotonic() - began, time.time()
        rss, worker = base._rss_mb(engine.pid), _slot_mb(groups[-1], slots)
        if kill:
            end = _end(engine, groups[-1])
        held = _held(reader, at * 1e3, until * 1e3) / slots
    spent = _Spent(last - first, taken, Counter({kind: after[kind] - before[kind] for kind in after}), rss)
    return _Busy(spent, held, worker, warm, end)


def _warm(
    engine: subprocess.Popen[bytes], run: Run, reader: JournalReader, group: Group, slots: int, counter: _Counter
) -> float:
    """Wait until Ray has a worker for each slot, and starts no further ones; return how long that took."""
    began = changed = time.monotonic()
    base = load_bench("engine")
    workers: set[int] = set()
    while len(workers) < slots or time.monotonic() - changed < _QUIET_SECONDS:
        _done(engine, run, reader, base._rounds_done(reader) + 1, counter)
        time.sleep(0.2)
        found = {pid for pid, line in group.commands().items() if line.startswith("ray::") and not _is_rays(line)}
        if found - workers:
            changed = time.monotonic()
        workers = found
        if time.monotonic() - began > _WARM_SECONDS:
            raise RuntimeError(f"Ray started no {slots} workers within {_WARM_SECONDS:g} s")
    return changed - began


def _held(reader: JournalReader, start: float, end: float) -> float:
    """Return how many evaluations were on their machines between two times, on average."""
    placed: dict[int | None, int] = {}
    held = 0.0
    for event in reader.events():
        if isinstance(event.data, ev.EvalPlaced):
            placed[event.node] = event.at
        elif isinstance(event.data, ev.EvalStageDone) and event.node in placed:
            held += max(0.0, min(event.at, end) - max(placed.pop(event.node), start))
    held += sum(max(0.0, end - max(at, start)) for at in placed.values())
    return held / (end - start)


def _slot_mb(group: Group, slots: int) -> float:
    """Return the memory of the cluster's processes beside Ray's own ones, in MB a slot; a shared page is shared out."""
    total = 0
    for pid, command in group.commands().items():
        if _is_rays(command):
            continue
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024 / slots


def _end(engine: subprocess.Popen[bytes], group: Group) -> dict[str, Any]:
    """Kill the engine, and wait until nothing is left of what it ran: workers, supervisors, candidates."""

    def left() -> int:
        # Ray starts workers ahead, for whoever comes next.
        return sum(not _is_rays(line) and not line.startswith("ray::IDLE") for line in group.commands().values())

    running = left()
    engine.kill()
    began = time.monotonic()
    while left():
        if time.monotonic() - began > 120:
            raise RuntimeError("evaluations outlive their engine by two minutes")
        time.sleep(0.01)
    taken = time.monotonic() - began
    return _row("from an engine's SIGKILL to the end of all it ran", taken, "s", "≤ 5", f"{running} processes")
