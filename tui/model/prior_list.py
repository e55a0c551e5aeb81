"""The priors of a collection as rows: state, use and gain, order, filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from cognition.entry import Entry

__all__ = ["NO_USE", "ORDERS", "Order", "PriorRow", "Use", "arranged", "parse_filter", "state_of"]

Order = Literal["title", "gain", "uses", "weight", "last"]
ORDERS: tuple[Order, ...] = ("title", "gain", "uses", "weight", "last")
"""Orders of the list, in the sequence in which the key cycles through them."""

_STATES = ("on", "off", "gone", "pending", "rejected", "removed", "broken")
_PUT_AWAY = ("rejected", "removed")


class Use(NamedTuple):
    """The use and gain of a prior over the workspace's runs."""

    shown: int = 0
    """Number of designs that saw it."""
    given: int = 0
    """Number of nodes whose design used it."""
    gain: float | None = None
    """Their mean gain over the parent."""
    share: float | None = None
    """Its share of the steps to the best nodes."""
    last: int = 0
    """When it was last shown, in milliseconds since 1970; 0 for never."""
    number: int = 0
    """The revision shown then."""


NO_USE = Use()


class PriorRow(NamedTuple):
    """One prior."""

    entry: Entry
    use: Use = NO_USE
    problem: str = ""
    """What is wrong with its text or its file until somebody mends it."""

    @property
    def state(self) -> str:
        """Its state, as `state_of` names it."""
        return state_of(self.entry)


Filter = Callable[[PriorRow], bool]


def state_of(entry: Entry) -> str:
    """Return `on`, `off`, `gone` (its file vanished), `pending`, `rejected` or `removed`."""
    if entry.status != "active":
        return entry.status
    return "gone" if entry.gone else "on" if entry.prior.enabled else "off"


def arranged(rows: Iterable[PriorRow], order: Order, passes: Filter | None = None) -> list[PriorRow]:
    """Return the rows that pass: proposals first, since they wait for an answer, removed and rejected ones last.

    Without a filter leave out removed and rejected ones.
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
    """Parse a filter: words that must occur in id, title, tags or source; `is:STATE` or `is:broken`; `tag:WORD`.

    Raises:
        ValueError: the text names an unknown state.
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
        if not (row.state in states or (row.problem and "broken" in states)) if states else row.state in _PUT_AWAY:
            return False
        return all(any(tag in mine for mine in own) for tag in tags) and all(word in searched for word in words)

    return passes
