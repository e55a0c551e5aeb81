"""A task: its task.toml, typed, and its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from engine.programs.folders import file_line, join_files, matches
from engine.settings.decode import deep_merge
from engine.task.instances import Instance
from engine.task.judging import Criterion, JudgeSpec, MetricSpec, is_name
from engine.task.records import Record, best_record
from engine.task.resources import Resources

if TYPE_CHECKING:
    from engine.programs.languages.base import Language

__all__ = [
    "PROBE",
    "BuildSpec",
    "Criterion",
    "EarlyStop",
    "Interface",
    "JudgeSpec",
    "Limits",
    "MetricSpec",
    "ProbeSpec",
    "ProgramSpec",
    "Seed",
    "Stage",
    "Task",
    "TaskSpec",
    "is_name",
    "seed_paths",
    "seed_texts",
]


PROBE: Final = "probe"
"""The stage in which a task's probe runs."""
_ROUNDING = 1e-9


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

    name: Literal["quick", "explore", "verify", "probe"] = "explore"
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


class ProbeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[probe]`: a cheap evaluation on a few inputs that comes before all stages, to compare what programs return."""

    limits: dict[str, Any] = {}
    """Limits that differ from the task's."""
    settings: dict[str, Any] = {}
    """Passed to the evaluator as `report.settings`, on top of the task's own."""


class Interface(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a program must define at its top level and may not use; checked before any evaluation."""

    functions: list[str] = []
    improving: list[str] = []
    """Functions that improve a construction: it must define them, too, if the task's kind is `improve`."""
    classes: list[str] = []
    imports: list[str] | None = None
    """Modules that it may import, submodules included; by default any."""
    forbidden: list[str] = []
    """Names that it may not use, such as `eval`. This helps against mistakes; the sandbox is what confines."""
    blocks: bool = False
    """True: what stands outside its EVOLVE-BLOCKs is put back as it was in the program to start from. Recombination
    never changes it."""


class ProgramSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[program]`: what a candidate is written in."""

    language: str = "python"
    """`python`, `c`, `cpp`, `cuda`, `triton`, `rust`, `go`, `julia`, `javascript`, or `text` for any other."""
    suffix: str = ""
    """The suffix of a candidate's file, with its dot; by default that of the language."""
    files: list[str] = []
    """Patterns of the files in the folder `seed/` that make up a program, such as `src/**`; by default it is one file.
    Designs may change, add and leave out such files; all others in `seed/` stay as they are."""
    editable: list[str] = []
    """Patterns of those among `files` that designs may change, add and leave out; by default all. The others are part
    of the program, so that designs see them, and stay as they are in the seed."""
    check_syntax: bool = True
    """False: a syntax error that the language's parser finds is none, for dialects that only a compiler knows. Python's
    parser is always asked."""

    def __post_init__(self) -> None:
        if self.editable and not self.files:
            raise ValueError("`editable` says which of `files` may change; `files` is missing")
        if self.language == "python" and not self.suffix:
            return  # the languages need not be loaded
        from engine.programs.languages.registry import LANGUAGES

        if self.language not in LANGUAGES:
            raise ValueError(f"`language` must be one of {', '.join(LANGUAGES)}, not {self.language!r}")
        if self.suffix and not (self.suffix[0] == "." and self.suffix[1:].replace("_", "a").isalnum()):
            raise ValueError(f"`suffix` must be a dot with letters and digits behind it, not {self.suffix!r}")
        if self.suffix not in ("", ".py") and LANGUAGES[self.language].is_python:
            raise ValueError(f"`suffix` of {self.language} is .py, not {self.suffix!r}")

    @property
    def language_of(self) -> Language:
        """Return the language, with the suffix and the strictness of this task."""
        # Loaded here: who reads a run of programs in Python, such as a list of runs, needs no language.
        from engine.programs.languages.registry import language_named

        return language_named(self.language, self.check_syntax, self.suffix)


class BuildSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[build]`: how a candidate is built before it is evaluated."""

    command: list[str]
    """Words of a command, run in a folder that holds the candidate's file (`program` with its suffix) and `files`."""
    files: list[str] = []
    """Files of the task folder that lie beside the candidate's, each by its own name; the candidate may read them."""
    mounts: list[str] = []
    """Absolute folders that the command may read: a toolchain that does not lie among the system's."""
    limits: dict[str, Any] = {}
    """Limits of a build that differ from those of an evaluation."""

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ValueError("`command` must name a program, such as 'gcc'")
        names = [PurePosixPath(file).name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"`files` names two files alike: {names}")
        for mount in self.mounts:
            if not PurePosixPath(mount).is_absolute():
                raise ValueError(f"`mounts` of a build are absolute paths; {mount!r} is not")
        for file in self.files:
            if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
                raise ValueError(f"`files` lie in the task folder; {file!r} does not")


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
    kind: Literal["construct", "improve"] = "construct"
    """`improve`: a program is handed the best construction so far, which the evaluator kept, to improve it."""
    guarded: bool = False
    """True: the evaluator never sees the program file and runs it only through `evolve_task.call`."""
    noisy: bool | Literal["unknown"] = False
    """True: the same program may score differently, so a new best is measured twice more. `unknown`: once more, and
    again if the two measurements differ."""
    confirm: Literal["gain", "score", "off"] | None = None
    """How a new best is verified on fresh data before it is crowned; by default `gain` if the task is guarded, else
    `off`. `gain`: it and the best so far are measured there, and it must gain there too, or have the very same score.
    `score`: it must have the same score, since that does not depend on the data that are drawn."""
    gpu: bool = False
    """True: an evaluation needs a GPU; it gets a lease of one and the device nodes."""
    exclusive: bool = False
    """True: while one of its evaluations runs, no other of the run does, nor an exclusive one of another run of this
    user on this machine."""
    cores: int = 0
    """The processors to which the candidate of an exclusive task is pinned, in one process; 0: it is not pinned."""
    evaluator: Literal["confined", "trusted", "container"] = "confined"
    """`trusted`: the evaluator runs unconfined, with your files and the network, if the person agrees; candidates are
    confined all the same, so that it needs `guarded`. `container`: it runs unconfined too, to start containers in which
    candidates run; it must not run them itself."""
    python: str | None = None
    """Interpreter for the evaluator and the candidates; by default the engine's."""
    mounts: list[str] = []
    """Further folders that evaluations may read, absolute or relative to the task folder."""
    max_program_bytes: int = 100_000
    """Most bytes of a program; a longer one is refused, never cut."""
    min_gain: float = 0.0
    """Gain in score up to which two programs count as equal: noise of the evaluator is not progress."""
    bound: float | None = None
    """The best score that is possible, if one is proven; a score past it is `invalid`."""
    bound_source: str = ""
    """Where that is proven; required with `bound`."""
    program: ProgramSpec = ProgramSpec()
    build: BuildSpec | None = None
    """How a candidate is built before each evaluation; by default it is not."""
    probe: ProbeSpec | None = None
    """What is compared before a program is measured; by default nothing is."""
    interface: Interface = Interface()
    limits: Limits = Limits()
    resources: Resources = Resources()
    """What an evaluation needs of a machine, if evaluations run on a cluster."""
    stages: list[Stage] = msgspec.field(default_factory=lambda: [Stage()])
    settings: dict[str, Any] = {}
    """Passed to the evaluator as `report.settings`."""
    instances: dict[str, Instance] = {}
    """Other instances, by name; a run may choose one."""
    instance: str = ""
    """The instance that a run has chosen; empty in task.toml."""
    metrics: dict[str, MetricSpec] = {}
    """Direction and meaning of metrics, for designers; what ranks nodes is the score or the fitness all the same."""
    judge: JudgeSpec | None = None
    """Criteria by which a model judges programs beside the measurement; by default none."""
    run: dict[str, Any] = {}
    """Defaults for runs of this task: the keys of `engine.settings.model.Settings`."""
    records: list[Record] = []
    """The best values that are known; they stand in `records.toml`, a table `[[record]]` each."""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"`name` may hold letters, digits, '_' and '-' only, not {self.name!r}")
        if self.evaluator == "trusted" and not self.guarded:
            raise ValueError(
                "`evaluator` can be trusted only with `guarded = true`: else it runs candidates unconfined"
            )
        if self.cores < 0 or (self.cores and not self.exclusive):
            raise ValueError("`cores` is a number of processors, 1 or more, of a task with `exclusive = true`")
        if self.kind == "improve" and not self.interface.improving:
            raise ValueError(
                "`kind` can be improve only if `improving` of [interface] names what improves a construction"
            )
        for name, instance in self.instances.items():
            unknown = sorted(set(instance.settings) - set(self.settings))
            if not is_name(name) or unknown:
                said = f"names {unknown[0]!r}, which [settings] does not have" if unknown else "is no name"
                raise ValueError(f"`instances.{name}` {said}")
        required = self.interface.functions or self.interface.classes
        if required and self.program.language != "python" and not self.language.has_functions:
            raise ValueError("`interface` can require no functions and classes of a program in text")
        if not self.stages:
            raise ValueError("`stages` must hold at least one stage")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"`stages` names a stage twice: {names}")
        if PROBE in names:
            raise ValueError("`stages` holds no probe: it has a table of its own, [probe]")
        if self.probe is not None and (self.noisy is True or self.kind == "improve"):
            why = "scores are noisy" if self.noisy is True else "what programs return depends on what they are handed"
            raise ValueError(f"`probe` can compare nothing, since {why}")
        if all(stage.is_promotion for stage in self.stages):
            raise ValueError("`stages` holds promotion stages only, so that nothing would be ranked")
        if self.bound is not None and not math.isfinite(self.bound):
            raise ValueError(f"`bound` must be a number, not {self.bound}")
        if (self.bound is None) != (not self.bound_source.strip()):
            raise ValueError("`bound` and `bound_source` belong together: say where the bound is proven")

    def file_line(self, path: str) -> str:
        """Return the line that stands before a file in a program of several."""
        return file_line(path, self.language)

    @property
    def language(self) -> Language:
        """Return the language of its programs."""
        return self.program.language_of

    def limits_of(self, stage: Stage) -> Limits:
        """Return the limits of one stage."""
        return msgspec.convert(deep_merge(msgspec.to_builtins(self.limits), stage.limits), Limits)

    @property
    def all_mounts(self) -> list[str]:
        """Return all folders beside the task's own that its evaluations and builds may read."""
        return [*self.mounts, *(self.build.mounts if self.build is not None else [])]

    def limits_of_build(self) -> Limits:
        """Return the limits of a build."""
        own = self.build.limits if self.build is not None else {}
        return msgspec.convert(deep_merge(msgspec.to_builtins(self.limits), own), Limits)

    @property
    def unconfined(self) -> bool:
        """Return whether the evaluator runs unconfined, which a person must agree to."""
        return self.evaluator != "confined"

    @property
    def confirmation(self) -> Literal["gain", "score", "off"]:
        """Return how a new best is verified."""
        return self.confirm or ("gain" if self.guarded else "off")

    @property
    def record(self) -> Record | None:
        """Return the best value that is known for this instance; None if none is."""
        return best_record(self.records, {**self.settings, **self.score_stage.settings}, self.direction)

    @property
    def score_stage(self) -> Stage:
        """Return the stage that ranks the population: the last one that is not a promotion stage."""
        return [stage for stage in self.stages if not stage.is_promotion][-1]

    @property
    def probe_stage(self) -> Stage | None:
        """Return the stage in which the probe runs; None if the task has none."""
        return None if self.probe is None else Stage(PROBE, self.probe.limits, settings=self.probe.settings)

    def is_impossible(self, score: float) -> bool:
        """Return whether a score is past the bound by more than rounding."""
        if self.bound is None:
            return False
        past = score - self.bound if self.direction == "maximize" else self.bound - score
        return past > _ROUNDING * max(1.0, abs(self.bound))

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
    notes: tuple[str, ...] = ()
    """What was taken from a folder of another system, and what was left; a line each."""
    origin: Path | None = None
    """That folder."""

    @property
    def evaluator(self) -> Path:
        """Return the evaluator's file."""
        return self.folder / "evaluate.py"

    @property
    def priors(self) -> Path:
        """Return the folder of the task's own priors; it may not exist."""
        return self.folder / "priors"


class Container(NamedTuple):
    """What a person allows for the containers of a task of another system."""

    network: bool = False


def seed_texts(files: Mapping[str, str], spec: TaskSpec, text: Callable[[str], str]) -> list[Seed]:
    """Return the seeds among a task's files, in the order of their nodes.

    Args:
        files: path to blob.
        spec: the task.
        text: returns a blob as text.
    """
    language = spec.language
    if spec.program.files:
        own = {name.removeprefix("seed/"): sha256 for name, sha256 in files.items() if name.startswith("seed/")}
        return [Seed("seed", join_files({name: text(own[name]) for name in seed_paths(own, spec)}, language))]
    several = sorted(name for name in files if name.startswith("seeds/") and name.endswith(language.suffix))
    return [Seed(PurePosixPath(name).stem, text(files[name])) for name in several or [language.file("seed")]]


def seed_paths(paths: Iterable[str], spec: TaskSpec) -> list[str]:
    """Return those of the paths in `seed/` that make up a program, sorted."""
    return sorted(path for path in paths if any(matches(path, pattern) for pattern in spec.program.files))
