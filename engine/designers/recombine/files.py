"""Put a donor's function into the one file of a Python program of several that defines it."""

from __future__ import annotations

from engine.designers.recombine.graft import graft
from engine.designers.recombine.program import EditError, Program, parse_program
from engine.programs.folders import is_file_line

__all__ = ["graft_into_file"]


def graft_into_file(program: Program, donor: Program, function: str, components: frozenset[str]) -> str:
    """Return the program with the donor's version of a function; see `graft`.

    Of a program of several files only the one that defines the function is edited: what comes with the function stands
    beside it, and what other files name stays. Of such a donor only that file counts.

    Raises:
        EditError: one of them has no such function, or the donor's needs what neither can give.
    """
    parts = _parted(program.code)
    if len(parts) == 1:
        return graft(program, _file_with(donor, function), function, components)
    place = _place(parts, function)
    others = {
        name
        for index, text in enumerate(parts)
        if index != place
        for name in parse_program(text).identifiers
    }  # fmt: skip
    line, _, text = parts[place].partition("\n")
    own = parse_program(text)
    kept = components | (others & own.by_name.keys())
    after = graft(own, _file_with(donor, function), function, kept)
    parts[place] = f"{line}\n{after.strip()}\n" + ("\n" if place + 1 < len(parts) else "")
    return "".join(parts)


def _file_with(donor: Program, function: str) -> Program:
    parts = _parted(donor.code)
    return donor if len(parts) == 1 else parse_program(parts[_place(parts, function)].partition("\n")[2])


def _parted(code: str) -> list[str]:
    """Return the files of a program, each with the line that names it."""
    parts = [""]
    for line in code.splitlines(keepends=True):
        if is_file_line(line.rstrip("\n")) and parts[-1].strip():
            parts.append("")
        parts[-1] += line
    return parts


def _place(parts: list[str], function: str) -> int:
    for index, text in enumerate(parts):
        if function in parse_program(text).functions:
            return index
    raise EditError(f"no file defines {function}")
