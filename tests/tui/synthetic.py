"""Plausible runs out of a seeded generator, which the application's tests look at."""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from engine.journal import events as ev
from engine.journal.blobs import insert_blob
from engine.journal.database import connect_writer, create_journal, insert_event, sha256_of
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.settings.model import Settings
from engine.task.spec import ProgramSpec, TaskSpec

HOSTILE = (
    "\x1b[2J\x1b]52;c;ZXZpbA==\x07 [bold red]markup[/] [link=file:///etc] \u202ertl\u202c zero\u200bwidth "
    "\x9b31m \r\n over\x08\x08 \ud83d wide 漢字 é\u0301"
)
"""Text that would clear the screen, set the clipboard, break markup or hide itself."""

_PROGRAM = '''"""Pack circles into the unit square."""

import math

STEPS = {steps}  # tune: effort 5..200
SHRINK = {shrink:.6f}


def construct_packing(n=26):
    """Rings of circles around the middle, then {steps} rounds of relaxation."""
    centers = [(0.5 + 0.3 * math.cos(i * {angle:.5f}), 0.5 + 0.3 * math.sin(i * {angle:.5f})) for i in range(n)]
    radii = [0.05 for _ in centers]
    for step in range(STEPS):
        centers, radii = relax(centers, radii, SHRINK ** step)
    return centers, radii


def relax(centers, radii, rate):
    # {comment}
    return centers, [r * (1 + {gain:.7f} * rate) for r in radii]
'''

_OPERATORS = ("tune", "swap", "exchange", "drop", "crossover")
_START_AT = 1_760_000_000_000


@dataclass
class OpenRound:
    """A round in flight."""

    round: int
    worker: int
    phase: str = "learn"
    parent: int = 0
    node: int | None = None
    steps: int = 0
    rejected: int = 0


