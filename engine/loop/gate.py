"""The pause gate that stands before every stage."""

from __future__ import annotations

import asyncio
from typing import Literal

from engine.errors import Stopping
from engine.journal.events import RunPaused

__all__ = ["PauseGate"]


Holder = Literal["person", "endpoint", "designer"]
"""Who holds a run paused: a person, that no model answers, or that nothing can be designed."""


class PauseGate:
    """Stands before every stage. Paused, it lets only those rounds through that a `step` allows."""

    def __init__(self) -> None:
        self._holders: dict[Holder, str] = {}
        """With what each of them says."""
        self.stopping = False
        self.cancelling = False
        """Stopping at once: what runs is ended too."""
        self._stepping: set[int] = set()
        self._changed = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when the engine is ending."""

    @property
    def paused(self) -> bool:
        """Whether anybody holds it closed."""
        return bool(self._holders)

    def held_by(self, holder: Holder) -> bool:
        """Whether this one holds it closed."""
        return holder in self._holders

    def paused_event(self, now: bool) -> RunPaused:
        """What is to be recorded of a gate that is closed; `now`: running evaluations stand still."""
        said = [reason for reason in self._holders.values() if reason]
        return RunPaused(now=now, reason="; ".join(said), no_design=self.held_by("designer"))

    def open_for(self, round_: int) -> bool:
        """Whether a stage of this round may start now."""
        return not self.stopping and (not self.paused or round_ in self._stepping)

    async def wait(self, round_: int) -> None:
        """Return when a stage of this round may start.

        Raises:
            Stopping: the engine is ending.
        """
        while not self.open_for(round_):
            if self.stopping:
                raise Stopping
            await self._changed.wait()
        if self.stopping:
            raise Stopping

    async def sleep(self, seconds: float, woken: asyncio.Event | None = None) -> None:
        """Wait so long, or until `woken` is set.

        Raises:
            Stopping: the engine is ending.
        """
        if seconds > 0 and not self.stopping:
            waiting = [asyncio.ensure_future(event.wait()) for event in (self.ended, woken) if event is not None]
            try:
                await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for future in waiting:
                    future.cancel()
        if self.stopping:
            raise Stopping

    def pause(self, holder: Holder = "person", reason: str = "") -> None:
        """Let no further stage start until this holder resumes."""
        self._holders[holder] = reason

    def resume(self, holder: Holder = "person") -> None:
        """Let all stages start again, unless another holds the gate closed."""
        self._holders.pop(holder, None)
        if not self._holders:
            self._stepping.clear()
            self._notify()

    def step(self, round_: int) -> None:
        """Let one round run to its end although all others wait."""
        self._stepping.add(round_)
        self._notify()

    def stepping(self, round_: int) -> bool:
        """Whether a `step` has named this round."""
        return round_ in self._stepping

    def end(self, round_: int) -> None:
        """Forget a round that is over."""
        self._stepping.discard(round_)

    def stop(self, now: bool = False) -> None:
        """Turn away whoever waits and whoever comes."""
        self.stopping = True
        self.cancelling = self.cancelling or now
        self.ended.set()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
