"""The priors as an engine sees them: brought up to date before each look, what changed since the last one told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from cognition.collection import Collection
from cognition.entry import Entry, slug
from cognition.files import PriorFolder
from cognition.prior import Prior, PriorError, parse_prior, with_front
from cognition.store import BaseError
from cognition.sync import Problem, Sync
from engine.journal.events import PriorAccepted, PriorChanged, PriorProposed, PriorRejected
from engine.priors.place import PriorPlace, open_collection, proposal_names

__all__ = ["Look", "PriorWatch", "Proposal"]

_BUSY_SECONDS = 1.0
"""The base is locked for milliseconds; who holds it longer does not hold up the search."""


class Proposal(NamedTuple):
    """A prior that the run's analyzer proposed and nobody has decided on, as far as the journal tells."""

    data: PriorProposed
    text: str


class Look(NamedTuple):
    """What a look at the priors found."""

    priors: list[Prior]
    """The enabled ones, by id."""
    changes: list[PriorChanged]
    """What happened to any since the last look."""
    problems: list[str]
    """What is wrong with files or with the base, a sentence each."""
    decided: list[PriorAccepted | PriorRejected]
    """What people, or the task's settings, decided on proposals."""
    incomplete: bool = False
    """Whether the base or the folder could not be read, so that another look may find more without any change."""


class PriorWatch:
    """Keeps files and base the same and reads the priors; while the base cannot be used, from the files alone.

    Its methods may be called from any thread.

    Args:
        place: where the priors are.
        run: the run's name, for its proposals.
        recorded: revisions of priors by id, as the journal tells them at the start; empty for one that was taken away.
    """

    def __init__(self, place: PriorPlace, run: str, recorded: Mapping[str, str] | None = None) -> None:
        self._place = place
        self._run = run
        self._files = PriorFolder(place.folder)
        self._collection: Collection | None = None
        self._sync: Sync | None = None
        self._recorded = dict(recorded or {})
        self._known: dict[str, Prior] | None = None
        self._told: list[Prior] | None = None
        self._seen: set[str] = set()
        """Ids that were enabled at any look."""
        self._lock = threading.Lock()

    def read(self, proposals: Sequence[Proposal] = (), accept: bool = False) -> Look:
        """The priors as they are now, and what happened since the last call; at first, since what is recorded.

        Args:
            proposals: what the run proposed; it is kept in the base until somebody decides.
            accept: take proposals in without asking.
        """
        with self._lock:
            try:
                priors, problems, decided = self._from_base(proposals, accept)
                incomplete = any(not problem.name for problem in problems)
                lines = [f"{problem.name}: {problem.text}" if problem.name else problem.text for problem in problems]
            except BaseError as exc:
                self._close()
                priors, decided, incomplete = self._files.read(), [], True
                lines = [f"{exc.message}; priors are read from their files alone meanwhile. {exc.hint}".strip()]
                lines += [f"{path.name}: {why}" for path, why in self._files.problems]
            return Look(priors, self._changes(priors), lines, decided, incomplete)

    @property
    def paths(self) -> set[Path]:
        """What changes if the priors do."""
        return self._place.paths

    def close(self) -> None:
        """Close the base."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._collection is not None:
            self._collection.store.close()
        self._collection = self._sync = None

    def _from_base(
        self, proposals: Sequence[Proposal], accept: bool
    ) -> tuple[list[Prior], list[Problem], list[PriorAccepted | PriorRejected]]:
        if self._sync is None or self._collection is None:
            if not proposals and not self._place.folder.exists():
                return [], [], []  # nothing to keep in a base yet
            self._collection = open_collection(self._place, _BUSY_SECONDS)
            self._sync = Sync(self._collection, _BUSY_SECONDS)
        decided = [found for proposal in proposals if (found := self._decide(self._collection, proposal, accept))]
        report = self._sync.run()
        return self._collection.priors(), report.problems, decided

    def _decide(self, collection: Collection, proposal: Proposal, accept: bool) -> PriorAccepted | PriorRejected | None:
        """Keep a proposal, unless it is kept; what was decided on it, if anything was."""
        data = proposal.data
        try:
            prior = parse_prior(data.id, proposal.text)
            titled = prior.title == data.title or not data.title
            text = prior.text if titled else with_front(prior.text, "title", " ".join(data.title.split()))
            name, other = proposal_names(data)
            entry = collection.proposal(name, self._run)
            if entry is not None and collection.revision(entry.id, 1).text != text:
                # An earlier run of the same name, deleted since or kept elsewhere, proposed that one.
                name = other
                entry = collection.proposal(name, self._run)
            if entry is None:
                wanted = slug(data.title or data.id)
                entry = collection.propose(wanted, text, run=self._run, nodes=data.evidence, name=name)
        except PriorError as exc:
            return PriorRejected(data.id, f"it can be no prior: {exc}")
        if entry.status == "pending" and accept:
            entry = collection.accept(entry.id)
        if entry.status == "pending":
            return None
        return PriorAccepted(data.id) if entry.status == "active" else PriorRejected(data.id, entry.reason)

    def _changes(self, priors: list[Prior]) -> list[PriorChanged]:
        if priors is self._told:
            return []  # a collection gives the same list until something changes
        self._told = priors
        before = self._known
        now = self._known = {prior.id: prior for prior in priors}
        if before is None:
            return list(self._changes_since_recorded(now))
        self._seen |= before.keys()
        changes = []
        for prior in priors:
            old = before.get(prior.id)
            if old is None:
                known = prior.id in self._seen or prior.number > 1
                changes.append(self._change(prior, "enabled" if known else "added"))
            elif old.revision != prior.revision:
                changes.append(self._change(prior, "edited"))
        for old in before.values():
            if old.id not in now:
                entry = self._entry(old.id)
                removed = entry is not None and entry.status == "removed"
                changes.append(self._change(entry.prior if entry else old, "removed" if removed else "disabled"))
        return changes

    def _changes_since_recorded(self, now: Mapping[str, Prior]) -> Iterator[PriorChanged]:
        """What happened while no engine looked, as far as the journal knows what was before."""
        for prior_id, revision in self._recorded.items():
            prior = now.get(prior_id)
            if prior is None:
                entry = self._entry(prior_id) if revision else None
                if entry is not None:
                    yield self._change(entry.prior, "removed" if entry.status == "removed" else "disabled")
            elif prior.revision != revision:
                yield self._change(prior, "edited" if revision else "enabled")

    def _change(
        self, prior: Prior, change: Literal["added", "edited", "enabled", "disabled", "removed"]
    ) -> PriorChanged:
        entry = self._entry(prior.id)
        gone = entry is not None and entry.gone
        return PriorChanged(
            prior.id, prior.revision, change, prior.title, number=prior.number,
            author="" if entry is None else "file" if gone else entry.author,
            message="its file vanished" if gone else entry.message if entry is not None else "",
        )  # fmt: skip

    def _entry(self, prior_id: str) -> Entry | None:
        """What the base knows of a prior; None while it is not at hand."""
        try:
            return None if self._collection is None else self._collection.find(prior_id)
        except BaseError:
            return None