@dataclass
class Synthesizer:
    """Writes the story of a run, a few events at a time.

    Args:
        seed: same seed, same story.
        shape: `bushy`, `chain` (each node from the one before) or `flat` (all from the seed).
        hostile: names, reasons and lessons hold what would harm a terminal.
        workers: rounds in flight.
        rates: evaluations report `tokens_per_s` and `tflops`.
        priors: the folder of its priors.
        folder: programs are folders of two files.
    """

    seed: int = 0
    shape: str = "bushy"
    hostile: bool = False
    workers: int = 4
    progress: int = 2
    rates: bool = False
    priors: str = ""
    folder: bool = False
    seq: int = 0
    at: int = _START_AT
    scores: list[float | None] = field(default_factory=list)
    rounds: int = 0
    open: list[OpenRound] = field(default_factory=list)
    best: int | None = None
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def event(self, data: ev.Data, round_: int | None = None, node: int | None = None) -> ev.Event:
        """The next event."""
        self.seq += 1
        self.at += self.random.randrange(20, 400)
        return ev.Event(self.seq, self.at, round_, node, data)

    def blob(self, text: str) -> str:
        """Keep a text to be stored with the next events; returns its name."""
        content = text.encode("utf-8", "surrogatepass")
        name = sha256_of(content)
        self.blobs[name] = content
        return name

    def begin(self, rounds: int = 100) -> list[ev.Event]:
        """The start of the run and its seed."""
        spec = TaskSpec(name="circle_packing", direction="maximize", metric="sum_radii", summary="Pack 26 circles")
        if self.folder:
            spec = msgspec.structs.replace(spec, program=ProgramSpec(files=["*.py"]))
        settings = Settings(rounds=rounds, workers=self.workers)
        started = ev.RunStarted(
            task=spec.name,
            settings=msgspec.to_builtins(settings),
            spec=msgspec.to_builtins(spec),
            files={"seed.py": self.blob(self._program(1.0))},
            source="/tasks/circle_packing",
            priors=self.priors,
            host="testhost",
            secret="c" * 64,
        )
        engine = ev.EngineStarted(
            pid=4242, host="testhost", sandbox="bubblewrap", guarantee="guarded", workers=self.workers, slots=2,
            designer="recombine",
        )  # fmt: skip
        program = self.blob(self._program(1.0))
        return [
            self.event(started),
            self.event(engine),
            self.event(ev.RoundStarted(), 0),
            self.event(
                ev.DesignDone(program=program, operator="seed", name="seed", motivation="the program to start from"),
                0,
                0,
            ),
            *self._evaluated(0, 0, 0.9598),
            self.event(ev.AnalyzeDone(lesson="seed: sum_radii 0.9598, the starting point", note=self._note(0)), 0, 0),
            self.event(ev.RoundEnded("node"), 0),
        ]

    def advance(self) -> list[ev.Event]:
        """The next few events of some round in flight; a new round is opened where a worker is free."""
        if len(self.open) < self.workers:
            self.rounds += 1
            taken = {item.worker for item in self.open}
            worker = next(index for index in range(self.workers) if index not in taken)
            self.open.append(OpenRound(self.rounds, worker))
            return [self.event(ev.RoundStarted(worker=worker), self.rounds)]
        item = self.open[0] if self.shape == "chain" else self.random.choice(self.open)
        return getattr(self, f"_{item.phase}")(item)  # type: ignore[no-any-return]

    def _learn(self, item: OpenRound) -> list[ev.Event]:
        count = len(self.scores)
        if self.shape == "chain":
            item.parent = count - 1
        elif self.shape == "bushy":
            recent = [index for index in range(max(0, count - 300), count) if self.scores[index] is not None]
            # The better of two, so that scores rise slowly as they would in a search.
            pair = [self.random.choice(recent or [0]) for _ in range(2)]
            item.parent = max(pair, key=lambda index: self.scores[index] or 0.0)
        item.phase = "design"
        revision = self.blob("# Hexagonal packings\n\nStart from a hexagonal lattice and relax.\n")
        shown = [ev.PriorShown(id="hexagonal", revision=revision, title="Hexagonal packings", score=0.8, why="BM25")]
        learned = ev.LearnDone(parent=item.parent, inspirations=[0], priors=shown, why="ucb1 rank 0.9 + 0.12")
        return [self.event(learned, item.round)]

    def _design(self, item: OpenRound) -> list[ev.Event]:
        if self.random.random() < 0.05 and item.rejected < 3 and self.shape != "chain":
            item.rejected += 1
            return [self.event(ev.DesignRejected(item.rejected, "duplicate", "same as #1", "tune"), item.round)]
        node = item.node = len(self.scores)
        self.scores.append(None)
        item.phase = "experiment"
        operator = self.random.choice(_OPERATORS)
        parents = [item.parent, 0] if operator == "crossover" and item.parent else [item.parent]
        name = f"{operator} {self.random.choice(('STEPS', 'SHRINK', 'relax()', 'the first ring'))}"
        done = ev.DesignDone(
            program=self.blob(self._program(1 + node / 1000)),
            operator=operator,
            name=self._text(name),
            motivation=self._text("larger steps early, smaller ones late, since the last node stalled at the border"),
            parents=parents,
            priors=["hexagonal"],
            digest=f"{node:064x}",
        )
        return [
            self.event(done, item.round, node),
            self.event(ev.EvalStarted(stage="explore", seed=1), item.round, node),
        ]

    def _experiment(self, item: OpenRound) -> list[ev.Event]:
        assert item.node is not None
        if item.steps < self.progress:
            item.steps += 1
            values = {"loss": 1.0 / item.steps, "sum_radii": 0.9 + item.steps / 100}
            return [self.event(ev.EvalProgress("explore", float(item.steps * 10), values), item.round, item.node)]
        parent = self.scores[item.parent]
        base = parent if parent is not None else 0.9
        gain = self.random.gauss(-0.01, 0.03) * max(0.02, 2.64 - base)
        item.phase = "analyze"
        fails = self.random.random() < 0.12 and self.shape != "chain"
        return self._evaluated(item.round, item.node, None if fails else min(2.635, base + gain))

    def _evaluated(self, round_: int, node: int, score: float | None) -> list[ev.Event]:
        if node == len(self.scores):
            self.scores.append(None)
        self.scores[node] = score
        if score is None:
            status: Any = self.random.choice(("crashed", "timeout", "invalid", "rejected"))
            reason = self._text("ZeroDivisionError: float division by zero")
            error = self.blob(
                'Traceback (most recent call last):\n  File "program.py", line 12, in relax\n'
                f"    return 1 / 0\n{reason}\n"
            )
            stage = ev.EvalStageDone("explore", status, reason=reason, seconds=0.8, stderr_blob=error)
            done = ev.EvalDone(status=status, reason=reason, stage="explore", seconds=0.8)
            return [self.event(stage, round_, node), self.event(done, round_, node)]
        metrics = {"sum_radii": score, "circles": 26, "valid": True, "overlap": 0.0, "seconds": 0.91}
        if self.rates:
            metrics |= {"tokens_per_s": 400_000 * score**2, "tflops": 200.0}
        curve = self.blob(json.dumps([[step, {"sum_radii": score * step / 20}] for step in range(1, 21)]))
        out = self.blob(self._text(f"packed 26 circles, sum of radii {score:.6f}") + "\n")
        stage = ev.EvalStageDone(
            "explore", "ok", score=score, metrics=metrics, guarantee="guarded", seconds=0.91, cpu_seconds=0.88,
            peak_mb=61.0, stdout_blob=out, curve_blob=curve,
        )  # fmt: skip
        events = [
            self.event(stage, round_, node),
            self.event(
                ev.EvalDone(status="ok", score=score, metrics=metrics, stage="explore", seconds=0.91), round_, node
            ),
        ]
        best = self.scores[self.best] if self.best is not None else None
        if best is None or score > best:
            events.append(self.event(ev.BestCrowned(score=score, previous=self.best), round_, node))
            self.best = node
        return events

    def _analyze(self, item: OpenRound) -> list[ev.Event]:
        assert item.node is not None
        score = self.scores[item.node]
        said = f"sum_radii {score:.5f}" if score is not None else "crashed in relax(): ZeroDivisionError"
        lesson = self._text(f"tune STEPS: {said} [changed relax]")
        self.open.remove(item)
        return [
            self.event(ev.AnalyzeDone(lesson=lesson, note=self._note(item.node)), item.round, item.node),
            self.event(ev.RoundEnded("node"), item.round),
        ]

    def _note(self, node: int) -> str:
        return self._text(
            f"**ok** node {node}\n\n| metric | parent | node | change |\n|---|---|---|---|\n"
            "| sum_radii | 1.1 | 1.2 | +0.1 |"
        )

    def _text(self, text: str) -> str:
        # A lone surrogate cannot be stored as JSON text, so an engine never writes one.
        return f"{text} {HOSTILE}".replace("\ud83d", "") if self.hostile else text

    def _program(self, gain: float) -> str:
        rng = self.random
        text = _PROGRAM.format(
            steps=rng.randrange(5, 200),
            shrink=rng.random(),
            angle=rng.random() * 3,
            gain=gain,
            comment=self._text("ok"),
        )
        if self.folder:
            first, second = text.split("\n\n\ndef relax")
            return f"# ==== FILE: pack.py ====\n{first}\n\n# ==== FILE: relax.py ====\ndef relax{second}"
        return text


