"""Fail over between models; hold the run while none of them answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.journal.events import RunResumed
from engine.llm.faults import Fault, FaultKind
from engine.loop.gate import PauseGate
from engine.loop.session import RunSession
from engine.state.trouble import NO_MODEL_ANSWERS
from engine.text import sentence

__all__ = ["Failover", "record_hold", "record_release"]

_FIRST_WAIT, _LAST_WAIT = 1.0, 60.0
"""Seconds before a model that did not answer is asked again, doubled each time."""
_REFUSALS = 3
"""After so many refused requests in a row the model is at fault, not a prompt."""

_CURES: dict[FaultKind, str] = {
    "auth": "Export a good key and start the engine anew: 'evolve stop RUN --now', then 'evolve resume RUN'",
    "model": "'evolve set RUN models.{name}.model=…' names another one, models.{name}.base_url=… another place",
    "quota": "It goes on when there is credit again",
    "bad_request": "'evolve set RUN models.{name}.…' changes what is asked of it",
    "answer": "'evolve set RUN models.{name}.…' changes what is asked of it",
    "environment": "Correct it and start the engine anew: 'evolve stop RUN --now', then 'evolve resume RUN'",
}


@dataclass
class _Trouble:
    kind: FaultKind
    message: str
    until: float
    """Time of the event loop at which it may be asked again; infinite while a call asks it."""
    wait: float


class Failover:
    """Know which models do not answer. A call that waits for one asks it again from time to time, on behalf of all.

    Args:
        gate: is held closed while calls wait and no model answers them.
        on_hold: called when the gate was closed, or the reason for it changed.
        on_release: called when the gate was released, which another holder may still keep closed.
    """

    def __init__(self, gate: PauseGate, on_hold: Callable[[], None], on_release: Callable[[], None]) -> None:
        self._gate = gate
        self._on_hold, self._on_release = on_hold, on_release
        self._known: dict[str, _Trouble] = {}
        self._waiting: dict[object, Sequence[str]] = {}
        """Calls that no model answers, each with the models that it may ask."""
        self._refusals: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._announced: tuple[tuple[str, str], ...] = ()
        self.reason = ""
        """Why the run waits; empty while it does not."""
        self.since = 0.0
        """Time of the event loop since which it waits."""

    async def next(self, call: object, names: Sequence[str]) -> tuple[str, bool]:
        """Return the first of the models that is not in trouble, and whether asking it is a probe.

        Wait while all of them are in trouble.

        A probe must be followed by `clear`, `add` or `release`.

        Raises:
            Stopping: the engine is ending.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._gate.sleep(0)
            for name in names:
                trouble = self._known.get(name)
                if trouble is None:
                    return name, False
                if trouble.until <= loop.time():
                    trouble.until = math.inf
                    return name, True
            self._hold(call, names)
            until = min(self._known[name].until for name in names)
            await self._gate.sleep(min(until - loop.time(), 3600.0), self._changed)

    def add(self, name: str, fault: Fault) -> None:
        """Note that a model did not answer."""
        before = self._known.get(name)
        wait = _FIRST_WAIT if before is None else min(_LAST_WAIT, before.wait * 2)
        cure = _CURES.get(fault.kind, "").format(name=name)
        message = f"{sentence(fault.message)} {cure}" if cure else fault.message
        self._known[name] = _Trouble(fault.kind, message, asyncio.get_running_loop().time() + wait, wait)
        self._notify()

    def refused(self, name: str) -> bool:
        """Count a request that a model refused; return whether it refuses whatever is asked of it."""
        self._refusals[name] = self._refusals.get(name, 0) + 1
        return self._refusals[name] >= _REFUSALS

    def release(self, name: str) -> None:
        """Give up a probe: another call may ask the model at once."""
        trouble = self._known.get(name)
        if trouble is not None:
            trouble.until = 0.0
            self._notify()

    def clear(self, name: str, answered: bool = True) -> None:
        """Note that a model can be reached; `answered`: and that it gave an answer."""
        if answered:
            self._refusals.pop(name, None)
        if self._known.pop(name, None) is not None or self._waiting:
            self._waiting = {call: names for call, names in self._waiting.items() if name not in names}
            if self.reason and not self._waiting:
                self._release_gate()
            self._notify()

    def retry(self) -> None:
        """Ask every model again at once: a person changed a setting, or resumed the run."""
        self._known.clear()
        self._refusals.clear()
        self._notify()

    def _hold(self, call: object, names: Sequence[str]) -> None:
        self._waiting[call] = names
        troubles = {name: self._known[name] for name in names}
        announced = tuple((name, trouble.kind) for name, trouble in troubles.items())
        if self.reason and (announced == self._announced or len(self._waiting) > 1):
            return
        if not self.reason:
            self.since = asyncio.get_running_loop().time()
        self._announced = announced
        self.reason = f"{NO_MODEL_ANSWERS}: " + "; ".join(f"{name}: {t.message}" for name, t in troubles.items())
        self._gate.pause("endpoint", self.reason)
        self._on_hold()

    def _release_gate(self) -> None:
        self.reason = ""
        self._gate.resume("endpoint")
        self._on_release()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def record_hold(session: RunSession, gate: PauseGate) -> None:
    """Record that the run waits for models, and why."""
    session.emit(gate.paused_event(session.state.frozen))


def record_release(session: RunSession, gate: PauseGate) -> None:
    """Record that models answer again; the run stays paused if another holds the gate closed."""
    if gate.paused:
        record_hold(session, gate)
    else:
        session.emit(RunResumed())
