"""The run as its engine holds it: the state in memory and its journal, moved forward together."""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from engine.errors import DamagedJournal
from engine.journal import events as ev
from engine.journal.clock import StepWatch
from engine.journal.database import Row, sha256_of, to_row
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter
from engine.state.fold import apply
from engine.state.run_state import RunState
from engine.task.spec import TaskSpec

__all__ = ["Follower", "RunSession"]

Follower = Callable[[ev.Event, RunState], None]
"""Called with an event and the state that has folded it."""

_KEPT_CHARACTERS = 4_000_000
"""Of texts that are asked for again and again; one text may take a sixteenth of it."""


class RunSession:
    """Append events to the journal of a run and to its state.

    Args:
        reader: reads the journal; closed with this.
        writer: writes it; closed with this.
        state: the run after all events that the journal holds.
    """

    def __init__(self, reader: JournalReader, writer: JournalWriter, state: RunState) -> None:
        self._reader, self._writer = reader, writer
        self.state = state
        self._clock = StepWatch()
        self._subscribed: list[tuple[Follower, Sequence[type[ev.Data]]]] = []
        self._followers: dict[type[ev.Data], list[Follower]] = {}
        """By type of event, those who are called for it."""
        self._listeners: list[Follower] = []
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._kept = 0
        self._blobs: list[bytes] = []

    @property
    def spec(self) -> TaskSpec:
        """The task, as recorded."""
        return self.state.spec

    @property
    def goes_on(self) -> bool:
        """Always: an engine is at work."""
        return True

    def subscribe(self, follower: Follower, kinds: Sequence[type[ev.Data]] = (), *, queued: bool = False) -> None:
        """Call a function for new events.

        Args:
            follower: the function.
            kinds: types of the events that it is called for at once; by default all.
            queued: call it, for every event, once all that were emitted together are folded and queued for the disk; by
                default at once after its event is folded.
        """
        if queued:
            self._listeners.append(follower)
        else:
            self._subscribed.append((follower, kinds))
            self._followers.clear()

    def rng(self, round_: int, stage: str, attempt: int = 0) -> random.Random:
        """Return the generator for one draw: never a shared stream, so that a resume needs no state of generators."""
        key = f"{self.state.settings.seed}/{round_}/{stage}/{attempt}"
        return random.Random(hashlib.sha256(key.encode()).digest())

    # New events

    def emit(
        self,
        *data: ev.Data,
        round: int | None = None,
        node: int | None = None,
        blobs: Iterable[bytes] = (),
        then: Callable[[], Sequence[ev.Data]] | None = None,
    ) -> None:
        """Append events: fold them at once, queue them for the disk in one transaction.

        Args:
            data: the events, in order.
            round: the round that they are about.
            node: the node that they are about.
            blobs: contents that they name by sha256.
            then: called once these are folded; returns further events of the same transaction.
        """
        for content in blobs:
            self.keep(content)
        self._append([(item, round, node) for item in data], then=then)

    def emit_all(self, effects: Iterable[tuple[ev.Data, int | None]], answer: tuple[int, str] | None = None) -> None:
        """Append events about different nodes in one transaction.

        Args:
            effects: the events, each with its node.
            answer: id and result of the command that they carry out.
        """
        nodes = self.state.nodes
        self._append([(item, None if node is None else nodes[node].round, node) for item, node in effects], answer)

    def keep(self, content: bytes) -> None:
        """Keep a blob that the next events name."""
        self._remember(sha256_of(content), content.decode("utf-8", "backslashreplace"))
        self._blobs.append(content)

    def live(self, kind: str, round_: int | None, data: bytes) -> None:
        """Show something while it happens; it is no part of the run.

        Args:
            kind: what it is, for those who watch.
            round_: the round that it is about.
            data: JSON.
        """
        self._writer.live(kind, round_, data)

    def write_summary(self, summary: str) -> None:
        """Store the summary of the run, which lists of runs read instead of the events."""
        self._writer.append([], meta={"summary": summary})

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

    async def aclose(self) -> None:
        """Write what is queued and close the journal.

        Raises:
            JournalError: the journal cannot be written.
        """
        self._reader.close()
        await self._writer.close()

    # The past

    def text(self, sha256: str) -> str:
        """Return a blob as text; an empty name gives an empty text."""
        if not sha256:
            return ""
        if sha256 in self._texts:
            self._texts.move_to_end(sha256)
            return self._texts[sha256]
        text = self._reader.text(sha256)
        self._remember(sha256, text)
        return text

    def past_of(self, node: int) -> list[ev.Event]:
        """Return all events about a node that are on the disk, in order; goes through the whole journal."""
        return self._reader.node_events(node)

    def last_result(self, node: int) -> ev.EvalStageDone | None:
        """Return the result of the newest repeat of a stage for a node, once it is on the disk."""
        return self._reader.newest_of(node, ev.EvalStageDone)

    def recent_results(self) -> list[ev.EvalStageDone]:
        """Return the results of the newest repeats of stages, oldest first, a thousand at most."""
        return self._reader.newest(ev.EvalStageDone, 1000)

    def _append(
        self,
        added: list[tuple[ev.Data, int | None, int | None]],
        answer: tuple[int, str] | None = None,
        then: Callable[[], Sequence[ev.Data]] | None = None,
    ) -> None:
        # The clock is read once for all of them: events that are written together are not torn by a step.
        at, step = self._clock.read()
        if step is not None:
            added.insert(0, (ev.ClockStepped(step.by_ms, step.passed_ms), None, None))
        batch, rows = self._fold(added, at)
        if then is not None:
            _, round_, node = added[-1]
            more = self._fold([(item, round_, node) for item in then()], at)
            batch, rows = batch + more[0], rows + more[1]
        blobs, self._blobs = self._blobs, []
        self._writer.append(rows, blobs, answer)
        for listen in self._listeners:
            for event in batch:
                listen(event, self.state)

    def _fold(self, added: list[tuple[ev.Data, int | None, int | None]], at: int) -> tuple[list[ev.Event], list[Row]]:
        """Fold events at once; return them and their rows, which are to be written."""
        state = self.state
        seq, batch, rows = state.seq, [], []
        # Encoded first: what cannot be kept must not become state.
        for data, round_, node in added:
            seq += 1
            event = ev.Event(seq, at, round_, node, data)
            batch.append(event)
            rows.append(to_row(event))
        for event in batch:
            try:
                apply(state, event)
            except DamagedJournal as exc:
                raise RuntimeError("an event of this engine contradicts the run's state") from exc
            for follow in self._followers.get(type(event.data)) or self._find_followers(type(event.data)):
                follow(event, state)
        return batch, rows

    def _find_followers(self, kind: type[ev.Data]) -> list[Follower]:
        found = [follower for follower, kinds in self._subscribed if not kinds or kind in kinds]
        self._followers[kind] = found
        return found

    def _remember(self, sha256: str, text: str) -> None:
        if sha256 in self._texts or len(text) > _KEPT_CHARACTERS // 16:
            return
        self._texts[sha256] = text
        self._kept += len(text)
        while self._kept > _KEPT_CHARACTERS:
            self._kept -= len(self._texts.popitem(last=False)[1])
