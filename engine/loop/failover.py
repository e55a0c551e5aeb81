"""Models that do not answer: who is asked in their place, who waits, and the run that pauses meanwhile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.journal.events import RunResumed
from engine.llm.faults import Fault, FaultKind

if TYPE_CHECKING:
    from engine.loop.engine import Engine

__all__ = ["Troubles"]

_FIRST_WAIT, _LAST_WAIT = 1.0, 60.0
"""Seconds before a model that did not answer is asked again, doubled each time."""
_REFUSALS = 3
"""So many requests refused one after the other are no matter of one prompt any more."""

_CURES: dict[FaultKind, str] = {
    "auth": "Export a good key and start the engine anew: 'evolve stop RUN --now', then 'evolve resume RUN'",
    "model": "'evolve set RUN models.{name}.model=…' names another one, models.{name}.base_url=… another place",
    "quota": "It goes on when there is credit again",
    "bad_request": "'evolve set RUN models.{name}.…' changes what is asked of it",
}


@dataclass
class _Trouble:
    kind: FaultKind
    message: str
    until: float
    """Time of the loop at which it may be asked again; infinite while somebody does."""
    wait: float


class Troubles:
    """Knows which models do not answer. A call that waits for one asks it again now and then, on behalf of all.

    Args:
        engine: its run is paused while calls wait and no model answers them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, _Trouble] = {}
        self._waiting: dict[object, Sequence[str]] = {}
        """Calls that no model answers, with the models that they may ask."""
        self._refusals: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._told: tuple[tuple[str, str], ...] = ()
        self.reason = ""
        """Why the run waits; empty while it does not."""
        self.since = 0.0
        """Time of the loop since which it waits."""

    async def next(self, call: object, names: Sequence[str]) -> tuple[str, bool]:
        """The model to be asked now, the first of the names that is not in trouble, and whether this is a probe.

        A probe must be followed by `clear`, `add` or `release`.

        Raises:
            Stopping: the engine is ending.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._engine.gate.sleep(0)
            for name in names:
                trouble = self._known.get(name)
                if trouble is None:
                    return name, False
                if trouble.until <= loop.time():
                    trouble.until = math.inf
                    return name, True
            self._hold(call, names)
            until = min(self._known[name].until for name in names)
            await self._engine.gate.sleep(min(until - loop.time(), 3600.0), self._changed)

    def add(self, name: str, fault: Fault) -> None:
        """A model did not answer."""
        before = self._known.get(name)
        wait = _FIRST_WAIT if before is None else min(_LAST_WAIT, before.wait * 2)
        cure = _CURES.get(fault.kind, "").format(name=name)
        message = f"{fault.message}. {cure}" if cure else fault.message
        self._known[name] = _Trouble(fault.kind, message, asyncio.get_running_loop().time() + wait, wait)
        self._notify()

    def refused(self, name: str) -> bool:
        """Whether a model refuses whatever is asked of it; called for each request that it refuses."""
        self._refusals[name] = self._refusals.get(name, 0) + 1
        return self._refusals[name] >= _REFUSALS

    def release(self, name: str) -> None:
        """A probe came to no end."""
        trouble = self._known.get(name)
        if trouble is not None:
            trouble.until = 0.0
            self._notify()

    def clear(self, name: str, answered: bool = True) -> None:
        """A model can be reached; `answered`: and it gave an answer."""
        if answered:
            self._refusals.pop(name, None)
        if self._known.pop(name, None) is not None or self._waiting:
            self._waiting = {call: names for call, names in self._waiting.items() if name not in names}
            if self.reason and not self._waiting:
                self._let_go()
            self._notify()

    def retry(self) -> None:
        """Ask every model again at once: a person changed something, or wants it."""
        self._known.clear()
        self._refusals.clear()
        self._notify()

    def _hold(self, call: object, names: Sequence[str]) -> None:
        self._waiting[call] = names
        troubles = {name: self._known[name] for name in names}
        told = tuple((name, trouble.kind) for name, trouble in troubles.items())
        if self.reason and (told == self._told or len(self._waiting) > 1):
            return
        if not self.reason:
            self.since = asyncio.get_running_loop().time()
        self._told = told
        self.reason = "no model answers: " + "; ".join(f"{name}: {t.message}" for name, t in troubles.items())
        self._engine.gate.pause("endpoint", self.reason)
        self._engine.emit(self._engine.gate.paused_event(self._engine.state.frozen))

    def _let_go(self) -> None:
        self.reason = ""
        engine = self._engine
        engine.gate.resume("endpoint")
        if engine.gate.paused:
            # Another's pause holds.
            engine.emit(engine.gate.paused_event(engine.state.frozen))
        else:
            engine.emit(RunResumed())
            engine.resumed()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
