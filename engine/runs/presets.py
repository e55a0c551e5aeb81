"""Presets: settings under one name, between the task's own and the command line's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.settings.model import Settings
from engine.settings.models import NO_ANALYZER, ModelSpec
from engine.task.spec import Task

__all__ = ["PRESETS", "Preset", "find_preset"]


@dataclass(frozen=True)
class Preset:
    """Settings that belong together."""

    settings: dict[str, Any] = field(default_factory=dict)
    """Keys of `engine.settings.model.Settings`."""
    seconds: float | None = None
    """Wall-clock limit of a stage; a limit on CPU time grows with it. A stage that has a limit of its own keeps it."""
    sampling: dict[str, float] = field(default_factory=dict)
    """Fields of `ModelSpec` for models that leave them open."""

    def limit(self, task: Task) -> Task:
        """Return the task with the preset's limits."""
        if self.seconds is None:
            return task
        limits = task.spec.limits
        cpu = limits.cpu_seconds
        if cpu is not None:
            # CPU time within the wall-clock limit, on as many processors as the task allows, at least one.
            cpu = max(cpu, self.seconds * max(1.0, cpu / limits.seconds))
        limits = msgspec.structs.replace(limits, seconds=self.seconds, cpu_seconds=cpu)
        return dataclasses.replace(task, spec=msgspec.structs.replace(task.spec, limits=limits))

    def sample(self, settings: Settings) -> Settings:
        """Return the settings with the preset's sampling parameters for models that set none and accept them.

        Endpoints refuse them for models with a `reasoning_effort`.
        """
        models = {name: self._fill(model) for name, model in settings.models.items()}
        return msgspec.structs.replace(settings, models=models)

    def _fill(self, model: ModelSpec) -> ModelSpec:
        if model.reasoning_effort is not None:
            return model
        missing = {name: value for name, value in self.sampling.items() if getattr(model, name) is None}
        return msgspec.structs.replace(model, **missing)


def _baseline(sampler: str) -> Preset:
    """Return a search without what evolution adds: no other nodes, no crossover, no mended failures, no lessons."""
    modes = {"full": 0.3, "diff": 0.6, "crossover": 0.0, "fix": 0.0}
    return Preset(
        settings={
            "designer": {"modes": modes},
            "sampler": {"name": sampler},
            "roles": {"analyzer": NO_ANALYZER},
        }
    )


PRESETS = {
    "paper": Preset(
        settings={
            "workers": 4,
            "designer": {"modes": {"full": 1.0, "diff": 0.0, "crossover": 0.0, "fix": 0.0}, "recombine_share": 0.0},
            "sampler": {
                "name": "ucb1_paper",
                "inspirations": 2,
                "keep": 70,
                "islands": 5,
                "features": ["complexity", "diversity"],
                "bins": 10,
                "migration_interval": 10,
                "migration_rate": 0.1,
                "exploration": 0.2,
                "exploitation": 0.6,
                "archive": 100,
            },
        },
        seconds=300.0,
        sampling={"temperature": 0.7, "top_p": 0.95},
    ),
    "iid": _baseline("iid"),
    "sequential": _baseline("sequential"),
}
"""`paper` is appendix A of arXiv 2603.29640: 3 nodes shown, of the best 70; every program written anew; no judge. The
settings of its islands are there for `--set sampler=map_elites`, the paper's other sampler. `iid` and `sequential` are
the baselines of the same names: nothing is passed from one node to the next but the parent, and nobody reports."""


def find_preset(name: str) -> Preset:
    """Return the preset of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset '{name}'", f"There are {', '.join(PRESETS)}")
    return PRESETS[name]
