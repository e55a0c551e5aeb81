"""The nodes that a node may be compared with, by the words that name them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import UsageError
from tui.model.run_model import RunModel, parent_of

__all__ = ["WORDS", "base_of", "next_base"]

WORDS = ("parent", "best", "seed")


def base_of(model: RunModel, node: int, text: str) -> int | None:
    """Return the node that a text names; None for the parent, as if nothing was chosen.

    Args:
        model: the run.
        node: the node that is compared.
        text: `parent`, `best`, `seed` (the one it descends from) or a number; empty for the parent.

    Raises:
        UsageError: it names no node.
    """
    word = text.strip().casefold().removeprefix("#")
    if word in ("", "parent"):
        return None
    if word in WORDS:
        found = _named(model, node, word)
        if found is None:
            raise UsageError("no node has a score yet" if word == "best" else f"#{node} has no {word}")
        return found
    if not (word.isascii() and word.isdigit()):
        raise UsageError(f"'{text.strip()[:20]}' is neither a number nor one of {', '.join(WORDS)}")
    if model.node(int(word)) is None:
        raise UsageError(f"there is no node {word}")
    return int(word)


def next_base(model: RunModel, node: int, base: int | None, marked: Sequence[int]) -> tuple[str, int | None]:
    """Return the next node to compare with, and what it is: parent, best, seed, then the marked ones.

    Args:
        model: the run.
        node: the node that is compared.
        base: the one that it is compared with now; None for its parent.
        marked: nodes that the user has marked.
    """
    found: list[tuple[str, int | None]] = []
    for word in WORDS:
        other = _named(model, node, word)
        if other is not None and other != node and other not in [id_ for _, id_ in found]:
            found.append((word, other))
    found += [("marked", id_) for id_ in marked if id_ != node and id_ not in [known for _, known in found]]
    if not found:
        return "parent", None
    parent = parent_of(model.state.nodes[node])
    now = parent if base is None else base
    places = [id_ for _, id_ in found]
    word, other = found[(places.index(now) + 1) % len(found)] if now in places else found[0]
    return (word, None) if other == parent else (word, other)


def _named(model: RunModel, node: int, word: str) -> int | None:
    if word == "parent":
        return parent_of(model.state.nodes[node])
    if word == "best":
        return model.state.best
    return model.forest.lineage(node)[-1]