class Pen:
    """Puts events and their blobs into a journal."""

    def __init__(self, connection: sqlite3.Connection, synthesizer: Synthesizer) -> None:
        self.connection = connection
        self.synthesizer = synthesizer

    def write(self, events: list[ev.Event]) -> None:
        """One transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        for content in self.synthesizer.blobs.values():
            insert_blob(self.connection, content)
        self.synthesizer.blobs.clear()
        for event in events:
            insert_event(self.connection, event)
        self.connection.execute("COMMIT")


def story(synthesizer: Synthesizer, nodes: int, rounds: int | None = None, end: str = "") -> Iterator[list[ev.Event]]:
    """The events of a run until it has so many nodes; `end` is `finished`, `stopped`, `paused` or nothing."""
    yield synthesizer.begin(rounds or max(nodes, 100))
    while len(synthesizer.scores) < nodes or (end in ("finished", "stopped") and synthesizer.open):
        if len(synthesizer.scores) >= nodes:
            synthesizer.workers = 0
        yield synthesizer.advance()
    if end == "finished":
        yield [synthesizer.event(ev.RunFinished(f"{nodes} rounds are done"))]
    elif end == "stopped":
        yield [synthesizer.event(ev.RunStopped("stopped by hand"))]
    elif end == "paused":
        yield [synthesizer.event(ev.RunPaused())]


def make_run(
    folder: Path,
    nodes: int = 50,
    *,
    seed: int = 0,
    shape: str = "bushy",
    hostile: bool = False,
    end: str = "",
    workers: int = 4,
    rounds: int | None = None,
    rates: bool = False,
    priors: Path | None = None,
    several: bool = False,
) -> Run:
    """Write a run's folder with so many nodes."""
    folder.mkdir(parents=True)
    run = Run(folder)
    options: dict[str, Any] = {"seed": seed, "shape": shape, "hostile": hostile, "workers": workers, "rates": rates}
    options |= {"priors": str(priors or ""), "folder": several}
    if nodes > _SMALL:
        _write(run.db, nodes, rounds, end, **options)
    else:
        run.db.write_bytes(_content(nodes, rounds, end, **options))
    return run


_SMALL = 500
"""Up to so many nodes a run is kept, since many tests begin with the same one."""


@cache
def _content(*arguments: Any, **options: Any) -> bytes:
    with tempfile.TemporaryDirectory(prefix="evolve-") as folder:
        path = Path(folder) / "run.db"
        _write(path, *arguments, **options)
        return path.read_bytes()


def _write(path: Path, nodes: int, rounds: int | None, end: str, **options: Any) -> None:
    synthesizer = Synthesizer(**options)
    connection = create_journal(path)
    try:
        connection.execute("PRAGMA synchronous=OFF")
        pen = Pen(connection, synthesizer)
        page: list[ev.Event] = []
        for events in story(synthesizer, nodes, rounds, end):
            page += events
            if len(page) > 2000:
                pen.write(page)
                page = []
        pen.write(page)
    finally:
        connection.close()


def add_events(run: Run, *items: tuple[ev.Data, int | None], after_ms: int = 1000) -> None:
    """Append events to a run's journal, as an engine would."""
    with JournalReader(run.db) as reader:
        seq, at = list(reader.times())[-1][-1]
    connection = connect_writer(run.db)
    for data, node in items:
        seq, at = seq + 1, at + after_ms
        insert_event(connection, ev.Event(seq, at, None, node, data))
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
