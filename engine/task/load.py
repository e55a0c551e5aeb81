"""Find a task folder and load it; say what is wrong with it by file and key."""

from __future__ import annotations

import ast
import difflib
import shlex
from pathlib import Path

from engine.errors import TaskError
from engine.programs.outline import ProgramError
from engine.settings.decode import convert_table, read_toml
from engine.settings.model import check_settings
from engine.task.interface import check_program
from engine.task.spec import Limits, Seed, Task, TaskSpec

__all__ = ["BUILTIN_TASKS", "builtin_tasks", "find_task", "load_task"]

BUILTIN_TASKS = Path(__file__).parents[1] / "tasks"


def builtin_tasks() -> list[Path]:
    """Return the folders of the built-in tasks, sorted by name."""
    return sorted(path.parent for path in BUILTIN_TASKS.glob("*/task.toml"))


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
