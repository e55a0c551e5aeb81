"""Run one system on the task, and measure it from outside."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EvolveError
from engine.evaluation.bubblewrap import LANDLOCK_VARIABLE, VARIABLE, WARM_VARIABLE
from engine.evaluation.cgroups import CGROUP_VARIABLE
from tests.bench.peers.model import Model
from tests.bench.peers.sides import Side
from tests.bench.peers.tree import Mark, Tree

__all__ = ["Costs", "Loss", "environment_of", "last_line", "lose", "measure"]

_SILENCE = 300.0
"""Seconds without a request for a program after which a system is given up."""
_COMPARED = (WARM_VARIABLE, VARIABLE, LANDLOCK_VARIABLE, CGROUP_VARIABLE)
"""Variables that say how evaluations are started and confined: what is compared with them is measured with them."""
_LEAST_ROUNDS = 20
"""Rounds below which a tenth of them says nothing about growth."""


@dataclass(frozen=True)
class Costs:
    """What a run cost, by round where nothing else is said. A round goes from one request for a program to the next."""

    cpu_ms: float
    """CPU time of all processes."""
    main_ms: float
    """CPU time of the main process."""
    wall_ms: float
    growth: float | None
    """CPU time of all processes a round, the last tenth of the rounds over the first; None for few rounds."""
    main_growth: float | None
    """The same of the main process."""
    tokens: float
    """Tokens of prompts."""
    calls: float
    """Calls of the model."""
    disk_kb: float
    """Size of all files at the end."""
    written_kb: float | None
    """Bytes sent to storage; None where the files lie in memory."""
    memory_mb: float
    """Most resident memory of the main process."""
    start_s: float
    """Seconds from the command to the first evaluation."""
    kept: float
    """Share of the measured programs that the files hold at the end."""
    counted_by: str
    """What counted the CPU time of all processes: a cgroup, or `getrusage`, which misses some."""


@dataclass(frozen=True)
class Loss:
    """What a SIGKILL of the main process in mid-run cost."""

    measured: int
    """Rounds whose programs were measured by then."""
    lost: int
    """Those of them that the files know nothing of."""


class _Watch:
    """Note what a system has spent at some of its requests."""

    def __init__(self, tree: Tree, marks: set[int], kill: int = 0) -> None:
        self._tree, self._marks, self._kill = tree, marks, kill
        self.taken: dict[int, Mark] = {}
        self.last = time.monotonic()

    def __call__(self, number: int) -> None:
        self.last = time.monotonic()
        if number in self._marks:
            self.taken[number] = self._tree.mark()
        if number == self._kill:
            self._tree.kill_main()


def measure(side: Side, folder: Path, rounds: int) -> Costs:
    """Let a system do at least two rounds and return what they cost.

    Raises:
        EvolveError: it ended early, or asked for nothing for five minutes.
    """
    tenth = max(1, rounds // 10)
    marks = {1, 1 + tenth, rounds - tenth, rounds}
    with Tree() as tree:
        watch = _Watch(tree, marks)
        model = Model(watch)
        try:
            began = time.time()
            _run(side, folder, rounds, tree, model, watch)
        finally:
            model.close()
        code = tree.main.returncode if tree.main else 0
        if code or model.designs < rounds:
            raise EvolveError(
                f"{side.name} ended with code {code} after {model.designs} of {rounds} requests: {last_line(folder)}"
            )
        tree.end()
        written = tree.written()
    first, last = watch.taken[1], watch.taken[rounds]
    done = rounds - 1

    def growth(of: str) -> float | None:
        early = getattr(watch.taken[1 + tenth], of) - getattr(first, of)
        late = getattr(last, of) - getattr(watch.taken[rounds - tenth], of)
        return late / early if rounds >= _LEAST_ROUNDS and early > 0 else None

    size = sum(path.lstat().st_size for path in (folder / "state").rglob("*") if path.is_file())
    return Costs(
        cpu_ms=(last.cpu - first.cpu) / done * 1e3,
        main_ms=(last.main_cpu - first.main_cpu) / done * 1e3,
        wall_ms=(last.at - first.at) / done * 1e3,
        growth=growth("cpu"),
        main_growth=growth("main_cpu"),
        tokens=model.tokens / model.designs,
        calls=(model.designs + model.reports) / model.designs,
        disk_kb=size / rounds / 1e3,
        written_kb=written / rounds / 1e3 if written else None,
        memory_mb=tree.peak_mb,
        start_s=side.first_evaluation(folder) - began,
        kept=side.kept(folder) / rounds,
        counted_by=tree.counted_by,
    )


def lose(side: Side, folder: Path, rounds: int) -> Loss:
    """Kill a system when three quarters of its rounds are done, and return what its files hold then."""
    last = max(2, rounds * 3 // 4)
    with Tree() as tree:
        watch = _Watch(tree, set(), kill=last)
        model = Model(watch)
        try:
            _run(side, folder, rounds, tree, model, watch)
        finally:
            model.close()
        if model.designs < last:
            raise EvolveError(f"{side.name} ended after {model.designs} of {rounds} requests: {last_line(folder)}")
        # Ended before the files are read: a survivor could write to them meanwhile.
        tree.end()
    measured = side.measured(folder, last)
    return Loss(measured, measured - side.rounds(folder))


def _run(side: Side, folder: Path, rounds: int, tree: Tree, model: Model, watch: _Watch) -> None:
    command = side.prepare(folder, model.url, rounds)
    (folder / "state").mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        tree.start(command, folder, environment_of(folder), log)
        while tree.running():
            if time.monotonic() - watch.last > _SILENCE:
                raise EvolveError(f"{side.name} asked for nothing for {_SILENCE:.0f} s: {last_line(folder)}")
            time.sleep(0.05)


def environment_of(folder: Path) -> dict[str, str]:
    """Return the environment of a system whose files go into a folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        # Without the last each start would compile what it imports, and bytecode is part of an installation.
        if name in _COMPARED or not (name.startswith("EVOLVE_") or name == "PYTHONDONTWRITEBYTECODE")
    }
    own = {"EVOLVE_HOME": str(folder / "state"), "OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1"}
    return {**kept, **own}


def last_line(folder: Path) -> str:
    """Return the last words of a system."""
    lines = [line.strip() for line in (folder / "log").read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
