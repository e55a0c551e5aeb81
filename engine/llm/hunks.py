"""Read SEARCH/REPLACE hunks from an answer and apply them to a program, all or none."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.llm.blocks import AnswerError
from engine.text import visible

__all__ = ["Hunk", "apply_hunks", "has_hunks", "read_hunks"]

_OPENING = re.compile(r"<{5,9}[ \t]*SEARCH:?[ \t]*", re.IGNORECASE)
_DIVIDER = re.compile(r"={5,9}[ \t]*")
_CLOSING = re.compile(r">{5,9}[ \t]*REPLACE:?[ \t]*", re.IGNORECASE)
_FENCE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*[\w+-]*[ \t]*")
_SHOWN_LINES = 6
_SHOWN_WIDTH = 100
_MOST_HUNKS = 200
_MOST_COMPARED = 1000
"""Most lines of a program to search for the place that a SEARCH may have meant."""


@dataclass(frozen=True)
class Hunk:
    """One edit: whole lines to search for, and the lines that replace them."""

    search: tuple[str, ...]
    replace: tuple[str, ...]


@dataclass(frozen=True)
class _Edit:
    start: int
    """First line of the program to replace, from 0."""
    end: int
    """The line after the last one to replace."""
    lines: tuple[str, ...]
    number: int
    """Number of the hunk in the answer, from 1."""


def has_hunks(text: str) -> bool:
    """Return whether any line of an answer opens a hunk."""
    return any(_OPENING.fullmatch(line.strip()) for line in text.split("\n"))


def read_hunks(text: str) -> list[list[Hunk]]:
    """Return the hunks of an answer in order, each as a list of ways to read it.

    There is more than one way if the SEARCH or REPLACE part contains a line that looks like the divider.

    Raises:
        AnswerError: there is no hunk, or one is incomplete.
    """
    lines = text.split("\n")
    hunks: list[list[Hunk]] = []
    at = 0
    while at < len(lines):
        if not _OPENING.fullmatch(lines[at].strip()):
            if _CLOSING.fullmatch(lines[at].strip()):
                # Text before it would be lost.
                raise AnswerError("a line '>>>>>>> REPLACE' ends no block; let no program line look like a marker")
            at += 1
            continue
        end = _find_closing(lines, at + 1, len(hunks) + 1)
        hunks.append(_read_hunk(lines[at + 1 : end], len(hunks) + 1))
        at = end + 1
        if len(hunks) > _MOST_HUNKS:
            raise AnswerError(f"the answer holds more than {_MOST_HUNKS} hunks; make fewer, larger ones")
    if not hunks:
        raise AnswerError(
            "the answer holds no SEARCH/REPLACE block; write at least one, its three marker lines exactly as asked"
        )
    return hunks


def _find_closing(lines: list[str], start: int, number: int) -> int:
    for at in range(start, len(lines)):
        if _CLOSING.fullmatch(lines[at].strip()):
            return at
        if _OPENING.fullmatch(lines[at].strip()):
            break
    raise AnswerError(f"block {number} has no line '>>>>>>> REPLACE'; end every block with one")


def _read_hunk(lines: list[str], number: int) -> list[Hunk]:
    dividers = [index for index, line in enumerate(lines) if _DIVIDER.fullmatch(line.strip())]
    if not dividers:
        raise AnswerError(f"block {number} has no line '=======' between what is searched for and what replaces it")
    return [Hunk(_unfenced(lines[:index]), _unfenced(lines[index + 1 :])) for index in dividers]


def _unfenced(lines: list[str]) -> tuple[str, ...]:
    """Return lines without a code fence around them."""
    if len(lines) >= 2 and _FENCE.fullmatch(lines[0]) and _FENCE.fullmatch(lines[-1]):
        return tuple(lines[1:-1])
    return tuple(lines)


def apply_hunks(hunks: list[list[Hunk]], program: str) -> str:
    """Apply all edits, each searched for in the program as it was shown.

    A SEARCH must match exactly one place: line by line, else with different blanks (trailing blanks, another
    indentation of the whole, which REPLACE then follows, blank lines at its ends).

    Raises:
        AnswerError: a hunk matches nowhere or at several places, two overlap, or nothing changes.
    """
    lines = program.split("\n")
    edits = sorted((_place(ways, lines, number) for number, ways in enumerate(hunks, 1)), key=lambda edit: edit.start)
    for one, other in itertools.pairwise(edits):
        if other.start < one.end:
            first, second = sorted((one.number, other.number))
            raise AnswerError(
                f"blocks {first} and {second} change the same lines; make one block of them. "
                "Every SEARCH is looked for in the program as it was shown, not as earlier blocks leave it"
            )
    for edit in reversed(edits):
        lines[edit.start : edit.end] = edit.lines
    changed = "\n".join(lines)
    if changed == program:
        raise AnswerError(
            "the blocks change nothing: SEARCH and REPLACE are the same; change what the program computes"
        )
    return changed


def _place(ways: list[Hunk], lines: list[str], number: int) -> _Edit:
    """Return the only edit that a hunk can mean."""
    found: list[_Edit] = []
    problem: AnswerError | None = None
    for hunk in ways:
        try:
            found.append(_locate(hunk, lines, number))
        except AnswerError as exc:
            problem = problem or exc
    if len(found) > 1:
        raise AnswerError(f"block {number} can be read in several ways: choose lines without '=======' for it")
    if not found:
        assert problem is not None
        raise problem
    return found[0]


def _locate(hunk: Hunk, lines: list[str], number: int) -> _Edit:
    if not any(line.strip() for line in hunk.search):
        if not any(line.strip() for line in lines):
            return _Edit(0, len(lines), hunk.replace, number)
        raise AnswerError(
            f"the SEARCH part of block {number} is empty; to insert lines, search for the line beside them "
            "and repeat it in REPLACE"
        )
    exact = list(_matches(hunk.search, lines))
    if len(exact) == 1:
        return _Edit(exact[0], exact[0] + len(hunk.search), hunk.replace, number)
    if len(exact) > 1:
        raise _ambiguous(exact, number)
    before, behind = _blank_ends(hunk.search)
    search = hunk.search[before : len(hunk.search) - behind]
    loose = list(_matches([_loose(line) for line in search], [_loose(line) for line in lines]))
    if len(loose) > 1:
        raise _ambiguous(loose, number)
    if not loose:
        raise _nowhere(search, lines, number)
    start, end = loose[0], loose[0] + len(search)
    # If SEARCH has too many blank lines at its ends, so has REPLACE.
    ends = _blank_ends(hunk.replace)
    replace = hunk.replace[min(before, ends[0]) : len(hunk.replace) - min(behind, ends[1])]
    return _Edit(start, end, _follow(search, lines[start:end], replace, number), number)


def _blank_ends(lines: tuple[str, ...]) -> tuple[int, int]:
    """Count the blank lines at the beginning and at the end."""
    filled = [index for index, line in enumerate(lines) if line.strip()]
    return (filled[0], len(lines) - 1 - filled[-1]) if filled else (len(lines), 0)


def _matches(search: tuple[str, ...] | list[str], lines: list[str]) -> Iterator[int]:
    wanted, count = list(search), len(search)
    return (at for at in range(len(lines) - count + 1) if lines[at] == wanted[0] and lines[at : at + count] == wanted)


def _loose(line: str) -> str:
    """Return a line as a prompt shows it, with blanks ignored."""
    return " ".join(visible(line.replace("\r", "")).split())


def _follow(search: tuple[str, ...], there: list[str], replace: tuple[str, ...], number: int) -> tuple[str, ...]:
    """Return REPLACE indented by the difference between SEARCH and the program's lines."""
    moves = {
        (_indent(have), _indent(want))
        for want, have in zip(search, there, strict=True)
        if want.strip() and have.strip()
    }
    if all(have == want for have, want in moves):
        return replace
    added = {have.removesuffix(want) for have, want in moves if have.endswith(want)}
    if len(added) == 1 and all(have.endswith(want) for have, want in moves):
        (prefix,) = added
        return tuple(prefix + line if line.strip() else line for line in replace)
    taken = {want.removesuffix(have) for have, want in moves if want.endswith(have)}
    if len(taken) == 1 and all(want.endswith(have) for have, want in moves):
        (prefix,) = taken
        if all(line.startswith(prefix) or not line.strip() for line in replace):
            return tuple(line.removeprefix(prefix) for line in replace)
    raise AnswerError(
        f"the SEARCH part of block {number} is indented otherwise than the program; copy its lines as they stand"
    )


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _ambiguous(places: list[int], number: int) -> AnswerError:
    told = ", ".join(str(at + 1) for at in places[:5]) + (", …" if len(places) > 5 else "")
    return AnswerError(
        f"the SEARCH part of block {number} stands in the program {len(places)} times (lines {told}); "
        "search for more lines around the place that is meant"
    )


