"""Check a program against what its task requires, before any experiment."""

from __future__ import annotations

from engine.programs.folders import check_editable, check_files
from engine.programs.outline import Outline, ProgramError
from engine.task.spec import TaskSpec

__all__ = ["check_program"]


def check_program(code: str, spec: TaskSpec, before: str = "") -> Outline:
    """Check a program before any experiment.

    Args:
        code: the program.
        spec: the task.
        before: a program with the files that may not change, if the program was not there from the start.

    Raises:
        ProgramError: the program is too long, is not valid, lacks a required part or uses a forbidden one.
    """
    size = len(code.encode("utf-8", "surrogatepass"))
    if size > spec.max_program_bytes:
        raise ProgramError("size", f"{size} bytes, allowed are {spec.max_program_bytes}")
    try:
        code.encode()
    except UnicodeEncodeError as exc:
        raise ProgramError("syntax", f"it is not valid UTF-8 text: {exc.reason}") from None
    if spec.program.files:
        check_files(code, spec.program.files)
        if spec.program.editable and before:
            check_editable(before, code, spec.program.editable)
    shape = spec.language.outline(code)
    for what, required, present in (
        ("function", spec.interface.functions, shape.functions),
        ("class", spec.interface.classes, shape.classes),
    ):
        missing = [name for name in required if name not in present]
        if missing:
            raise ProgramError("interface", f"the {what} {', '.join(missing)} is missing at the top level")
    allowed = spec.interface.imports
    if allowed is not None:
        strange = sorted(name for name in shape.imports if not any(_is_within(name, module) for module in allowed))
        if strange:
            raise ProgramError("static", f"it imports {', '.join(strange)}; allowed are {', '.join(allowed) or 'none'}")
    forbidden = sorted(shape.names.intersection(spec.interface.forbidden))
    if forbidden:
        raise ProgramError("static", f"it uses {', '.join(forbidden)}, which the task forbids")
    return shape


def _is_within(name: str, module: str) -> bool:
    return name == module or name.startswith((f"{module}.", f"{module}::", f"{module}/"))
