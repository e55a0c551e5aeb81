"""Curves of the model-free designer on circle packing, without the engine: best score by round, several seeds.

    python -m tests.bench.recombine_curve --seeds 0 1 2 --rounds 100 [--bandit learning|frozen|uniform]

Programs run in warm processes (SciPy is imported once), as trusted code: this measures the search, not the sandbox.
Controls: with `--bandit uniform` every choice is random; with `frozen` the bandit keeps the opinions it starts with.
Prints one JSON object a seed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import os
import random
import signal
import sys
import time
import types
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

from cognition.files import PriorFolder
from cognition.retrieve import retrieve
from engine.designers.base import ContextNode, DesignerError, DesignRequest
from engine.designers.recombine import RecombineDesigner
from engine.designers.recombine.bandit import Bandit
from engine.designers.recombine.designer import OPINIONS
from engine.events import DesignDone, EvalDone, Event
from engine.program import outline
from engine.task import Task, find_task, load_task

MARKS = (10, 25, 50, 100, 200, 300)


class Uniform(Bandit):
    """The control: every choice is random, nothing is learned."""

    def choose(self, arms: Sequence[str], rng: random.Random) -> str:
        return rng.choice(arms)


class Frozen(Bandit):
    """The other control: draws by the opinions that the designer starts with, and never learns."""

    def learn(self, arm: str, gained: bool, share: float = 1.0) -> None:
        pass


class _Invalid(Exception):
    pass


def warm_up() -> None:
    """What every evaluation would import anew."""
    import scipy.optimize  # noqa: F401


def evaluate(folder: str, code: str, settings: dict[str, Any]) -> tuple[str, float | None, str, float]:
    """Status, score, reason and CPU seconds of a program."""
    started = time.process_time()
    task_module = types.ModuleType("evolve_task")
    namespace: dict[str, Any] = {"__name__": "candidate"}
    task_module.Invalid = _Invalid  # type: ignore[attr-defined]
    task_module.call = lambda name: namespace[name]()  # type: ignore[attr-defined]
    sys.modules["evolve_task"] = task_module
    evaluator: dict[str, Any] = {"__name__": "evaluator"}
    exec(Path(folder, "evaluate.py").read_text(), evaluator)

    class Report:
        def __init__(self) -> None:
            self.settings = settings

        def __call__(self, **values: float) -> None:
            pass

    def late(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
    try:
        with contextlib.redirect_stdout(None):
            exec(compile(code, "candidate", "exec"), namespace)
            score = evaluator["evaluate"]("", Report())["sum_radii"]
        status, reason = "ok", ""
    except _Invalid as exc:
        status, score, reason = "invalid", None, str(exc)
    except TimeoutError:
        status, score, reason = "timeout", None, "20 s of CPU"
    except Exception as exc:
        status, score, reason = "crashed", None, f"{type(exc).__name__}: {exc}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return status, score, reason, time.process_time() - started


BANDITS = {
    "learning": lambda: Bandit(priors=OPINIONS),
    "frozen": lambda: Frozen(priors=OPINIONS),
    "uniform": Uniform,
}


class Search:
    """The loop in small: rank-based UCB1 parents, several rounds in flight."""

    def __init__(self, task: Task, seed: int, bandit: str, pool: ProcessPoolExecutor, slots: int) -> None:
        self.task, self.seed, self.pool = task, seed, pool
        self.designer = RecombineDesigner(task.spec, task.seeds, gained=self.gained, bandit=BANDITS[bandit]())
        self.priors = PriorFolder(task.priors)
        self.nodes: list[ContextNode] = []
        self.expanded: list[int] = []
        self.rows: list[dict[str, Any]] = []
        self.slots, self.in_flight = asyncio.Semaphore(slots), slots + 2
        self.cpu = self.design_seconds = 0.0
        self.started = 0
        self.lost = 0
        self.best: dict[int, float] = {}
        self.done = 0

    def rng(self, *parts: object) -> random.Random:
        return random.Random(hashlib.sha256(repr((self.seed, *parts)).encode()).digest())

    def gained(self, node: int, parent: int) -> bool:
        score, before = self.nodes[node].score, self.nodes[parent].score
        return score is not None and (before is None or self.task.spec.better(score, before))

    def parent(self) -> int:
        scored = [node for node in self.nodes if node.score is not None]
        order = sorted(scored, key=lambda node: node.score or 0.0)
        rank = {node.id: place / max(len(order) - 1, 1) for place, node in enumerate(order)}
        total = sum(1 + self.expanded[node.id] for node in scored)
        return max(
            scored,
            key=lambda n: rank[n.id] + 0.1 * math.sqrt(math.log(total) / (1 + self.expanded[n.id])),
        ).id

    async def measure(self, node: int, parents: list[int], code: str, credit: dict[str, str], name: str) -> None:
        self.designer.apply(
            Event(
                0,
                0,
                node,
                node,
                DesignDone(
                    program="",
                    operator="",
                    name=name,
                    motivation="",
                    parents=parents,
                    credit=credit,
                    digest=outline(code).digest,
                ),
            )
        )
        async with self.slots:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(
                self.pool, evaluate, str(self.task.folder), code, self.task.spec.settings
            )
        status, score, reason, cpu = result
        self.cpu += cpu
        self.nodes[node] = ContextNode(node, code, status, score, f"{name}: {reason or score}", name)
        self.designer.apply(Event(0, 0, node, node, EvalDone(status=status, score=score)))  # type: ignore[arg-type]
        self.rows.append(
            {
                "node": node,
                "parents": parents,
                "score": score,
                "status": status,
                "name": name,
                "cpu": cpu,
                "size": len(code),
                "reason": reason,
                "credit": credit,
            }
        )

    async def round(self, number: int) -> None:
        parent = self.parent()
        self.expanded[parent] += 1
        scored = [node.id for node in self.nodes if node.score is not None and node.id != parent]
        others = self.rng(number, "others").sample(scored, min(2, len(scored)))
        query = "\n".join(self.nodes[node].lesson for node in (parent, *others))
        hits = retrieve(self.priors.read(), query, 4, 4, self.rng(number, "retrieve"))
        request = DesignRequest(
            number,
            0,
            self.rng(number, "design").getrandbits(63),
            self.nodes[parent],
            [self.nodes[node] for node in others],
            [hit.prior for hit in hits],
        )
        before = time.process_time()
        try:
            design = await self.designer.design(request)
        except DesignerError as exc:
            self.lost += 1
            self.rows.append({"error": str(exc)})
            return
        self.design_seconds += time.process_time() - before
        node = len(self.nodes)
        self.nodes.append(ContextNode(node, design.code, "", None))
        self.expanded.append(0)
        await self.measure(node, design.parents, design.code, design.credit, design.name)

    async def run(self, rounds: int) -> dict[str, Any]:
        began = time.monotonic()
        seconds: dict[int, float] = {}
        reached: dict[str, float] = {}
        self.nodes.append(ContextNode(0, self.task.seeds[0].code, "", None))
        self.expanded.append(0)
        await self.measure(0, [], self.task.seeds[0].code, {}, "seed")

        async def worker() -> None:
            while self.started < rounds:
                self.started += 1
                await self.round(self.started)
                self.done += 1
                best = max(node.score or 0.0 for node in self.nodes)
                for goal in (2.6, 2.634, 2.6355):
                    if best >= goal and str(goal) not in reached:
                        reached[str(goal)] = self.done
                if self.done in MARKS:
                    self.best[self.done] = round(best, 6)
                    seconds[self.done] = round(time.monotonic() - began, 1)

        await asyncio.gather(*(worker() for _ in range(self.in_flight)))
        await self.designer.aclose()
        return {
            "seed": self.seed,
            "best": self.best,
            "seconds": seconds,
            "reached": reached,
            "design_ms": round(1000 * self.design_seconds / max(self.done, 1), 2),
            "cpu": round(self.cpu, 1),
            "lost": self.lost,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--evaluations", type=int, default=2)
    parser.add_argument("--bandit", choices=list(BANDITS), default="learning")
    parser.add_argument("--rows", type=Path, help="write every node as a JSON line")
    options = parser.parse_args()
    task = load_task(find_task("circle_packing"))
    with ProcessPoolExecutor(options.evaluations, get_context("spawn"), initializer=warm_up) as pool:
        for seed in options.seeds:
            search = Search(task, seed, options.bandit, pool, options.evaluations)
            print(json.dumps(asyncio.run(search.run(options.rounds))), flush=True)
            if options.rows:
                with options.rows.open("a") as file:
                    file.writelines(json.dumps({"seed": seed, **row}) + "\n" for row in search.rows)


if __name__ == "__main__":
    main()
