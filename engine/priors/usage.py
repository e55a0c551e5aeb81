"""Count by folding journals what each prior was worth: designs that were shown it, nodes it went into, their gain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from cognition.collection import Collection
from engine.errors import EvolveError
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.priors.place import place_of_run
from engine.state.fold import apply, damage_named, first_state
from engine.state.lineage import best_path
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["Idea", "PriorUse", "RunUse", "credited", "fold_use", "idea_of", "use_over_runs"]

Idea = Literal["prior", "experience", "novel", "person"]
"""The source of a node's idea, as the paper reports it: a prior of the cognition base; other nodes of the run, edited
or combined; neither; or a person, who wrote the seed or injected the program."""

_FROM_NODES = {"warm", "tune", "exchange", "drop", "diff", "crossover", "fix"}
"""Operators that start from earlier nodes; `warm` takes those of another run."""


class PriorUse(msgspec.Struct):
    """The use of one prior in one run, or in several."""

    shown: int = 0
    """Designs that were shown it."""
    given: int = 0
    """Nodes whose programs it went into."""
    scored: int = 0
    """Those of them that have a score and a parent with a score."""
    gains: int = 0
    """Those of them that gained over their parent by more than noise."""
    gained: float = 0.0
    """Sum of their gains over the parent, in the task's score; positive is better whatever the direction."""
    best: int = 0
    """Those of them on the path to a run's best."""
    path: int = 0
    """All nodes on the paths to the best of the runs, without seeds."""
    last: int = 0
    """The time a design was last shown it, in milliseconds since 1970."""
    number: int = 0
    """The revision shown at that time."""

    @property
    def gain(self) -> float | None:
        """Return the mean gain over the parent of the nodes it went into; None if none has a score."""
        return self.gained / self.scored if self.scored else None

    @property
    def share(self) -> float | None:
        """Return its share in the lineage of the best; None if there is no best yet."""
        return self.best / self.path if self.path else None

    def add(self, other: PriorUse) -> None:
        """Add its use in another run."""
        if other.last > self.last:
            self.last, self.number = other.last, other.number
        for name in ("shown", "given", "scored", "gains", "gained", "best", "path"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class RunUse:
    """The use of all priors in one run."""

    state: RunState
    priors: dict[str, PriorUse] = field(default_factory=dict)
    ideas: dict[int, Idea] = field(default_factory=dict)
    """The source of each node's idea, without the nodes before a fork."""


def fold_use(reader: JournalReader) -> RunUse:
    """Fold a journal into the use of its priors since the run began, or since it was forked from another run.

    Raises:
        JournalError: the journal is damaged or holds no run.
    """
    state = first_state(reader)
    shown: dict[int, list[ev.PriorShown]] = {}
    uses: dict[str, PriorUse] = {}
    first = 0
    with damage_named(reader.path):
        for event in reader.events(after=state.seq):
            apply(state, event)
            if isinstance(event.data, ev.RunForked):
                uses, first = {}, len(state.nodes)
            elif isinstance(event.data, ev.LearnDone) and event.round is not None:
                shown[event.round] = event.data.priors
                for prior in event.data.priors:
                    use = uses.setdefault(prior.id, PriorUse())
                    use.shown += 1
                    use.last, use.number = event.at, prior.number
    result = RunUse(state, uses)
    path = {node for node in best_path(state) if node >= first and state.nodes[node].round}
    for node in state.nodes[first:]:
        _count(result, node, shown.get(node.round, []), node.id in path)
    for use in uses.values():
        use.path = len(path)
    return result


def _count(result: RunUse, node: Node, shown: list[ev.PriorShown], on_path: bool) -> None:
    state = result.state
    ids = credited(node, shown)
    result.ideas[node.id] = idea_of(node, ids)
    parent = state.nodes[node.parents[0]] if node.parents else None
    sign = 1 if state.spec.direction == "maximize" else -1
    for prior_id in ids:
        use = result.priors.setdefault(prior_id, PriorUse())
        use.given += 1
        use.best += on_path
        if node.score is not None and parent is not None and parent.score is not None:
            use.scored += 1
            use.gains += state.gained(node.id, parent.id)
            use.gained += sign * (node.score - parent.score)


def credited(node: Node, shown: Iterable[ev.PriorShown]) -> tuple[str, ...]:
    """Return the ids of the priors that went into a node: those its designer names, else those its text names.

    A model does not say which priors it used: a shown one counts if the node's name or motivation has its title or id.
    """
    if node.priors or not node.round:
        return tuple(dict.fromkeys(node.priors))
    words = f" {' '.join(f'{node.name} {node.motivation}'.lower().split())} "
    return tuple(prior.id for prior in shown if prior.title.lower() in words or prior.id.lower() in words)


def idea_of(node: Node, ids: Iterable[str]) -> Idea:
    """Return the source of a node's idea.

    Args:
        node: the node.
        ids: the priors that went into it, from `credited`.
    """
    if node.operator in ("seed", "injected"):
        return "person"
    if tuple(ids):
        return "prior"
    return "experience" if len(node.parents) > 1 or node.operator in _FROM_NODES else "novel"


def use_over_runs(collection: Collection, folders: Iterable[Path]) -> dict[str, PriorUse]:
    """Return the use and gain of a collection's priors over the runs in some folders, by id; former ids count, too.

    A run is folded when its journal has grown since the last time; the figures between are kept in the base. A run that
    cannot be read is left out.

    Raises:
        BaseError: the base cannot be read or written.
    """
    with collection.store.reading() as db:
        rows = db.execute("SELECT run, seq, figures FROM usage WHERE collection = ?", (collection.id,)).fetchall()
    kept = {run: (seq, figures) for run, seq, figures in rows}
    new: list[tuple[str, str, int, str]] = []
    total: dict[str, PriorUse] = {}
    for folder in folders:
        key = str(folder)
        try:
            seq, raw = _figures(collection, folder, kept.get(key))
        except EvolveError:
            continue
        if (seq, raw) != kept.get(key):
            new.append((collection.id, key, seq, raw))
        for prior_id, use in msgspec.json.decode(raw, type=dict[str, PriorUse]).items():
            total.setdefault(prior_id, PriorUse()).add(use)
    if new:
        # Plain SQL: the screens count too, and sqlite-utils takes 0.2 s and 15 MB to load.
        with collection.store.writing() as db:
            db.executemany("INSERT OR REPLACE INTO usage (collection, run, seq, figures) VALUES (?, ?, ?, ?)", new)
    for entry in collection.entries():
        for former in entry.former:
            if former in total:
                total.setdefault(entry.id, PriorUse()).add(total[former])
    return total


def _figures(collection: Collection, folder: Path, kept: tuple[int, str] | None) -> tuple[int, str]:
    """Return a journal's last event and, as JSON, the use of the collection's priors in the run."""
    with JournalReader(folder / "run.db") as reader:
        seq = reader.last_seq()
        if kept is not None and kept[0] == seq:
            return kept
        first = next(reader.events(upto=1), None)
        started = first.data if first is not None else None
        if not isinstance(started, ev.RunStarted) or started.task != collection.name:
            return seq, "{}"
        found = fold_use(reader)
        place = place_of_run(folder, found.state)
        own = (place.base, place.collection) == (collection.store.path, collection.id)
        return seq, msgspec.json.encode(found.priors if own else {}).decode()
