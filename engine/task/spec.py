"""A task: its task.toml, typed, and its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.settings.decode import deep_merge

__all__ = [
    "Criterion",
    "EarlyStop",
    "Interface",
    "JudgeSpec",
    "Limits",
    "Seed",
    "Stage",
    "Task",
    "TaskSpec",
    "is_name",
    "seed_files",
]


def is_name(text: str) -> bool:
    """Return whether a text can name a task or a criterion: it has letters, digits, `_` and `-` only."""
    return text.isascii() and text.replace("_", "a").replace("-", "a").isalnum()


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one evaluation (one stage, one repeat); it is ended if it exceeds one."""

    seconds: float = 300.0
    """Wall-clock seconds, not counted while the evaluation is frozen. Ends as `timeout`."""
    cpu_seconds: float | None = None
    """CPU seconds of all its processes together. Ends as `timeout`."""
    memory_mb: int = 4096
    """MiB of memory of all its processes together (shared pages counted once)."""
    processes: int = 64
    """Processes alive at once."""
    file_mb: int = 1024
    """Largest file that it may write, in MiB. Its scratch folder may hold four times as much (at least 64 MiB) and
    100,000 files; more ends it as `crashed`. Under bubblewrap it lies in memory and counts as such."""
    output_mb: int = 64
    """MiB of output; only the head and the tail are kept."""
    result_mb: int = 64
    """Largest message on the result channel, in MiB."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be above 0, not {value}")


class EarlyStop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop a running evaluation if the median of earlier nodes at the same step is better."""

    value: str
    """Name of the reported value: `report(step, loss=…)`."""
    direction: Literal["maximize", "minimize"]
    """Whether a higher or a lower value is better."""
    from_step: float = 0.0
    """First step at which an evaluation may be stopped."""
    earlier: int = 5
    """Nodes that must have reached the same step before any is stopped."""

    def __post_init__(self) -> None:
        if self.earlier < 1:
            raise ValueError(f"`earlier` must be at least 1, not {self.earlier}")


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fidelity level of an evaluation."""

    name: Literal["quick", "explore", "verify"] = "explore"
    limits: dict[str, Any] = {}
    """Limits that differ in this stage."""
    threshold: float | None = None
    """A score worse than this ends the evaluation as `rejected`."""
    promotion: bool | None = None
    """Run only for a new best or on request, and never rank by it; by default true for `verify` alone."""
    slots: int | None = None
    """Evaluations at once in this stage, within the run's slots; by default all of them."""
    repeats: int = 1
    """Number of evaluations, each with another seed; the score is their mean."""
    early_stop: EarlyStop | None = None
    """Stop hopeless evaluations; by default every evaluation runs to its end."""
    settings: dict[str, Any] = {}
    """Passed to the evaluator as `report.settings`, on top of the task's own."""

    def __post_init__(self) -> None:
        for name in ("repeats", "slots"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, not {value}")

    @property
    def is_promotion(self) -> bool:
        """Return whether this stage runs only for a new best."""
        return self.name == "verify" if self.promotion is None else self.promotion


class Interface(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a program must define at its top level and may not use; checked before any evaluation."""

    functions: list[str] = []
    classes: list[str] = []
    imports: list[str] | None = None
    """Modules that it may import, submodules included; by default any."""
    forbidden: list[str] = []
    """Names that it may not use, such as `eval`. This helps against mistakes; the sandbox is what confines."""


class Criterion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A criterion by which a model judges programs."""

    name: str
    """Letters, digits, `_` and `-`; the key of the judge's score."""
    text: str
    """The criterion in words, so clear that two readers would agree."""
    weight: float = 1.0
    """Its share in the judge's mark."""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"`name` may hold letters, digits, '_' and '-' only, not {self.name!r}")
        if not self.text.strip():
            raise ValueError(f"`text` of the criterion '{self.name}' is empty")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"`weight` must be a number from 0, not {self.weight}")


class JudgeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[judge]`: the criteria by which a model judges programs; `fitness.judge` sets the weight of its mark."""

    criteria: list[Criterion]

    def __post_init__(self) -> None:
        names = [criterion.name for criterion in self.criteria]
        if not names:
            raise ValueError("`criteria` must hold at least one criterion")
        if len(set(names)) < len(names):
            raise ValueError(f"`criteria` names one twice: {names}")
        if not any(criterion.weight for criterion in self.criteria):
            raise ValueError("`criteria` must leave at least one of them a weight")


class TaskSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`task.toml`, decoded strictly."""

    name: str
    """Letters, digits, `_` and `-`; names the cognition collection and the runs."""
    direction: Literal["maximize", "minimize"]
    """Whether a higher or a lower score is better."""
    metric: str = "score"
    """The key of the score in the result of `evaluate`."""
    summary: str = ""
    """One line, shown in lists."""
    guarded: bool = False
    """True: the evaluator never sees the program file and runs it only through `evolve_task.call`."""
    noisy: bool = False
    """True: the same program may score differently, so a new best is measured again."""
    gpu: bool = False
    """True: an evaluation needs a GPU; it gets a lease of one and the device nodes."""
    python: str | None = None
    """Interpreter for the evaluator and the candidates; by default the engine's."""
    mounts: list[str] = []
    """Further folders that evaluations may read, absolute or relative to the task folder."""
    max_program_bytes: int = 100_000
    """Most bytes of a program; a longer one is refused, never cut."""
    min_gain: float = 0.0
    """Gain in score up to which two programs count as equal: noise of the evaluator is not progress."""
    interface: Interface = Interface()
    limits: Limits = Limits()
    stages: list[Stage] = msgspec.field(default_factory=lambda: [Stage()])
    settings: dict[str, Any] = {}
    """Passed to the evaluator as `report.settings`."""
    judge: JudgeSpec | None = None
    """Criteria by which a model judges programs beside the measurement; by default none."""
    run: dict[str, Any] = {}
    """Defaults for runs of this task: the keys of `engine.settings.model.Settings`."""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"`name` may hold letters, digits, '_' and '-' only, not {self.name!r}")
        if not self.stages:
            raise ValueError("`stages` must hold at least one stage")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"`stages` names a stage twice: {names}")
        if all(stage.is_promotion for stage in self.stages):
            raise ValueError("`stages` holds promotion stages only, so that nothing would be ranked")

    def limits_of(self, stage: Stage) -> Limits:
        """Return the limits of one stage."""
        return msgspec.convert(deep_merge(msgspec.to_builtins(self.limits), stage.limits), Limits)

    @property
    def score_stage(self) -> Stage:
        """Return the stage that ranks the population: the last one that is not a promotion stage."""
        return [stage for stage in self.stages if not stage.is_promotion][-1]

    def better(self, a: float, b: float) -> bool:
        """Return whether score `a` beats score `b` by more than `min_gain`."""
        return (a - b if self.direction == "maximize" else b - a) > self.min_gain


@dataclass(frozen=True)
class Seed:
    """A program to start from."""

    name: str
    code: str


@dataclass(frozen=True)
class Task:
    """A task folder, read and checked."""

    folder: Path
    spec: TaskSpec
    brief: str
    seeds: tuple[Seed, ...]

    @property
    def evaluator(self) -> Path:
        """Return the evaluator's file."""
        return self.folder / "evaluate.py"

    @property
    def priors(self) -> Path:
        """Return the folder of the task's own priors; it may not exist."""
        return self.folder / "priors"


def seed_files(files: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return name and content of the seeds among a task's files, in the order of their nodes."""
    several = sorted(name for name in files if name.startswith("seeds/") and name.endswith(".py"))
    return [(name, files[name]) for name in several or ["seed.py"]]
