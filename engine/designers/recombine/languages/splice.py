"""Put a donor's function in the place of the program's, with the helpers and imports that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from engine.designers.recombine.languages.imports import without_idle_imports
from engine.designers.recombine.languages.source import Item, Source, read_source
from engine.designers.recombine.program import EditError
from engine.programs.folders import is_file_line

__all__ = ["graft"]

_BLANKS = re.compile(r"\n{4,}")


def graft(program: Source, donor: Source, function: str, components: frozenset[str], required: Sequence[str]) -> str:
    """Return the program with the donor's version of a function.

    Definitions that it needs and the program lacks come with it, under other names where the program has something
    else of that name that is still used. What nothing reaches any more is removed.

    Args:
        program: the program to edit.
        donor: another program, or a recipe.
        function: the function, of both.
        components: functions that stay as the program has them.
        required: names that the task requires.

    Raises:
        EditError: one of them has no such function, or the donor's needs what neither can give.
    """
    mine, theirs = program.functions.get(function), donor.functions.get(function)
    if mine is None or theirs is None:
        raise EditError(f"there is no function {function} that could be replaced")
    needed = donor.closure([function], stop=components) - {function}
    missing = sorted(name for name in needed & components if name not in program.by_name)
    if missing:
        raise EditError(f"the donor's {function} needs {', '.join(missing)}, which the program does not have")
    kept = _used_without(program, function, required, components)
    renamed: dict[str, str] = {}
    taken: list[Item] = []
    replaced: dict[int, Item | None] = {}
    """The program's items by place: each with the one that comes there, or None."""
    taken_names = {*program.by_name, *needed}
    for item in donor.items:
        names = [name for name in item.names if name in needed and name not in components]
        if not names or item is theirs or item.kind in ("import", "other"):
            continue
        there = [other for name in item.names for other in program.by_name.get(name, [])]
        late = bool(there) and all(_stands_late(program, other, mine) for other in there)
        if there and all(other.text == item.text for other in there):
            if late:
                replaced.update((other.index, None) for other in there)
                taken.append(item)
            continue
        clashes = [name for name in item.names if name in kept or name in components]
        for name in clashes:
            renamed[name] = _fresh(name, taken_names)
            taken_names.add(renamed[name])
        places = [] if clashes else [other.index for other in there if other.index not in replaced]
        for place in places:
            replaced[place] = None
        if places and not late:
            # Where it stands others may rely on it: in its file, and before what uses it.
            replaced[places[0]] = item
        else:
            taken.append(item)
    replaced[mine.index] = theirs
    texts = {place: "" for place, item in replaced.items() if item is None}
    for place in sorted(replaced):
        coming = replaced[place]
        if coming is not None:
            # What is new comes before the first that needs it.
            reached = donor.closure(coming.names, stop=components)
            first = [new for new in taken if reached.intersection(new.names)]
            taken = [new for new in taken if new not in first]
            texts[place] = "\n\n".join(_text(donor, each, renamed) for each in (*first, coming))
    code = _assembled(program, donor, mine, texts)
    code = _without_idle(program, read_source(code, program.language), components, required)
    return without_idle_imports(program, read_source(code, program.language))


def _used_without(program: Source, function: str, required: Sequence[str], components: frozenset[str]) -> set[str]:
    """Return names that are used even if a function is another one."""
    used: set[str] = set()
    pending = [name for name in (*required, *components) if name in program.by_name]
    while pending:
        name = pending.pop()
        if name in used or name == function:
            continue
        used.add(name)
        pending += [read for item in program.by_name[name] for read in item.reads if read in program.by_name]
    return used


def _stands_late(program: Source, item: Item, function: Item) -> bool:
    """Tell whether a definition stands behind a function of its file that may not use it there."""
    grammar = program.language.grammar
    if grammar is None or not grammar.ordered or item.start < function.start:
        return False
    return _file_start(program, item.start) == _file_start(program, function.start)


def _fresh(name: str, taken: Iterable[str]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _text(source: Source, item: Item, renamed: dict[str, str]) -> str:
    """Return an item's text with some names changed, each where it is a name of the top level."""
    text = source.bytes
    end = item.end
    for token in reversed(source.tokens(item)):
        if token.is_name and token.text in renamed:
            new = renamed[token.text].encode()
            text = text[: token.start] + new + text[token.end :]
            end += len(new) - (token.end - token.start)
    return text[item.start : end].decode("utf-8", "surrogatepass").strip("\n")


def _assembled(program: Source, donor: Source, mine: Item, texts: dict[int, str]) -> str:
    """Return the program with other texts in the places of some items, and with the donor's imports."""
    edits = [
        (program.items[place].start, program.items[place].end, text.encode("utf-8", "surrogatepass"))
        for place, text in texts.items()
    ]
    own = {item.text for item in program.items if item.kind == "import"}
    imports = [item for item in donor.items if item.kind == "import" and item.text not in own]
    if imports:
        floor = _file_start(program, mine.start)
        inside = [item for item in program.items if floor <= item.start and item.end <= mine.start]
        before = [item for item in inside if item.kind == "import"]
        package = [item for item in inside[:1] if item.kind == "other" and item.text.startswith("( package")]
        at = (before or package)[-1].end if before or package else floor
        text = "\n".join(_text(donor, item, {}) for item in imports)
        edits.append((at, at, (f"\n{text}" if before or package else f"{text}\n").encode("utf-8", "surrogatepass")))
    code = program.bytes
    for start, end, text_ in sorted(edits, reverse=True):
        code = code[:start] + text_ + code[end:]
    return _BLANKS.sub("\n\n\n", code.decode("utf-8", "surrogatepass"))


def _file_start(program: Source, at: int) -> int:
    """Return where the file begins that a byte lies in: 0 for a program of one file."""
    lines = program.bytes[:at].split(b"\n")
    for number in range(len(lines) - 1, -1, -1):
        if is_file_line(lines[number].decode("utf-8", "replace")):
            return sum(len(line) + 1 for line in lines[: number + 1])
    return 0


def _without_idle(before: Source, after: Source, components: frozenset[str], required: Sequence[str]) -> str:
    """Remove functions and constants that were reached before an edit and are no longer."""
    idle = (before.live(required) & after.by_name.keys()) - after.live(required) - components - set(required)
    gone = [
        item
        for item in after.items
        if item.kind in ("function", "assign") and item.names and all(name in idle for name in item.names)
    ]
    code = after.bytes
    for item in reversed(gone):
        code = code[: item.start] + code[item.end :].lstrip(b"\n" if item.start == 0 else b"")
    return _BLANKS.sub("\n\n\n", code.decode("utf-8", "surrogatepass")) if gone else after.code
