"""A task as it is written down: task.toml, typed, and the folder that it stands in."""

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
    "seed_files",
]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one evaluation (one stage, one repeat) may use before it is ended."""

    seconds: float = 300.0
    """Wall clock in seconds; the clock stands still while the evaluation is frozen. Ends as `timeout`."""
    cpu_seconds: float | None = None
    """CPU time of all its processes together, in seconds. Ends as `timeout`."""
    memory_mb: int = 4096
    """Memory of all its processes together, in MiB (shared pages counted once)."""
    processes: int = 64
    """Processes alive at once."""
    file_mb: int = 1024
    """Largest file it may write, in MiB. All that lies in its scratch folder may take four times as much (at least
    64 MiB) and 100,000 files; more ends it as `crashed`."""
    output_mb: int = 64
    """What it may print, in MiB; only the head and the tail are kept."""
    result_mb: int = 64
    """Largest message on the result channel, in MiB."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be above 0, not {value}")


class EarlyStop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an evaluation that runs is given up: the median of earlier nodes at the same step is better."""

    value: str
    """Name of the value that the evaluator reports: `report(step, loss=…)`."""
    direction: Literal["maximize", "minimize"]
    """Whether a higher or a lower value is better."""
    from_step: float = 0.0
    """No evaluation is given up before this step."""
    earlier: int = 5
    """Nodes that must have come as far before any is given up."""

    def __post_init__(self) -> None:
        if self.earlier < 1:
            raise ValueError(f"`earlier` must be at least 1, not {self.earlier}")


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fidelity level of an evaluation."""

    name: Literal["quick", "explore", "verify"] = "explore"
    limits: dict[str, Any] = {}
    """Keys of `Limits` that differ in this stage."""
    threshold: float | None = None
    """A score worse than this ends the evaluation as `rejected`."""
    promotion: bool | None = None
    """Runs only for a new best or on request and never ranks; by default true for `verify` alone."""
    slots: int | None = None
    """Evaluations at once in this stage, within the run's slots; by default as many as the run has."""
    repeats: int = 1
    """How often the evaluator runs, with different seeds; the score is the mean."""
    early_stop: EarlyStop | None = None
    """Give hopeless evaluations up; every evaluation runs to its end by default."""
    settings: dict[str, Any] = {}
    """Handed to the evaluator as `report.settings`, on top of the task's own."""

    def __post_init__(self) -> None:
        for name in ("repeats", "slots"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, not {value}")

    @property
    def is_promotion(self) -> bool:
        """Whether this stage is kept for a new best."""
        return self.name == "verify" if self.promotion is None else self.promotion


class Interface(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a program must define at its top level, and may not use, before it is worth an evaluation."""

    functions: list[str] = []
    classes: list[str] = []
    imports: list[str] | None = None
    """Modules that it may import, each with what is below it; any by default."""
    forbidden: list[str] = []
    """Names that may not stand in it, such as `eval`. A help against mistakes; what confines is the sandbox."""


class Criterion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a model judges programs by."""

    name: str
    """Letters, digits, `_` and `-`; the judge's scores are told by it."""
    text: str
    """What is asked of a program, so that two readers would agree on it."""
    weight: float = 1.0
    """Its share in the judge's mark."""

    def __post_init__(self) -> None:
        if not self.name.isascii() or not self.name.replace("_", "a").replace("-", "a").isalnum():
            raise ValueError(f"`name` may hold letters, digits, '_' and '-' only, not {self.name!r}")
        if not self.text.strip():
            raise ValueError(f"`text` of the criterion '{self.name}' is empty")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"`weight` must be a number from 0, not {self.weight}")


class JudgeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[judge]`: what a model judges programs by; its mark counts as `fitness.judge` says."""

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
    """The key of the score in what `evaluate` returns."""
    summary: str = ""
    """One line for lists."""
    guarded: bool = False
    """True: the evaluator never sees the program file and runs it only through `evolve_task.call`."""
    noisy: bool = False
    """True: the same program may score differently, so that a new best is measured again."""
    gpu: bool = False
    """True: an evaluation needs a GPU; it gets one leased and the device nodes."""
    python: str | None = None
    """Interpreter for the evaluator and the candidates; by default the one the engine runs in."""
    mounts: list[str] = []
    """Further folders that evaluations may read, absolute or relative to the task folder."""
    max_program_bytes: int = 100_000
    """A longer program is refused, never cut."""
    min_gain: float = 0.0
    """Gains in score up to this count as equal: residual noise of the evaluator is not progress."""
    interface: Interface = Interface()
    limits: Limits = Limits()
    stages: list[Stage] = msgspec.field(default_factory=lambda: [Stage()])
    settings: dict[str, Any] = {}
    """Handed to the evaluator as `report.settings`."""
    judge: JudgeSpec | None = None
    """What a model judges programs by, beside the measurement; by default nothing is judged."""
    run: dict[str, Any] = {}
    """Defaults for runs of this task: the keys of `engine.settings.model.Settings`."""

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("_", "a").replace("-", "a").isalnum() or not self.name.isascii():
            raise ValueError(f"`name` may hold letters, digits, '_' and '-' only, not {self.name!r}")
        if not self.stages:
            raise ValueError("`stages` must hold at least one stage")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"`stages` names a stage twice: {names}")
        if all(stage.is_promotion for stage in self.stages):
            raise ValueError("`stages` holds promotion stages only, so that nothing would be ranked")

    def limits_of(self, stage: Stage) -> Limits:
        """The limits that hold in one stage."""
        return msgspec.convert(deep_merge(msgspec.to_builtins(self.limits), stage.limits), Limits)

    @property
    def score_stage(self) -> Stage:
        """The stage that ranks the population: the last one that is no promotion stage."""
        return [stage for stage in self.stages if not stage.is_promotion][-1]

    def better(self, a: float, b: float) -> bool:
        """Whether score `a` beats score `b` by more than `min_gain`."""
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
        """The evaluator's file."""
        return self.folder / "evaluate.py"

    @property
    def priors(self) -> Path:
        """The folder with the task's own priors; it may be missing."""
        return self.folder / "priors"


def seed_files(files: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and content of the seeds among a task's files, in the order of their nodes."""
    several = sorted(name for name in files if name.startswith("seeds/") and name.endswith(".py"))
    return [(name, files[name]) for name in several or ["seed.py"]]
