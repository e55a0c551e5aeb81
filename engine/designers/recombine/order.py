"""Put statements of two programs in an order in which everything is defined before it is needed."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from engine.designers.recombine.program import BUILTINS, EditError, Item, Program

__all__ = ["Piece", "ordered"]


@dataclass(frozen=True)
class Piece:
    """One statement of the new program."""

    key: tuple[int, int, int]
    """Where it stands if nothing speaks against it."""
    source: Program
    """The program that it comes from."""
    item: Item | None
    """The statement as analysed; None for an added import, which needs nothing."""
    names: tuple[str, ...]
    """What it defines."""
    statement: cst.SimpleStatementLine | cst.BaseCompoundStatement

    @property
    def is_plain(self) -> bool:
        """Tell whether it runs no code but a definition, so that it may be executed earlier or later."""
        item = self.item
        if item is None:
            return True
        if BUILTINS.intersection(item.names) or any(
            len(self.source.by_name.get(name, ())) > 1 for name in {*item.names, *item.scopes.needs}
        ):
            return False
        if item.kind == "function":
            return not item.scopes.uses and not getattr(item.nodes[0], "decorator_list", ())
        return item.kind == "assign" and not item.scopes.needs


def ordered(pieces: Sequence[Piece], swapped: str) -> list[Piece]:
    """Return the pieces in an order in which each finds what it needs at its definition.

    Statements that run code keep the order that they have in their own program.

    Args:
        pieces: the statements.
        swapped: the function that was replaced.

    Raises:
        EditError: there is no such order.
    """
    before = _constraints(pieces)
    waiting: list[set[int]] = [set() for _ in pieces]
    for index, needs in enumerate(before):
        for need in needs:
            waiting[need].add(index)
    open_needs = [len(needs) for needs in before]
    ready = [(piece.key, index) for index, piece in enumerate(pieces) if not open_needs[index]]
    heapq.heapify(ready)
    result: list[Piece] = []
    while ready:
        _, index = heapq.heappop(ready)
        result.append(pieces[index])
        for other in waiting[index]:
            open_needs[other] -= 1
            if not open_needs[other]:
                heapq.heappush(ready, (pieces[other].key, other))
    if len(result) != len(pieces):
        stuck = sorted({name for piece in pieces if piece not in result for name in piece.names})
        raise EditError(f"{swapped} needs {', '.join(stuck)} in an order that the program cannot have")
    return result


def _constraints(pieces: Sequence[Piece]) -> list[set[int]]:
    """Return, for each piece, the indices of those that must stand before it."""
    where: dict[str, list[int]] = {}
    for index, piece in enumerate(pieces):
        for name in piece.names:
            where.setdefault(name, []).append(index)
    before = [_needed(pieces, where, index) for index in range(len(pieces))]
    last: dict[int, int] = {}
    for index in sorted(range(len(pieces)), key=lambda i: -1 if (item := pieces[i].item) is None else item.index):
        if not pieces[index].is_plain:
            source = id(pieces[index].source)
            if source in last:
                before[index].add(last[source])
            last[source] = index
    return before


def _needed(pieces: Sequence[Piece], where: dict[str, list[int]], index: int) -> set[int]:
    piece = pieces[index]
    if piece.item is None or not piece.item.scopes.needs:
        return set()
    # What may be called when the statement is executed, and all that this reads.
    reached: set[str] = set()
    pending = [name for name in piece.item.scopes.uses if name in where]
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            for other in where[name]:
                item = pieces[other].item
                pending += [read for read in item.reads if read in where] if item is not None else []
    reached |= piece.item.scopes.needs & where.keys()
    own = piece.source.closure(piece.item.reads)
    return {
        other
        for name in reached
        for other in where[name]
        if other != index and (name not in own or _is_earlier(piece, pieces[other], name))
    }


def _is_earlier(piece: Piece, other: Piece, name: str) -> bool:
    """Tell whether a piece's own program has a name before it; where it comes later, the statement did without it."""
    assert piece.item is not None
    place = piece.item.index
    if other.source is piece.source and other.item is not None:
        return other.item.index < place
    return any(there.index < place for there in piece.source.by_name[name])
