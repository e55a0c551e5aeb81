"""A task folder: what to search for. Load it, and say what is wrong with it by file and key."""

from __future__ import annotations

import ast
import difflib
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import TaskError
from engine.settings.decode import convert_table, deep_merge, read_toml

__all__ = [
    "BUILTIN_TASKS",
    "Criterion",
    "EarlyStop",
    "Interface",
    "JudgeSpec",
    "Limits",
    "Seed",
    "Stage",
    "Task",
    "TaskSpec",
    "builtin_tasks",
    "find_task",
    "load_task",
    "seed_files",
]

BUILTIN_TASKS = Path(__file__).parents[1] / "tasks"


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


def builtin_tasks() -> list[Path]:
    """The folders of the tasks that come with the package, by name."""
    return sorted(path.parent for path in BUILTIN_TASKS.glob("*/task.toml"))


def find_task(name: str) -> Path:
    """The folder that a name or a path on the command line means.

    Raises:
        TaskError: there is neither such a folder nor such a built-in task.
    """
    builtin = {path.name: path for path in builtin_tasks()}
    if name in builtin:
        return builtin[name]
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.exists():
        meant = f": '{shlex.quote(str(folder.parent))}'" if (folder.parent / "task.toml").is_file() else ""
        raise TaskError(f"{name} is a file, no task folder", f"Name the folder{meant}")
    close = difflib.get_close_matches(name.rstrip("/").rpartition("/")[2], builtin, 1)
    raise TaskError(
        f"there is no task '{name}': neither a folder nor one of {', '.join(builtin) or 'the built-in tasks'}",
        f"Did you mean '{close[0]}'? 'evolve tasks' lists the built-in tasks"
        if close
        else "'evolve tasks' lists the built-in tasks, 'evolve new NAME' starts one of your own",
    )


def load_task(folder: Path) -> Task:
    """Read a task folder.

    Raises:
        TaskError: a part is missing or wrong; the message names the file and the key.
    """
    path = folder / "task.toml"
    if not path.is_file():
        raise _no_task(folder)
    spec = convert_table(read_toml(path, TaskError), TaskSpec, str(path), TaskError)
    _check_tables(spec, path)
    brief = _read(folder / "brief.md", "the problem statement that the Researcher reads")
    if not brief.strip():
        raise TaskError(f"{folder / 'brief.md'} is empty", "Say in it what a program must do and how it is scored")
    _check_evaluator(folder / "evaluate.py")
    return Task(folder=folder, spec=spec, brief=brief, seeds=_read_seeds(folder, spec))


def _no_task(folder: Path) -> TaskError:
    """What a folder without task.toml is, what it lacks, and what to do."""
    typed = shlex.quote(str(folder))
    if (folder / "run.db").is_file():
        return TaskError(
            f"{folder} is a run, no task folder",
            f"'evolve resume {typed}' goes on with it, 'evolve fork {typed}' begins another",
        )
    lacking = [name for name in ("brief.md", "evaluate.py", "seed.py") if not (folder / name).is_file()]
    if "seed.py" in lacking and any(folder.glob("seeds/*.py")):
        lacking.remove("seed.py")
    more = f"; {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing too" if lacking else ""
    inside = sorted(path.parent.name for path in folder.glob("*/task.toml"))[:5]
    return TaskError(
        f"{folder} is no task folder: it has no task.toml{more}",
        f"It holds task folders: {', '.join(inside)}"
        if inside
        else "'evolve new NAME' writes a working example to start from",
    )


def _check_tables(spec: TaskSpec, path: Path) -> None:
    from engine.settings.model import check_settings

    for index, stage in enumerate(spec.stages):
        convert_table(stage.limits, Limits, f"{path}: stages[{index}].limits", TaskError)
    check_settings(spec.run, f"{path}: run", TaskError)


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TaskError(f"{path} is missing: {what}") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise TaskError(f"{path} cannot be read: {exc}") from None


def _read_seeds(folder: Path, spec: TaskSpec) -> tuple[Seed, ...]:
    from engine.programs.outline import ProgramError, check_program

    paths = sorted((folder / "seeds").glob("*.py")) or [folder / "seed.py"]
    seeds = []
    for path in paths:
        code = _read(path, "the program to start from (or several as seeds/*.py)")
        _parse(path, code)
        try:
            check_program(code, spec)
        except ProgramError as exc:
            raise TaskError(f"{path}: {exc.check}: {exc.reason}") from None
        seeds.append(Seed(path.stem, code))
    return tuple(seeds)


def _check_evaluator(path: Path) -> None:
    tree = _parse(path, _read(path, "it scores a program: evaluate(program_path) or evaluate(program_path, report)"))
    for item in tree.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name == "evaluate":
            positional = len(item.args.posonlyargs) + len(item.args.args)
            if item.args.vararg or positional in (1, 2):
                return
            raise TaskError(
                f"{path}:{item.lineno}: evaluate() takes {positional} parameters",
                "Write evaluate(program_path) or evaluate(program_path, report)",
            )
    # An evaluator may import its `evaluate`: only a run of it can tell then.
    if not any(isinstance(item, ast.ImportFrom | ast.Assign) for item in tree.body):
        raise TaskError(f"{path} defines no function evaluate(program_path)")


def _parse(path: Path, code: str) -> ast.Module:
    try:
        return ast.parse(code, filename=str(path))
    except (SyntaxError, ValueError) as exc:
        line = getattr(exc, "lineno", None)
        raise TaskError(f"{path}{f':{line}' if line else ''} is not valid Python: {exc}") from None
