"""Find a task folder and load it; say what is wrong with it by file and key."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import shlex
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import TaskError
from engine.programs.folders import join_files, matches
from engine.programs.outline import ProgramError
from engine.settings.command import check_bounds
from engine.settings.decode import convert_table, read_toml
from engine.settings.model import check_settings
from engine.task.choose import choose
from engine.task.interface import check_program
from engine.task.records import read_records
from engine.task.snapshot import task_files
from engine.task.spec import Container, Limits, Seed, Task, TaskSpec, seed_paths

__all__ = ["BUILTIN_TASKS", "builtin_tasks", "exact_problems", "find_task", "load_task", "write_converted"]


BUILTIN_TASKS = Path(__file__).parents[1] / "tasks"


def builtin_tasks() -> list[Path]:
    """Return the folders of the built-in tasks, sorted by name."""
    return sorted(path.parent for path in BUILTIN_TASKS.glob("*/task.toml"))


def exact_problems() -> dict[str, Path]:
    """Return the folders of the built-in tasks whose answers can be measured exactly, by name."""
    # Only they have what asks a program for an answer.
    found = (path.parent for path in sorted(BUILTIN_TASKS.glob("*/evaluation.py")))
    return {folder.name: folder for folder in found if (folder / "task.toml").is_file()}


def find_task(name: str) -> Path:
    """Return the task folder of a path or of a built-in task's name.

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
        raise TaskError(f"{name} is a file, not a task folder", f"Name the folder{meant}")
    typed = name.rstrip("/").rpartition("/")[2]
    begun = [known for known in builtin if typed and known.startswith(typed)]
    close = begun or difflib.get_close_matches(typed, builtin, 1)
    raise TaskError(
        f"there is no task '{name}': neither a folder nor one of {', '.join(builtin) or 'the built-in tasks'}",
        f"Did you mean '{close[0]}'? 'evolve tasks' lists the built-in tasks"
        if close
        else "'evolve tasks' lists the built-in tasks, 'evolve new NAME' starts one of your own",
    )


def load_task(
    folder: Path,
    python: str = "",
    metric: str = "",
    container: Container | None = None,
    instance: str = "",
    kind: str = "",
) -> Task:
    """Read a task folder, ours or one of another system.

    A folder of another system becomes a task of ours in the workspace; it stays as it is.

    Args:
        folder: the folder.
        python: the interpreter for a task of another system, by default the engine's own.
        metric: the key of its score, by default that of its format.
        container: that its evaluator may be run in containers; without it none is started.
        instance: the instance to search, by its name in task.toml; by default the one in `[settings]`.
        kind: `construct` or `improve`; by default as task.toml says.

    Raises:
        TaskError: a part is missing or wrong; the message names the file and the key.
    """
    return choose(_load(folder, python, metric, container), instance, kind)


def _load(folder: Path, python: str, metric: str, container: Container | None) -> Task:
    """Return a task as its folder has it."""
    path = folder / "task.toml"
    # A task of Harbor has a task.toml, too.
    if not path.is_file() or ((folder / "instruction.md").is_file() and not (folder / "brief.md").is_file()):
        foreign = None if (folder / "run.db").is_file() else _convert(folder, python, metric, container)
        if foreign is not None:
            return foreign
        if not path.is_file():
            raise _no_task(folder)
    if python or metric or container is not None:
        raise TaskError(
            f"{path} names interpreter, metric and evaluator of this task: --python, --metric and --container are for "
            "folders without it",
            "Write `python`, `metric` and `evaluator` there",
        )
    spec = convert_table(read_toml(path, TaskError), TaskSpec, str(path), TaskError)
    if records := read_records(folder):
        spec = msgspec.structs.replace(spec, records=records)
    _check_tables(spec, path)
    brief = _read(folder / "brief.md", "the problem statement that the Researcher reads")
    if not brief.strip():
        raise TaskError(f"{folder / 'brief.md'} is empty", "Say in it what a program must do and how it is scored")
    _check_evaluator(folder / "evaluate.py")
    task = Task(folder=folder, spec=spec, brief=brief, seeds=_read_seeds(folder, spec))
    return choose(task, kind=spec.kind)


def write_converted(
    folder: Path, target: Path, python: str, metric: str, container: Container | None = None
) -> tuple[str, ...]:
    """Write a folder of another system out as a task of ours, to be edited; return what was taken and what not.

    Args:
        folder: that folder.
        target: the folder to make.
        python: as for `load_task`.
        metric: as for `load_task`.
        container: as for `load_task`.

    Raises:
        TaskError: the folder is of no system that is known, a part of it is wrong, or `target` cannot be made.
    """
    from engine.task.formats.recognise import read_foreign
    from engine.task.formats.write import Options, hidden_files, write_foreign

    foreign = read_foreign(folder, container)
    if foreign is None:
        raise TaskError(
            f"{folder} is a task of no system that is known here",
            "Known are OpenEvolve, SkyDiscover, ShinkaEvolve and ASI-Evolve: docs/formats.md says by which files",
        )
    foreign.ignored += hidden_files(folder)
    try:
        write_foreign(foreign, Options(python, metric), target)
    except OSError as exc:
        raise TaskError(f"{exc.filename or target} cannot be written: {exc.strerror}") from None
    return foreign.notes()


