"""Sync the priors of a run and report what changed since the last read."""

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
"""The longest wait for the base: others lock it for milliseconds, and one that does not must not stop the search."""


class Proposal(NamedTuple):
    """A prior that the run's analyzer proposed and that, by the journal, waits for a decision."""

    data: PriorProposed
    text: str


class Look(NamedTuple):
    """The result of reading the priors."""

    priors: list[Prior]
    """The enabled ones, sorted by id."""
    changes: list[PriorChanged]
    """Changes since the last read."""
    problems: list[str]
    """Problems of files or of the base, a sentence each."""
    decided: list[PriorAccepted | PriorRejected]
    """Decisions on proposals, by people or by the setting `retrieval.proposals`."""
    incomplete: bool = False
    """Whether the base or the folder could not be read, so that another look may find more without any change."""


class PriorWatch:
    """Syncs files and base and reads the priors; while the base cannot be used, it reads the files alone.

    Its methods may be called from any thread.

    Args:
        place: the place of the priors.
        run: the run's name, for its proposals.
        recorded: revisions of priors by id according to the journal; an empty revision if a prior was removed.
    """

    def __init__(self, place: PriorPlace, run: str, recorded: Mapping[str, str] | None = None) -> None:
        self._place = place
        self._run = run
        self._files = PriorFolder(place.folder)
        self._collection: Collection | None = None
        self._sync: Sync | None = None
        self._recorded = dict(recorded or {})
        self._known: dict[str, Prior] | None = None
        self._last: list[Prior] | None = None
        self._seen: set[str] = set()
        """Ids that were enabled at any read."""
        self._lock = threading.Lock()

    def read(self, proposals: Sequence[Proposal] = (), accept: bool = False) -> Look:
        """Return the current priors and what changed since the last call; on the first, since the journal's record.

        Args:
            proposals: the run's proposals; the base keeps them until somebody decides.
            accept: accept proposals without asking.
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
        """Keep a proposal in the base; return the decision on it, or None if there is none yet."""
        data = proposal.data
        try:
            prior = parse_prior(data.id, proposal.text)
            titled = prior.title == data.title or not data.title
            text = prior.text if titled else with_front(prior.text, "title", " ".join(data.title.split()))
            name, other = proposal_names(data)
            entry = collection.proposal(name, self._run)
            if entry is not None and collection.revision(entry.id, 1).text != text:
                # An earlier run of the same name, deleted or moved since, proposed that text.
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
        if priors is self._last:
            return []  # a collection gives the same list until something changes
        self._last = priors
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
        """Yield the changes since the journal's last record, made while no engine was at work."""
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
        """Return the base's entry of a prior, or None if the base cannot be used."""
        try:
            return None if self._collection is None else self._collection.find(prior_id)
        except BaseError:
            return None
