"""The run as its engine holds it: the state in memory and its journal, moved forward together."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

from engine.errors import DamagedJournal, JournalError, RunError
from engine.journal import events as ev
from engine.journal.clock import StepWatch
from engine.journal.reader import Command, JournalReader, sha256_of, to_row
from engine.journal.writer import JournalWriter
from engine.loop.memory import RunDesigner, RunSampler
from engine.loop.task_copy import TaskCopy
from engine.loop.task_prompts import TaskPrompts
from engine.runs.folder import Run
from engine.runs.prior_files import unpack_priors
from engine.runs.secret import open_data_seeds
from engine.state.fold import apply, damage_named, first_state
from engine.state.run_state import RunState
from engine.task.spec import Seed, TaskSpec, seed_files

__all__ = ["Follower", "RunSession"]

Follower = Callable[[ev.Event, RunState], None]
"""Called for every new event after it is folded."""

_KEPT_CHARACTERS = 4_000_000
"""Of texts that are asked for again and again; one text may take a sixteenth of it."""


class RunSession:
    """Fold a run's past; append new events to state and journal.

    Args:
        run: the run's folder.
        follow: called for every new event.
        on_command: called for every command of a person, in order.
        on_trouble: called when the journal cannot be written any more, or only from the reserve.

    Raises:
        JournalError: the journal cannot be read or written.
        RunError: the run cannot go on as it is.
    """

    def __init__(
        self,
        run: Run,
        follow: Follower | None,
        on_command: Callable[[Command], None],
        on_trouble: Callable[[JournalError], None],
    ) -> None:
        self.run = run
        self._follow = follow
        self._subscribers: list[Follower] = []
        self._reader = JournalReader(run.db)
        self.last_command = self._reader.last_command()
        """The newest command at the start: it and those before it were meant for an engine that is gone."""
        self._clock = StepWatch()
        self.state = first_state(self._reader)
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._kept = 0
        self._blobs: list[bytes] = []
        self._on_command, self._on_trouble = on_command, on_trouble
        self._fold()

    def open(self) -> None:
        """Lay out what the run needs and begin to write; until then nothing was touched."""
        self._unpack_task()
        self.data_seeds = open_data_seeds(self.run.folder, self.state)
        self._writer = JournalWriter(self.run.db, asyncio.get_running_loop(), self._on_command, self._on_trouble)

    @property
    def spec(self) -> TaskSpec:
        """The task, as recorded."""
        return self.state.spec

    @property
    def goes_on(self) -> bool:
        """Always: an engine is at work."""
        return True

    @property
    def seeds(self) -> list[tuple[str, str]]:
        """Name and blob of the recorded seed files, in the order of their nodes."""
        return seed_files(self.state.start.files)

    def subscribe(self, subscriber: Follower) -> None:
        """Call this for every new event, once the state has folded it and before it is written."""
        self._subscribers.append(subscriber)

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
        for content in blobs:
            self.keep(content)
        self._append([(item, round, node) for item in data], answer)

    def emit_all(self, effects: Iterable[tuple[ev.Data, int | None]], answer: tuple[int, str] | None = None) -> None:
        """Append events about different nodes, each with its node, in one transaction."""
        nodes = self.state.nodes
        self._append([(item, None if node is None else nodes[node].round, node) for item, node in effects], answer)

    def keep(self, content: bytes) -> None:
        """Keep a blob for the events that come next and name it."""
        self._remember(sha256_of(content), content.decode("utf-8", "backslashreplace"))
        self._blobs.append(content)

    def _append(self, items: Iterable[tuple[ev.Data, int | None, int | None]], answer: tuple[int, str] | None) -> None:
        # The clock is read once for all of them: what is written together is not torn by a step.
        at, step = self._clock.read()
        told = list(items)
        if step is not None:
            told.insert(0, (ev.ClockStepped(step.by_ms, step.passed_ms), None, None))
        batch = [
            ev.Event(seq, at, round_, node, data) for seq, (data, round_, node) in enumerate(told, self.state.seq + 1)
        ]
        # Written down first: what cannot be kept must not become state.
        rows = [to_row(event) for event in batch]
        for event in batch:
            try:
                apply(self.state, event)
            except DamagedJournal as exc:
                raise RuntimeError("an event of this engine contradicts the run's state") from exc
            self.sampler.apply(event, self.state)
            self.designer.follow(event, self.state)
            for subscriber in self._subscribers:
                subscriber(event, self.state)
        blobs, self._blobs = self._blobs, []
        self._writer.append(rows, blobs, answer)
        if self._follow is not None:
            for event in batch:
                self._follow(event, self.state)

    def write_summary(self, summary: str) -> None:
        """Store the summary of the run, which lists of runs read instead of the events."""
        self._writer.append([], meta={"summary": summary})

    async def aclose(self) -> None:
        """Write what is queued; close the designer and the journal.

        Raises:
            JournalError: the journal cannot be written.
        """
        await self.designer.aclose()
        self._reader.close()
        await self._writer.close()

    def live(self, kind: str, round_: int | None, data: bytes) -> None:
        """Show something while it happens; it is no part of the run."""
        self._writer.live(kind, round_, data)

    async def committed(self) -> None:
        """Wait until all that was emitted is in the journal: nothing but a power cut can lose it.

        Raises:
            JournalError: it cannot be written.
        """
        await self._writer.committed()

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

    def past_of(self, node: int) -> list[ev.Event]:
        """All events about a node that are on the disk, in order; goes through the whole journal."""
        return self._reader.node_events(node)

    def last_result(self, node: int) -> ev.EvalStageDone | None:
        """What the newest repeat of a stage gave for a node, once it is on the disk."""
        return self._reader.newest_of(node, ev.EvalStageDone)

    def recent_results(self) -> list[ev.EvalStageDone]:
        """What the newest repeats of stages gave, oldest first, a thousand at most."""
        return self._reader.newest(ev.EvalStageDone, 1000)

    # The past

    def _fold(self) -> None:
        # Sampler and designer fold the whole past as the task is now, not as it was before its copy was replaced.
        now = first_state(self._reader)
        with damage_named(self._reader.path):
            for kind in (ev.TaskChanged, ev.SettingsChanged):
                for event in self._reader.events_of(kind):
                    apply(now, event)
        self.prompts = TaskPrompts(
            self.run.task / "prompts", self.text(now.start.files.get("brief.md", "")), self.state
        )
        seeds = [Seed(Path(name).stem, self.text(sha256)) for name, sha256 in seed_files(now.start.files)]
        self.sampler = RunSampler(self.state)
        self.designer = RunDesigner(self.state, now.spec, seeds, self.prompts, now.settings)
        with damage_named(self._reader.path):
            for event in self._reader.events(after=self.state.seq):
                apply(self.state, event)
                self.sampler.apply(event, self.state)
                self.designer.apply(event, self.state)
        # Kinds that a newer version wrote are skipped when folding, but their places are taken.
        self.state.seq = self._reader.last_seq()

    def _unpack_task(self) -> None:
        """Lay out the recorded copy of the task, whatever became of the folder it came from."""
        start = self.state.start
        try:
            TaskCopy(self.run.task, start, self.spec).unpack(self._reader.blob)
            unpack_priors(self.run, self.state, self._reader.blob)
            self.run.work.mkdir(exist_ok=True)
        except OSError as exc:
            raise RunError(f"{exc.filename or self.run.folder} cannot be written: {exc.strerror}") from None

    def _remember(self, sha256: str, text: str) -> None:
        if sha256 in self._texts or len(text) > _KEPT_CHARACTERS // 16:
            return
        self._texts[sha256] = text
        self._kept += len(text)
        while self._kept > _KEPT_CHARACTERS:
            self._kept -= len(self._texts.popitem(last=False)[1])
