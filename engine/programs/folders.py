"""Programs of several files: one text, in which a line before each file names it.

    // ==== FILE: src/score.rs ====

The line is a comment of the language, so that a text of several files can be read as one program: differences, prompts,
edits, duplicates and recombination need to know nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from engine.programs.errors import ProgramError

if TYPE_CHECKING:
    from engine.programs.languages.base import Language

__all__ = [
    "check_editable",
    "check_files",
    "file_line",
    "file_lines",
    "is_file_line",
    "join_files",
    "matches",
    "split_files",
]

_LINE = re.compile(r"[ \t]*(?:#|//|--|;|%)?[ \t]*==== FILE: (?P<path>[^\n]*?) ====[ \t]*\r?")
_MOST_FILES = 200


def file_line(path: str, language: Language) -> str:
    """Return the line that stands before a file."""
    return f"{language.comment or '#'} ==== FILE: {path} ===="


def is_file_line(line: str) -> bool:
    """Tell whether a line names the file that follows."""
    return _LINE.fullmatch(line) is not None


def file_lines(code: str) -> list[str]:
    """Return the lines of a program that name files."""
    return [line.strip() for line in code.split("\n") if is_file_line(line)] if "==== FILE: " in code else []


def join_files(files: Mapping[str, str], language: Language) -> str:
    """Return several files as one text, sorted by path."""
    parts = [f"{file_line(path, language)}\n{files[path].rstrip()}\n" for path in sorted(files)]
    return "\n".join(parts)


def split_files(code: str) -> dict[str, str]:
    """Return the files of a program, each text by its path, in the order of the text.

    Raises:
        ProgramError: there is text before the first line that names a file, a file is named twice, or its path leads
            out of the program's folder.
    """
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in code.split("\n"):
        mark = _LINE.fullmatch(line)
        if mark is not None:
            if mark["path"] in found:
                raise ProgramError("files", f"the file {mark['path']} stands in it twice")
            _check_path(mark["path"])
            lines = found.setdefault(mark["path"], [])
        elif lines is not None:
            lines.append(line)
        elif line.strip():
            raise ProgramError("files", "it must begin with a comment '==== FILE: PATH ====', one before each file")
    if not found:
        raise ProgramError("files", "it has no line '==== FILE: PATH ====', which stands before each of its files")
    return {path: "\n".join(text).strip("\n") + "\n" for path, text in found.items()}


def _check_path(path: str) -> None:
    # Where programs are taken apart they are written to files next, those of other people's runs, too.
    pure = PurePosixPath(path)
    plain = path == str(pure) and not pure.is_absolute() and ".." not in pure.parts and path.isprintable()
    if not plain or "\\" in path or any(part.startswith(".") for part in pure.parts) or len(path) > 200:
        raise ProgramError("files", f"{path!r} is no plain path within the program's folder")


def check_files(code: str, patterns: Sequence[str]) -> dict[str, str]:
    """Return the files of a program, if each lies where one may.

    Args:
        code: the program.
        patterns: where files may lie, such as `src/**`.

    Raises:
        ProgramError: it is not parted into files, or a file may not be there.
    """
    files = split_files(code)
    if len(files) > _MOST_FILES:
        raise ProgramError("files", f"it has {len(files)} files, at most {_MOST_FILES} are allowed")
    for path in files:
        if not any(matches(path, pattern) for pattern in patterns):
            raise ProgramError("files", f"the file {path} is not one of {', '.join(patterns)}")
    for path in files:
        if any(other.startswith(f"{path}/") for other in files):
            raise ProgramError("files", f"{path} is a file and a folder")
    return files


def check_editable(before: str, code: str, patterns: Sequence[str]) -> None:
    """Check that a program changes, adds and leaves out no files but those that may change.

    Args:
        before: the program that it was made from.
        code: the program.
        patterns: the files that may change, such as `src/**`.

    Raises:
        ProgramError: it touches another file, or one of the two is not parted into files.
    """
    old, new = split_files(before), split_files(code)
    for path in [*old, *(path for path in new if path not in old)]:
        if old.get(path) == new.get(path) or any(matches(path, pattern) for pattern in patterns):
            continue
        what = "leaves out" if path not in new else "adds" if path not in old else "changes"
        raise ProgramError(
            "files", f"it {what} the file {path}; only {', '.join(patterns)} may change, all else stays as it is"
        )


def matches(path: str, pattern: str) -> bool:
    """Tell whether a path fits a pattern, in which `*` stands for part of a name and `**` for any folders or files."""
    parts = [
        ".*" if part == "**" else "[^/]*".join(map(re.escape, part.split("*"))) for part in re.split(r"(\*\*)", pattern)
    ]
    return re.fullmatch("".join(parts), path) is not None
