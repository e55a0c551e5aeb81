"""Limits of a run: how much it does at once, and what ends it."""

from __future__ import annotations

from collections.abc import Callable

from engine.evaluation.capacity import CapacityLimiter
from engine.journal.events import RunFinished, RunStopped
from engine.loop.session import RunSession
from engine.state.limits import limit_reached, new_warnings

__all__ = ["Limits"]

Room = Callable[[int | None], int]


class Limits:
    """Read the limits from the settings of now.

    Args:
        session: the run.
        room: returns how many evaluations may run at once, given how many the settings ask for.
        committed: returns the US dollars and tokens that the calls in flight may cost.
    """

    def __init__(self, session: RunSession, room: Room, committed: Callable[[], tuple[float, float]]) -> None:
        self._session, self._room, self._committed = session, room, committed
        self.capacity = CapacityLimiter(self.slots)
        """Grants the slots; `update` brings it up to date."""

    @property
    def slots(self) -> int:
        """Evaluations at once."""
        if self._session.spec.exclusive:
            return 1
        return self._room(self._session.state.settings.slots)

    @property
    def workers(self) -> int:
        """Rounds in flight."""
        return self._session.state.settings.workers or self.slots + 2

    def update(self) -> None:
        """Grant as many slots as the settings say now; record warnings of budgets that are due."""
        self.capacity.limit = self.slots
        for warning in new_warnings(self._session.state):
            self._session.emit(warning)

    def reached(self) -> RunFinished | RunStopped | None:
        """Return the limit that keeps further rounds from starting, if there is one."""
        return limit_reached(self._session.state, self._session.spec, *self._committed())
