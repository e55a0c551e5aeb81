"""Programs on the disk: a file, or a folder if the task's programs are folders."""

from __future__ import annotations

from pathlib import Path

from engine.errors import RunError, UsageError
from engine.journal.reader import JournalReader
from engine.programs.errors import ProgramError
from engine.programs.folders import join_files, split_files
from engine.runs.folder import Run
from engine.state.fold import fold_run
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.task.spec import TaskSpec, seed_paths

__all__ = ["read_program", "write_best", "write_program"]


def read_program(path: Path, spec: TaskSpec) -> str:
    """Return the program that a file holds, or a folder if the task's programs are folders.

    Raises:
        UsageError: it is a folder, and should be a file; or the folder holds nothing of a program.
        OSError: it cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    if not path.is_dir():
        return path.read_text(encoding="utf-8")
    if not spec.program.files:
        raise UsageError(f"{path} is a folder, and a program of '{spec.name}' is a file")
    paths = {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}
    own = seed_paths(paths, spec)
    if not own:
        raise UsageError(f"{path} holds no file of a program: it is made of {', '.join(spec.program.files)}")
    return join_files({name: paths[name].read_text(encoding="utf-8") for name in own}, spec.language)


def write_program(path: Path, code: str, spec: TaskSpec) -> None:
    """Write a program to a file; to a folder, if the task's programs are folders.

    Raises:
        RunError: the program has no files that can be written there.
        OSError: it cannot be written.
    """
    if not spec.program.files:
        path.write_bytes(code.encode("utf-8", "surrogatepass"))
        return
    try:
        files = split_files(code)
    except ProgramError as exc:
        raise RunError(f"the program cannot be written to {path}: {exc.reason}") from None
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(text.encode("utf-8", "surrogatepass"))


def write_best(run: Run, out: Path | None) -> tuple[RunState, Node, str]:
    """Return a run's state, best node and that node's program; write the program to `out`, a file or folder, if given.

    Raises:
        RunError: no node has a score, or the file cannot be written.
    """
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
        best = state.best_node
        if best is None:
            raise RunError(f"run '{run.name}' has no node with a score yet")
        code = reader.text(best.program)
    if out is not None:
        try:
            write_program(out, code, state.spec)
        except OSError as exc:
            raise RunError(f"{out} cannot be written: {exc.strerror}") from None
    return state, best, code
