"""The loop: rounds of learn → design → experiment → analyze over a run's journal, several in flight.

Everything the loop knows is a fold of the journal, so that a start and a resume are the same thing: fold what is
there, go on with the rounds that are open, start new ones until a limit is reached.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import signal
import socket
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cognition.files import PriorFolder
from cognition.retrieve import Hit, retrieve
from engine import events as ev
from engine.commands import answer_command
from engine.errors import EvolveError, JournalError, RunError
from engine.evaluation.sandbox import sandbox_name
from engine.gate import PauseGate, Slots, Stopping
from engine.journal import Command, JournalReader, now_ms, sha256_of
from engine.prior_watch import PriorWatch
from engine.program import outline
from engine.run import Run, summary_of
from engine.samplers import make_sampler
from engine.settings import RetrievalSettings
from engine.stages.analyze import analyze
from engine.stages.design import design
from engine.stages.experiment import experiment
from engine.stages.learn import learn
from engine.state import RunState, RunStatus
from engine.task import Seed, TaskSpec

if TYPE_CHECKING:
    from engine.designers.base import Designer
    from engine.evaluation.evaluator import Evaluation

__all__ = ["Engine", "Follower"]

Follower = Callable[[ev.Event, RunState], None]

_KEPT_TEXTS = 512
_TICK_SECONDS = 1.0


class Engine:
    """Runs one run. The caller holds the run's lock.

    Args:
        run: the run's folder.
        follow: called for every event after it is folded, for progress lines.

    Raises:
        JournalError: the journal cannot be read or written.
        RunError: the run cannot go on as it is.
    """

    def __init__(self, run: Run, follow: Follower | None = None) -> None:
        from engine.writer import JournalWriter

        self.run = run
        self._follow = follow
        self._loop = asyncio.get_running_loop()
        self._reader = JournalReader(run.db)
        self.state = RunState()
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._fold()
        self._unpack_task()
        assert self.state.start is not None
        self._priors = PriorWatch(PriorFolder(Path(self.state.start.priors)))
        self.gate = PauseGate()
        self.slots = Slots(self.slot_limit)
        self.running: dict[int, Evaluation] = {}
        """Evaluations that run now, by node."""
        self._changed = asyncio.Event()
        self._rounds: dict[int, asyncio.Task[None]] = {}
        self._steps = 0
        self._end: ev.RunFinished | ev.RunStopped | ev.RunFailed | None = None
        self.command_horizon = now_ms()
        """Commands older than this were meant for an engine that is gone."""
        self._writer = JournalWriter(run.db, self._loop, self._on_command, self._on_trouble)

    # What the stages use

    @property
    def spec(self) -> TaskSpec:
        """The task, as recorded."""
        assert self.state.spec is not None
        return self.state.spec

    @property
    def slot_limit(self) -> int:
        """Evaluations at once."""
        # A task that needs a GPU would be given one slot a GPU; how many there are is known once one is leased.
        return self.state.settings.slots or (1 if self.spec.gpu else len(os.sched_getaffinity(0)))

    @property
    def worker_limit(self) -> int:
        """Rounds in flight."""
        return self.state.settings.workers or self.slot_limit + 2

    @property
    def threads(self) -> int:
        """Threads that one evaluation should use, so that all of them together fill the cores."""
        return max(1, len(os.sched_getaffinity(0)) // self.slot_limit)

    def rng(self, round_: int, stage: str, attempt: int = 0) -> random.Random:
        """The generator for one draw: never a shared stream, so that resume and replay need no generator state."""
        key = f"{self.state.settings.seed}/{round_}/{stage}/{attempt}"
        return random.Random(hashlib.sha256(key.encode()).digest())

    def emit(
        self,
        *data: ev.Data,
        round: int | None = None,
        node: int | None = None,
        blobs: Iterable[bytes] = (),
        answer: tuple[int, str] | None = None,
    ) -> None:
        """Append events: fold them at once, queue them for the disk in one transaction."""
        contents = list(blobs)
        for content in contents:
            self._remember(sha256_of(content), content.decode("utf-8", "backslashreplace"))
        batch = []
        for item in data:
            event = ev.Event(self.state.seq + 1, now_ms(), round, node, item)
            self._apply(event)
            batch.append(event)
        self._writer.append(batch, contents, answer)
        if self._follow is not None:
            for event in batch:
                self._follow(event, self.state)
        self._changed.set()

    async def durable(self) -> None:
        """Wait until all that was emitted is on the disk.

        Raises:
            JournalError: it cannot be written.
        """
        await self._writer.durable()

    def text(self, sha256: str) -> str:
        """A blob as text; an empty name gives an empty text."""
        if not sha256:
            return ""
        if sha256 in self._texts:
            self._texts.move_to_end(sha256)
            return self._texts[sha256]
        text = self._reader.text(sha256)
        self._remember(sha256, text)
        return text

    def retrieve(self, query: str, settings: RetrievalSettings, rng: random.Random) -> list[Hit]:
        """Priors for a query from the files as they are now; what changed since the last look is recorded."""
        priors, changes = self._priors.read()
        for change in changes:
            self.emit(change)
        return retrieve(priors, query, settings.top_k, settings.drawn, rng)

    # Starting

    def _fold(self) -> None:
        events = self._reader.events()
        first = next(events, None)
        if first is None or not isinstance(first.data, ev.RunStarted):
            raise JournalError(f"{self._reader.path} holds no run: its first event is missing")
        self.state.apply(first)
        self.sampler = make_sampler(self.state.settings.sampler, self.spec)
        self.designer = self._make_designer()
        try:
            for event in events:
                self._apply(event)
        except (AssertionError, LookupError, TypeError, msgspec.ValidationError) as exc:
            raise JournalError(f"{self._reader.path} is damaged after event {self.state.seq}: {exc}") from None
        # Kinds that a newer version wrote are skipped when folding, but their places are taken.
        self.state.seq = self._reader.last_seq()

    def _apply(self, event: ev.Event) -> None:
        self.state.apply(event)
        self.sampler.apply(event, self.state)
        self.designer.apply(event)

    def _make_designer(self) -> Designer:
        from engine.designers.recombine import RecombineDesigner

        if self.state.settings.designer.name == "llm":
            raise RunError("the designer 'llm' needs a model, and none is configured", "Use --designer recombine")
        return RecombineDesigner(
            self.spec, [Seed(Path(name).stem, self.text(sha256)) for name, sha256 in self._seeds()]
        )

    def _seeds(self) -> list[tuple[str, str]]:
        """Name and blob of the recorded seed files, in the order of their nodes."""
        assert self.state.start is not None
        files = self.state.start.files
        several = sorted(name for name in files if name.startswith("seeds/") and name.endswith(".py"))
        return [(name, files[name]) for name in several or ["seed.py"]]

    def _unpack_task(self) -> None:
        """Lay out the recorded copy of the task, whatever became of the folder it came from."""
        assert self.state.start is not None
        try:
            shutil.rmtree(self.run.task, ignore_errors=True)
            for name, sha256 in self.state.start.files.items():
                path = self.run.task / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._reader.blob(sha256))
            for name, note in self.state.start.large_files.items():
                path = self.run.task / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(note.split(" ", 2)[2])
            self.run.work.mkdir(exist_ok=True)
        except OSError as exc:
            raise RunError(f"{exc.filename or self.run.folder} cannot be written: {exc.strerror}") from None

    # Running

    async def work(self) -> RunStatus:
        """Run until a limit is reached, a person stops it, or it cannot go on; returns how it ended.

        Raises:
            JournalError: the journal could not be written any more.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._on_signal, number)
        try:
            self._started()
            await self.durable()
            try:
                await self._schedule()
            finally:
                await self._drain()
            assert self._end is not None
            self.emit(self._end)
            self._writer.append([], meta={"summary": msgspec.json.encode(summary_of(self.state)).decode()})
            await self.durable()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._loop.remove_signal_handler(number)
            await self.designer.aclose()
            self._reader.close()
            await self._writer.close()
        with suppress(OSError):
            self.run.work.rmdir()
        return self.state.status

    def _started(self) -> None:
        sandbox = sandbox_name()
        self.emit(
            ev.EngineStarted(
                pid=os.getpid(),
                host=socket.gethostname(),
                sandbox=sandbox,
                guarantee="guarded" if self.spec.guarded and sandbox == "bubblewrap" else "open",
                workers=self.worker_limit,
                slots=self.slot_limit,
                designer=self.designer.name,
            )
        )

    async def _schedule(self) -> None:
        """Keep as many rounds in flight as there are workers until something ends the run."""
        for round_ in sorted(self.state.open_rounds):
            self._launch(round_)
        if 0 not in self._rounds and not self.state.seeds_done:
            self.emit(ev.RoundStarted(), round=0)
            self._launch(0)
        while self._end is None:
            self._changed.clear()
            self.slots.limit = self.slot_limit
            if self.state.seeds_done:
                self._start_rounds()
                if not self._rounds and self._end is None:
                    self._end = self._limit()
            if self._end is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _TICK_SECONDS)

    def _start_rounds(self) -> None:
        while len(self._rounds) < self.worker_limit and self._limit() is None and not self.gate.stopping:
            if self.gate.paused and self._steps == 0:
                return
            number = self.state.rounds_started + 1
            if self.gate.paused:
                self._steps -= 1
                self.gate.step(number)
            taken = {round_.worker for round_ in self.state.open_rounds.values()}
            worker = next(index for index in range(len(taken) + 1) if index not in taken)
            self.emit(ev.RoundStarted(worker=worker), round=number)
            self._launch(number)

    def _limit(self) -> ev.RunFinished | ev.RunStopped | None:
        """What keeps further rounds from starting, if anything does."""
        state, settings = self.state, self.state.settings
        best = state.best_node
        if settings.target is not None and best is not None and best.score is not None:
            # Reached is reached, without the tolerance that tells a gain from noise.
            sign = 1 if self.spec.direction == "maximize" else -1
            if sign * best.score >= sign * settings.target:
                return ev.RunFinished(f"the target {settings.target:g} is reached")
        if state.rounds_started >= settings.rounds:
            return ev.RunFinished(f"{settings.rounds} rounds are done")
        if settings.patience is not None and state.rounds_done - state.best_round >= settings.patience:
            return ev.RunFinished(f"no new best in {settings.patience} rounds")
        if settings.hours is not None and state.engine_ms >= settings.hours * 3_600_000:
            return ev.RunStopped(f"the {settings.hours:g} hours are used up")
        if settings.usd is not None and state.usd >= settings.usd:
            return ev.RunStopped(f"the {settings.usd:g} dollars are spent")
        if settings.tokens is not None and state.tokens >= settings.tokens:
            return ev.RunStopped(f"the {settings.tokens} tokens are spent")
        return None

    def _launch(self, number: int) -> None:
        task = asyncio.create_task(self._run_seeds() if number == 0 else self._run_round(number))
        self._rounds[number] = task
        task.add_done_callback(lambda done: self._landed(number, done))

    def _landed(self, number: int, task: asyncio.Task[None]) -> None:
        del self._rounds[number]
        self.gate.end(number)
        self._changed.set()
        error = None if task.cancelled() else task.exception()
        if error is None or isinstance(error, Stopping):
            return
        if isinstance(error, EvolveError):
            self._fail(str(error))
            return
        traceback.print_exception(error)
        self._fail(f"internal error in round {number}: {type(error).__name__}: {error}")

    async def _run_round(self, number: int) -> None:
        round_ = self.state.open_rounds[number]
        while number in self.state.open_rounds:
            await self.gate.wait(number)
            match self.state.phase(round_):
                case "learn":
                    await learn(self, number)
                case "design":
                    await design(self, round_)
                case "experiment":
                    assert round_.node is not None
                    await experiment(self, round_.node)
                case "analyze":
                    assert round_.node is not None
                    await analyze(self, round_.node)
                case "end":
                    self.emit(ev.RoundEnded("node"), round=number)

    async def _run_seeds(self) -> None:
        """Round 0: every seed becomes a node and is measured."""
        await self.gate.wait(0)
        for name, sha256 in self._seeds()[len(self.state.nodes) :]:
            self._add_seed(name, sha256)
        await self.durable()
        seeds = [node.id for node in self.state.nodes if node.round == 0 and not node.analyzed]
        # Every seed is waited for, also when one of them meets an error or the engine is ending.
        for error in await asyncio.gather(*map(self._measure_seed, seeds), return_exceptions=True):
            if error is not None:
                raise error
        if not any(node.score is not None for node in self.state.nodes):
            first = self.state.nodes[0]
            raise RunError(
                f"no seed has a score; {first.name}: {first.status}: {first.reason}",
                "'evolve check' on the task shows what the evaluator printed",
            )
        self.emit(ev.RoundEnded("node"), round=0)

    def _add_seed(self, name: str, sha256: str) -> None:
        self.emit(
            ev.DesignDone(
                program=sha256,
                operator="seed",
                name=Path(name).stem,
                motivation="the program to start from",
                digest=outline(self.text(sha256)).digest,
            ),
            round=0,
            node=len(self.state.nodes),
        )

    async def _measure_seed(self, node: int) -> None:
        await self.gate.wait(0)
        if self.state.nodes[node].status is None:
            await experiment(self, node)
        await self.gate.wait(0)
        await analyze(self, node)

    # Ending

    def stop(self, reason: str, now: bool) -> None:
        """End the run: running stages finish, or with `now` are ended; open rounds go on at the next start."""
        if self._end is None:
            self._end = ev.RunStopped(reason)
        self.gate.stop()
        for evaluation in self.running.values():
            if now:
                evaluation.cancel("the engine is stopping")
            elif self.state.frozen:
                evaluation.thaw()
        self._changed.set()

    def _fail(self, reason: str) -> None:
        if not isinstance(self._end, ev.RunFailed):
            self._end = ev.RunFailed(reason)
        self.stop(reason, now=True)

    async def _drain(self) -> None:
        """Wait for what still runs."""
        while self._rounds:
            await asyncio.wait(list(self._rounds.values()))
            await asyncio.sleep(0)

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        # A second Ctrl-C, or whoever ends the service, does not want to wait for an evaluation.
        self.stop(f"{name} received", now=self.gate.stopping or number == signal.SIGTERM)

    def _on_trouble(self, error: JournalError) -> None:
        self._fail(str(error))

    # Commands

    def _on_command(self, command: Command) -> None:
        answer_command(self, command)
        self._changed.set()

    def step(self) -> str:
        """Let one round run to its end although the run is paused; returns what happens."""
        for number in sorted(self._rounds):
            if not self.gate.stepping(number):
                self.gate.step(number)
                return f"round {number} goes on to its end"
        limit = self._limit()
        if limit is not None:
            return f"no further round: {limit.reason}"
        self._steps += 1
        return f"round {self.state.rounds_started + self._steps} runs to its end"

    def _remember(self, sha256: str, text: str) -> None:
        self._texts[sha256] = text
        self._texts.move_to_end(sha256)
        while len(self._texts) > _KEPT_TEXTS:
            self._texts.popitem(last=False)
