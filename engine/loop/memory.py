"""What the search remembers: a sampler and a designer, kept up to date by every event of the run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from engine.designers.base import Design, Designer
from engine.errors import RunError
from engine.journal.events import Event, SettingsChanged
from engine.llm.requests import DesignRequest, Mode
from engine.loop.task_prompts import TaskPrompts
from engine.samplers import Sample, Sampler, make_sampler, take_up
from engine.settings.model import Settings, designs_by_command, designs_by_model
from engine.state.run_state import RunState
from engine.task.spec import Seed, TaskSpec

__all__ = ["RunDesigner", "RunSampler"]


class RunSampler:
    """Hold the sampler that the settings name. Make it anew if they change, or if all nodes are ranked anew.

    Args:
        state: the run at its first event; `apply` takes the events after it.
    """

    def __init__(self, state: RunState) -> None:
        self._made_for = state.settings.sampler, state.rankings
        self.current: Sampler = make_sampler(state.settings.sampler)

    def apply(self, event: Event, state: RunState) -> None:
        """Take note of an event that the state has folded."""
        wanted = state.settings.sampler, state.rankings
        if wanted == self._made_for:
            self.current.apply(event, state)
        else:
            self._made_for = wanted
            self.current = make_sampler(state.settings.sampler)
            take_up(self.current, state)

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Pick a parent and up to so many inspirations; None while no node has a score."""
        return self.current.sample(state, inspirations, rng)


class RunDesigner:
    """Hold the designer of a run: recombination, and beside it a command, or a model once one is configured.

    Args:
        state: the run at its first event; `apply` takes the events after it.
        spec: the task as it is now, which may differ from that at the first event.
        seeds: its seeds.
        prompts: its templates of prompts.
        settings: the run's settings of now.
        task_folder: the run's copy of the task; it may be laid out later.
        recorded: the paths of the files in it.

    Raises:
        RunError: the settings ask for a model, and none is configured.
    """

    def __init__(
        self,
        state: RunState,
        spec: TaskSpec,
        seeds: Sequence[Seed],
        prompts: TaskPrompts,
        settings: Settings,
        task_folder: Path,
        recorded: Sequence[str],
    ) -> None:
        from engine.designers.recombine import BANDITS, OPINIONS, RecombineDesigner

        self._state, self._spec, self._prompts = state, spec, prompts
        self._task_folder, self._recorded = task_folder, recorded
        # Every run has it: its memory is a fold of all events, whoever else designs.
        bandit = BANDITS[state.settings.designer.bandit](priors=OPINIONS)
        self._recombine = RecombineDesigner(spec, list(seeds), gained=state.gained, bandit=bandit)
        self.current: Designer = self._recombine
        self._choose(settings)

    @property
    def name(self) -> str:
        """The name of the designer, for people."""
        return self.current.name

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that it supports."""
        return self.current.modes

    def apply(self, event: Event, state: RunState) -> None:
        """Take note of a past event that the state has folded."""
        self.current.apply(event)

    def follow(self, event: Event, state: RunState) -> None:
        """Take note of a new event that the state has folded; let a model design if the event configures one."""
        self.current.apply(event)
        if isinstance(event.data, SettingsChanged):
            self._choose(state.settings)

    async def design(self, request: DesignRequest) -> Design:
        """Write one candidate.

        Raises:
            NothingToDesign: there is no design for this or any other request until something is added to the run.
            DesignerError: there is no design for this request.
        """
        return await self.current.design(request)

    async def aclose(self) -> None:
        """End its processes."""
        await self.current.aclose()

    def _choose(self, settings: Settings) -> None:
        if self.current is not self._recombine:
            return
        if designs_by_command(settings):
            self._mix(self._command())
        elif designs_by_model(settings):
            self._mix(self._model(settings))

    def _mix(self, designer: Designer) -> None:
        from engine.designers.mixed import MixedDesigner

        state = self._state
        self.current = MixedDesigner(designer, self._recombine, lambda: state.settings.designer.recombine_share)

    def _command(self) -> Designer:
        from engine.designers.command import CommandDesigner

        state, prompts = self._state, self._prompts
        return CommandDesigner(
            self._spec, prompts.brief, lambda: prompts.templates, lambda: state.settings.command,
            self._task_folder, self._recorded,
        )  # fmt: skip

    def _model(self, settings: Settings) -> Designer:
        if not settings.models:
            raise RunError("the designer 'llm' needs a model, and none is configured", "Use --designer recombine")
        from engine.designers.llm import LlmDesigner

        return LlmDesigner(self._spec, self._prompts.brief, self._prompts.templates)
