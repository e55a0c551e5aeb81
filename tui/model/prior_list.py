"""The priors of a collection as rows: how each stands, what came of it, in which order, and which pass a filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from cognition.entry import Entry

__all__ = ["NO_USE", "ORDERS", "Order", "PriorRow", "Use", "arranged", "parse_filter", "state_of"]

Order = Literal["title", "gain", "uses", "weight", "last"]
ORDERS: tuple[Order, ...] = ("title", "gain", "uses", "weight", "last")
"""What a list can be sorted by, in the order of their turns."""

_STATES = ("on", "off", "gone", "pending", "rejected", "removed")
_PUT_AWAY = ("rejected", "removed")


class Use(NamedTuple):
    """What came of a prior over the workspace's runs."""

    shown: int = 0
    """Designs that were shown it."""
    given: int = 0
    """Nodes into whose programs it went."""
    gain: float | None = None
    """Their mean gain over the parent."""
    share: float | None = None
    """Its share in the best lineages."""
    last: int = 0
    """When it was last shown, in milliseconds since 1970; 0 for never."""
    number: int = 0
    """The revision that was shown then."""


NO_USE = Use()


class PriorRow(NamedTuple):
    """One prior."""

    entry: Entry
    use: Use = NO_USE

    @property
    def state(self) -> str:
        """How it stands."""
        return state_of(self.entry)


Filter = Callable[[PriorRow], bool]


def state_of(entry: Entry) -> str:
    """`on`, `off`, `gone` (its file is), `pending`, `rejected` or `removed`."""
    if entry.status != "active":
        return entry.status
    return "gone" if entry.gone else "on" if entry.prior.enabled else "off"


def arranged(rows: Iterable[PriorRow], order: Order, passes: Filter | None = None) -> list[PriorRow]:
    """The rows that pass, proposals first since somebody waits for an answer, what was put away last.

    Without a filter what was removed or rejected is left out.
    """
    kept = [row for row in rows if (passes(row) if passes is not None else row.state not in _PUT_AWAY)]
    keys: dict[Order, Callable[[PriorRow], tuple[object, ...]]] = {
        "title": lambda row: (),
        "gain": lambda row: (row.use.gain is None, -(row.use.gain or 0.0)),
        "uses": lambda row: (-row.use.shown, -row.use.given),
        "weight": lambda row: (-row.entry.prior.weight,),
        "last": lambda row: (-row.use.last,),
    }
    ranks = {"pending": 0, **dict.fromkeys(_PUT_AWAY, 2)}

    def key(row: PriorRow) -> tuple[object, ...]:
        return (ranks.get(row.state, 1), *keys[order](row), row.entry.prior.title.casefold(), row.entry.id)

    return sorted(kept, key=key)


def parse_filter(text: str) -> Filter:
    """What a row must have: all of the words in id, title, tags or source; `is:STATE`, `tag:WORD`.

    Raises:
        ValueError: there is no such state.
    """
    words, tags, states = [], [], set()
    for part in text.casefold().split():
        name, colon, value = part.partition(":")
        if colon and name == "is":
            if value not in _STATES:
                raise ValueError(f"'{value}' is none of {', '.join(_STATES)}")
            states.add(value)
        elif colon and name == "tag":
            tags.append(value)
        else:
            words.append(part)

    def passes(row: PriorRow) -> bool:
        prior = row.entry.prior
        own = [tag.casefold() for tag in prior.tags]
        searched = " ".join((prior.id, prior.title, prior.source, *prior.tags)).casefold()
        if row.state not in states if states else row.state in _PUT_AWAY:
            return False
        return all(any(tag in mine for mine in own) for tag in tags) and all(word in searched for word in words)

    return passes
