"""The pause gate that stands before every stage."""

from __future__ import annotations

import asyncio
from typing import Literal

from engine.errors import Stopping
from engine.journal.events import RunPaused

__all__ = ["PauseGate"]


Holder = Literal["person", "endpoint", "designer"]
"""Who holds a run paused: `person`; `endpoint` if no model answers; `designer` if nothing can be designed."""


class PauseGate:
    """Hold stages back while the run is paused, but for rounds that a `step` lets through; turn all away at the end."""

    def __init__(self) -> None:
        self._holders: dict[Holder, str] = {}
        """Who holds it closed, with the reason for people; empty if a person needs none."""
        self.stopping = False
        self.cancelling = False
        """Whether it stops at once: evaluations and requests are ended, too."""
        self._stepping: set[int] = set()
        self._changed = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when the engine is ending."""

    @property
    def paused(self) -> bool:
        """Whether somebody holds it closed."""
        return bool(self._holders)

    def held_by(self, holder: Holder) -> bool:
        """Tell whether this holder holds it closed."""
        return holder in self._holders

    def paused_event(self, now: bool) -> RunPaused:
        """Return the event that records a closed gate.

        Args:
            now: whether running evaluations are frozen.
        """
        said = [reason for reason in self._holders.values() if reason]
        return RunPaused(now=now, reason="; ".join(said), no_design=self.held_by("designer"))

    def open_for(self, round_: int) -> bool:
        """Tell whether a stage of this round may start now."""
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
        """Wait.

        Args:
            seconds: how long.
            woken: ends the wait when it is set.

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
        """Tell whether a `step` lets this round through."""
        return round_ in self._stepping

    def end(self, round_: int) -> None:
        """Forget a round that is over."""
        self._stepping.discard(round_)

    def stop(self, now: bool = False) -> None:
        """Turn away all rounds that wait or come; with `now` what runs is to be ended as well."""
        self.stopping = True
        self.cancelling = self.cancelling or now
        self.ended.set()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