def _convert(folder: Path, python: str, metric: str, container: Container | None) -> Task | None:
    """Return the task of a folder of another system; None if it is of none that is known."""
    # Lazy: few tasks are of another system.
    from engine.task.formats.needs import missing_needs
    from engine.task.formats.recognise import read_foreign
    from engine.task.formats.write import Options, converted_folder, hidden_files

    foreign = read_foreign(folder, container)
    if foreign is None:
        return None
    missing = missing_needs(foreign, python)
    if missing:
        raise TaskError(
            f"{folder} needs what is missing: {'; '.join(missing)}",
            "Install it, or name an interpreter that has it with --python",
        )
    foreign.ignored += hidden_files(folder)
    loaded = load_task(converted_folder(foreign, Options(python, metric)))
    return dataclasses.replace(loaded, notes=foreign.notes(), origin=folder)


def _no_task(folder: Path) -> TaskError:
    """Return the error for a folder without task.toml: what it is instead, and what to do."""
    typed = shlex.quote(str(folder))
    if (folder / "run.db").is_file():
        return TaskError(
            f"{folder} is a run, not a task folder",
            f"'evolve resume {typed}' goes on with it, 'evolve fork {typed}' starts another from it",
        )
    lacking = [name for name in ("brief.md", "evaluate.py", "seed.py") if not (folder / name).is_file()]
    if "seed.py" in lacking and any(folder.glob("seeds/*.py")):
        lacking.remove("seed.py")
    more = f"; {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing too" if lacking else ""
    inside = sorted(path.parent.name for path in folder.glob("*/task.toml"))[:5]
    return TaskError(
        f"{folder} is not a task folder: it has no task.toml{more}",
        f"It holds task folders: {', '.join(inside)}"
        if inside
        else "'evolve new NAME' writes a working example to start from",
    )


def _check_tables(spec: TaskSpec, path: Path) -> None:
    _check_limits(msgspec.to_builtins(spec.limits), f"{path}: limits")
    for index, stage in enumerate(spec.stages):
        _check_limits(stage.limits, f"{path}: stages[{index}].limits")
    if spec.probe is not None:
        _check_limits(spec.probe.limits, f"{path}: probe.limits")
    check_settings(spec.run, f"{path}: run", TaskError)
    if spec.build is not None:
        _check_limits(spec.build.limits, f"{path}: build.limits")
        for file in spec.build.files:
            if not (path.parent / file).is_file():
                raise TaskError(f"{path}: build.files names '{file}', which is no file in the task folder")


def _check_limits(table: dict[str, Any], where: str) -> None:
    limits = convert_table(table, Limits, where, TaskError)
    try:
        check_bounds(limits.memory_mb, limits.processes)
    except ValueError as exc:
        raise TaskError(f"{where}: {exc}") from None


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TaskError(f"{path} is missing: {what}") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise TaskError(f"{path} cannot be read: {exc}") from None


def _read_seeds(folder: Path, spec: TaskSpec) -> tuple[Seed, ...]:
    language = spec.language
    if spec.program.files:
        return (_read_folder(folder, spec),)
    paths = sorted((folder / "seeds").glob(f"*{language.suffix}")) or [folder / language.file("seed")]
    seeds = []
    for path in paths:
        code = _read(path, f"the program to start from (or several as seeds/*{language.suffix})")
        if language.is_python:
            _parse(path, code)
        try:
            check_program(code, spec)
        except ProgramError as exc:
            raise TaskError(f"{path}: {exc.check}: {exc.reason}") from None
        seeds.append(Seed(path.stem, code))
    return tuple(seeds)


def _read_folder(folder: Path, spec: TaskSpec) -> Seed:
    """Return the seed of a task whose programs are folders."""
    place = folder / "seed"
    known = {path.relative_to(place).as_posix(): path for path in task_files(folder) if path.is_relative_to(place)}
    own = seed_paths(known, spec)
    if not own:
        raise TaskError(
            f"{place} holds no file of the program: it is made of {', '.join(spec.program.files)}",
            "Put the program to start from there, or correct `files` of [program] in task.toml",
        )
    if spec.program.editable and not any(matches(path, one) for path in own for one in spec.program.editable):
        raise TaskError(
            f"{place} holds no file that may change: `editable` is {', '.join(spec.program.editable)}",
            "Correct `editable` of [program] in task.toml",
        )
    code = join_files({path: _read(known[path], "a file of the program") for path in own}, spec.language)
    try:
        check_program(code, spec)
    except ProgramError as exc:
        raise TaskError(f"{place}: {exc.check}: {exc.reason}") from None
    return Seed("seed", code)


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
    # An evaluator may import its `evaluate`: then only running it can tell.
    if not any(isinstance(item, ast.ImportFrom | ast.Assign) for item in tree.body):
        raise TaskError(f"{path} defines no function evaluate(program_path)")


def _parse(path: Path, code: str) -> ast.Module:
    try:
        return ast.parse(code, filename=str(path))
    except (RecursionError, MemoryError):
        raise TaskError(f"{path} is nested too deeply to be read as Python") from None
    except (SyntaxError, ValueError) as exc:
        line = getattr(exc, "lineno", None)
        raise TaskError(f"{path}{f':{line}' if line else ''} is not valid Python: {exc}") from None