def _nowhere(search: tuple[str, ...], lines: list[str], number: int) -> AnswerError:
    told = f"the SEARCH part of block {number} does not stand in the program:\n{_shown(search)}\n"
    nearest = _nearest(search, lines)
    if nearest is not None:
        told += f"The nearest lines are {nearest + 1} to {nearest + len(search)}:\n"
        told += f"{_shown(lines[nearest : nearest + len(search)])}\n"
    return AnswerError(told + "Copy the lines to be replaced from the program exactly, comments included")


def _nearest(search: tuple[str, ...], lines: list[str]) -> int | None:
    """Return the line at which the program resembles SEARCH most; None if nothing resembles it."""
    if len(lines) > _MOST_COMPARED or not search:
        return None
    wanted = max((_loose(line) for line in search), key=len)[:_SHOWN_WIDTH]
    offset = [_loose(line)[:_SHOWN_WIDTH] for line in search].index(wanted)
    close = difflib.get_close_matches(wanted, [_loose(line)[:_SHOWN_WIDTH] for line in lines], n=1, cutoff=0.6)
    if not close:
        return None
    return max(0, [_loose(line)[:_SHOWN_WIDTH] for line in lines].index(close[0]) - offset)


def _shown(lines: tuple[str, ...] | list[str]) -> str:
    shown = [visible(line[:_SHOWN_WIDTH]) for line in lines[:_SHOWN_LINES]]
    return "\n".join(f"| {line}" for line in [*shown, *(["…"] if len(lines) > _SHOWN_LINES else [])])
