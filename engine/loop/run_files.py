"""Files that people may edit during a run: the task's folder and the priors."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine.journal.events import Event, PriorProposed, SettingsChanged, TaskChanged
from engine.loop.file_watch import FileWatch
from engine.loop.priors import RunPriors
from engine.loop.session import RunSession
from engine.state.run_state import RunState
from engine.task.snapshot import TaskWatch

__all__ = ["RunFiles"]


class RunFiles:
    """Record how files change.

    Args:
        session: the run.
        task: looks at the task's folder.
        priors: look at the priors, and at the base, in which people decide on proposals.
    """

    def __init__(self, session: RunSession, task: TaskWatch, priors: RunPriors) -> None:
        self._session, self._task, self._priors = session, task, priors
        self._watch = FileWatch(self._paths, self._look)
        session.subscribe(self._follow, [PriorProposed, SettingsChanged])

    async def watch(self) -> None:
        """Look whenever something changes, until cancelled."""
        await self._watch.run()

    async def look_at_task(self) -> None:
        """Record how the task's folder differs from the recorded copy, which the run keeps using, if that changed."""
        differences = await asyncio.to_thread(self._task.look)
        if differences is not None:
            self._session.emit(TaskChanged(differences))

    def _paths(self) -> set[Path]:
        return {*self._task.paths, *self._priors.paths}

    async def _look(self) -> bool:
        await self.look_at_task()
        return await self._priors.look()

    def _follow(self, event: Event, state: RunState) -> None:
        """Look at the priors after a proposal, and after a setting that may accept those that wait."""
        if isinstance(event.data, PriorProposed) or (
            isinstance(event.data, SettingsChanged) and "retrieval" in event.data.settings
        ):
            self._watch.wake()
