"""A run on the screen: its feed, its model and the unanswered commands. This imports no Textual."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.errors import DamagedJournal
from engine.journal.events import EngineStarted, Event, RunFailed, RunFinished, RunStopped
from engine.runs.command_kinds import COMMANDS, Answer, read_answer
from engine.runs.folder import Run
from engine.runs.status import current_status
from engine.state.fold import damage_named
from tui.feed.batch import Batch, Feed, Post
from tui.model.run_model import Part, RunModel

__all__ = ["ModelChange", "Session", "Waiting"]

_log = logging.getLogger(__name__)

_LIVE_PERIOD = 0.1
_IDLE_PERIOD = 1.0
_ALL: frozenset[Part] = frozenset(("status", "tree", "scores", "rounds", "notes", "rates", "writing", "output"))


@dataclass(frozen=True)
class ModelChange:
    """The changes of a batch."""

    parts: frozenset[Part]
    events: tuple[Event, ...] = ()
    reset: bool = False
    """Whether the model was replaced: everything derived from the old one is void."""


@dataclass
class Waiting:
    """A command that was sent and is not answered yet."""

    kind: str
    data: dict[str, Any]


Listener = Callable[[ModelChange], None]


class Session:
    """Folds batches into a model and tells the screens what changed.

    It never shows a change before the journal has it: a command only leaves a `Waiting` until its answer.

    Args:
        feed: the source of batches; the session starts and stops it.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.model: RunModel | None = None
        self.alive = False
        self.trouble = ""
        self.waiting: dict[int, Waiting] = {}
        self.starting = False
        """Whether an engine was started and has not opened the run yet."""
        self.answered: Callable[[str, Answer], None] = lambda kind, answer: None
        """Called with a command's kind and its answer."""
        self.unanswered: Callable[[int, Waiting], None] = lambda command, waiting: None
        """Called for a command that its engine left unanswered when it ended."""
        self.marked: list[int] = []
        """Nodes that the user has marked to compare them, in the order of marking."""
        self._listeners: list[Listener] = []
        self._focused = True

    @property
    def run(self) -> Run:
        """The run; its folder may have moved."""
        return self.feed.run

    def start(self, post: Post) -> None:
        """Start the feed; `post` is called from its thread."""
        self.feed.start(post)

    def stop(self) -> None:
        """Stop the feed, and drop the listeners."""
        self._listeners.clear()
        self.feed.stop()

    def mark(self, node: int) -> bool:
        """Mark a node to compare it, or take the mark away; return whether it is marked now."""
        if node in self.marked:
            self.marked.remove(node)
        else:
            self.marked.append(node)
        return node in self.marked

    def subscribe(self, listener: Listener) -> None:
        """Call a listener after every batch."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Stop calling a listener."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    @property
    def status(self) -> str:
        """The status, as in `evolve runs`, or `opening` before anything is known."""
        if self.model is None:
            return "opening"
        return current_status(self.model.state.status, self.alive)

    @property
    def is_replay(self) -> bool:
        """Whether this is a replay."""
        return self.feed.is_replay

    @property
    def is_moving(self) -> bool:
        """Whether time passes for the run, so that ages change."""
        return self.status == "running" and self.feed.is_moving

    def focus(self, focused: bool) -> None:
        """Poll rarely while the terminal is not focused."""
        self._focused = focused
        self._set_pace()

    def sent(self, command: int, kind: str, data: dict[str, Any]) -> None:
        """Remember a command until it is answered."""
        done = self.model.answers.get(command) if self.model is not None else None
        if done is None:
            self.waiting[command] = Waiting(kind, data)
            self.feed.wake()
        else:
            self.answered(kind, read_answer(done))
        self._tell(ModelChange(frozenset(("status",))))

    def set_starting(self, starting: bool) -> None:
        """Note that an engine was started, or failed to start."""
        self.starting = starting
        self.feed.wake()
        self._tell(ModelChange(frozenset(("status",))))

    @property
    def doing(self) -> str:
        """The label of an unanswered command, or an empty string."""
        if self.starting:
            return "starting…"
        return next((COMMANDS[waiting.kind].label for waiting in self.waiting.values()), "")

    def take(self, batch: Batch) -> None:
        """Fold a batch in, call the listeners, ask for the next."""
        changed = self.alive != batch.alive or self.trouble != batch.trouble
        self.alive = batch.alive
        self.trouble = batch.trouble
        if batch.model is not None:
            if self.model is not None:
                batch.model.forest.fold_again(self.model.forest.folded)
            self.model = batch.model
            self.model.typed = self.run.typed
        parts: set[Part] = {"status", "rounds"} if changed else set()
        if self.model is not None and batch.telemetry is not None:
            self.model.telemetry = batch.telemetry
            parts.add("rates")
        try:
            if self.model is not None:
                with damage_named(self.run.db):
                    for event in batch.events:
                        parts.update(self.model.apply(event))
                if batch.streams:
                    parts.update(self.model.take_live(batch.streams))
        except DamagedJournal as exc:
            _log.exception("the journal does not fold")
            self.trouble = str(exc)
            parts.add("status")
        self._settle(batch)
        self._set_pace()
        reset = batch.model is not None
        self._tell(ModelChange(_ALL if reset else frozenset(parts), batch.events, reset))
        self.feed.acknowledge()

    def _settle(self, batch: Batch) -> None:
        if self.model is None:
            return
        for command in [known for known in self.waiting if known in self.model.answers]:
            self.answered(self.waiting.pop(command).kind, read_answer(self.model.answers[command]))
        for event in batch.events:
            if isinstance(event.data, EngineStarted | RunFailed | RunFinished | RunStopped):
                self.starting = False
        if not batch.alive and not self.starting:
            left, self.waiting = self.waiting, {}
            for command, waiting in left.items():
                self.unanswered(command, waiting)

    def _set_pace(self) -> None:
        live = self.is_moving and self._focused
        self.feed.set_period(_LIVE_PERIOD if live else _IDLE_PERIOD)

    def _tell(self, change: ModelChange) -> None:
        for listener in tuple(self._listeners):
            listener(change)
