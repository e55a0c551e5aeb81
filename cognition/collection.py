"""Read, add, edit, remove and restore the priors of one collection; keep proposals and the history."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cognition.entry import Author, Entry, Origin, Revision, Status, key_of
from cognition.prior import Prior, PriorError, check_id, check_text, parse_prior, with_front
from cognition.rows import add_revision, change_key, insert, select, select_revisions, set_columns
from cognition.store import CognitionError, Conflict, NotFound, Store

__all__ = ["Collection", "free_id"]

_FEW = 100
"""Up to so many changed priors are read one by one; if there are more, all are read."""


@dataclass
class Collection:
    """The priors of one task.

    Ids are compared without regard to case. Every method that changes something takes effect completely or not at all,
    and raises BaseError if the base cannot be written. No method touches a file: `cognition.sync` does.

    Args:
        store: the base.
        id: the collection's id.
        name: the task's name.
        folder: the folder of the files; it may be missing.
    """

    store: Store
    id: str
    name: str
    folder: Path
    _parsed: dict[str, Prior] = field(default_factory=dict, repr=False)
    _kept: tuple[int, list[Prior]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.store.register(self.id, self.name, self.folder)

    # Reading

    def generation(self) -> int:
        """Return a number that every change of the collection raises."""
        with self.store.reading() as db:
            row = db.execute("SELECT generation FROM collections WHERE id = ?", (self.id,)).fetchone()
        return int(row[0]) if row else 0

    def entries(self, *statuses: Status) -> list[Entry]:
        """Return the priors of some statuses, by default the active ones, sorted by id."""
        chosen = statuses or ("active",)
        with self.store.reading() as db:
            rows = select(db, self.id, f"p.status IN ({', '.join('?' * len(chosen))})", *chosen)
        return sorted((self._entry(row) for row in rows), key=lambda entry: entry.id)

    def priors(self) -> list[Prior]:
        """Return the enabled priors, which designs may be shown, by id; the same list until something changes."""
        generation = self.generation()
        if self._kept is None or self._kept[0] != generation:
            self._kept = (generation, self._enabled())
        return self._kept[1]

    def _enabled(self) -> list[Prior]:
        """Return the enabled priors; read and parse only the revisions that are new to this process."""
        with self.store.reading() as db:
            rows = db.execute(
                "SELECT id, revision FROM priors WHERE collection = ? AND status = 'active' AND NOT gone", (self.id,)
            ).fetchall()
        stale = [
            prior_id for prior_id, number in rows
            if (kept := self._parsed.get(prior_id)) is None or kept.number != number
        ]  # fmt: skip
        if len(stale) > _FEW:
            self.entries()
        else:
            for prior_id in stale:
                self.find(prior_id)
        # A prior that another process removed meanwhile is missing; the new generation shows it next time.
        priors = (self._parsed[prior_id] for prior_id, _ in rows if prior_id in self._parsed)
        return sorted((prior for prior in priors if prior.enabled), key=lambda prior: prior.id)

    def get(self, prior_id: str) -> Entry:
        """Return one prior of any status.

        Raises:
            NotFound: there is none of this id.
        """
        with self.store.reading() as db:
            rows = select(db, self.id, "p.key = ?", key_of(prior_id))
        if not rows:
            raise NotFound(f"there is no prior '{prior_id}' in '{self.id}'", "'evolve priors list' lists them")
        return self._entry(rows[0])

    def find(self, prior_id: str) -> Entry | None:
        """Return one prior of any status, or None."""
        try:
            return self.get(prior_id)
        except NotFound:
            return None

    def history(self, prior_id: str) -> list[Revision]:
        """Return all revisions of a prior, oldest first.

        Raises:
            NotFound: there is none of this id.
        """
        self.get(prior_id)
        with self.store.reading() as db:
            return select_revisions(db, self.id, prior_id)

    def revision(self, prior_id: str, number: int) -> Revision:
        """Return one revision of a prior.

        Raises:
            NotFound: there is no such prior or revision.
        """
        found = self.history(prior_id)
        for revision in found:
            if revision.number == number:
                return revision
        raise NotFound(f"'{prior_id}' has no revision {number}; its revisions are 1 to {found[-1].number}")

    def diff(self, prior_id: str, old: int | None = None, new: int | None = None) -> list[str]:
        """Return the lines of a unified diff between two revisions, by default the last two.

        Raises:
            NotFound: there is no such prior or revision.
        """
        now = self.get(prior_id).prior.number
        after = now if new is None else new
        before = max(1, after - 1) if old is None else old
        a, b = self.revision(prior_id, before), self.revision(prior_id, after)
        names = (f"{prior_id} revision {before}", f"{prior_id} revision {after}")
        return list(difflib.unified_diff(a.text.splitlines(), b.text.splitlines(), *names, lineterm=""))

    # Writing

    def add(
        self,
        prior_id: str,
        text: str,
        *,
        origin: Origin = "human",
        author: Author = "human",
        message: str = "",
        status: Status = "active",
        evidence: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Add a new prior.

        Raises:
            PriorError: the id or the text is not valid.
            CognitionError: a prior of this id exists, perhaps removed or pending.
        """
        check_id(prior_id)
        text = _checked(prior_id, text)
        with self.store.writing() as db:
            there = self.find(prior_id)
            if there is not None:
                verb = {"active": "edit", "removed": "restore"}.get(there.status, "accept")
                raise CognitionError(
                    f"there is a prior '{there.id}' in '{self.id}' already, {there.status}",
                    f"'evolve priors {verb} {there.id}' goes on with it; a new one needs another name",
                )
            insert(db, self.id, prior_id, origin, status, dict(evidence or {}))
            add_revision(db, self.id, prior_id, 1, text, author, message)
            return self.get(prior_id)

    def edit(
        self, prior_id: str, text: str, base_revision: int | None = None, *, author: Author = "human", message: str = ""
    ) -> Entry:
        """Add a revision with a new text. The current text changes nothing.

        A prior whose file is gone gets a file again.

        Args:
            prior_id: the prior.
            text: the whole of its file.
            base_revision: the revision that was edited; None replaces any.
            author: where the text comes from.
            message: a remark for the history.

        Raises:
            NotFound: there is none of this id.
            PriorError: the text is not valid.
            Conflict: the current revision is not `base_revision` any more.
            CognitionError: the prior was removed.
        """
        text = _checked(prior_id, text)
        with self.store.writing() as db:
            entry = self.get(prior_id)
            if entry.status == "removed":
                raise CognitionError(f"'{entry.id}' was removed", f"'evolve priors restore {entry.id}' takes it back")
            if base_revision is not None and base_revision != entry.prior.number and text != entry.prior.text:
                raise Conflict(entry.id, entry.prior.number, entry.prior.text, text)
            if text != entry.prior.text:
                add_revision(db, self.id, entry.id, entry.prior.number + 1, text, author, message)
            if entry.gone:
                set_columns(db, self.id, entry.id, gone=0)
            return self.get(entry.id)

    def set_enabled(self, prior_id: str, enabled: bool) -> Entry:
        """Enable or disable a prior by one line of its front matter.

        Raises:
            NotFound, CognitionError: as `edit`.
        """
        word = "enabled" if enabled else "disabled"
        with self.store.writing():
            entry = self.get(prior_id)
            text = entry.prior.text
            if parse_prior(entry.id, text).enabled != enabled:
                text = with_front(text, "enabled", "true" if enabled else "false")
            elif not enabled and entry.gone:
                return entry
            return self.edit(entry.id, text, message=word)

    def set_weight(self, prior_id: str, weight: float) -> Entry:
        """Set the weight of a prior in retrieval by one line of its front matter.

        Raises:
            NotFound, PriorError, CognitionError: as `edit`.
        """
        with self.store.writing():
            entry = self.get(prior_id)
            if parse_prior(entry.id, entry.prior.text).weight == weight:
                return entry
            number = f"{weight:g}" if float(f"{weight:g}") == weight else repr(weight)
            return self.edit(entry.id, with_front(entry.prior.text, "weight", number), message=f"weight {number}")

    def revert(self, prior_id: str, number: int, base_revision: int | None = None) -> Entry:
        """Add a revision with the text of an earlier one.

        Raises:
            NotFound, Conflict, CognitionError: as `edit` and `revision`.
        """
        with self.store.writing():
            text = self.revision(prior_id, number).text
            return self.edit(prior_id, text, base_revision, message=f"as in revision {number}")

    def remove(self, prior_id: str) -> Entry:
        """Remove a prior and, at the next sync, its file; the history stays for `restore`.

        Raises:
            NotFound: there is none of this id.
        """
        return self._change_status(prior_id, "removed")

    def restore(self, prior_id: str) -> Entry:
        """Restore a removed prior, or one whose file is gone, with its last text.

        Raises:
            NotFound: there is none of this id.
            CognitionError: it is not removed.
        """
        with self.store.writing() as db:
            entry = self.get(prior_id)
            if entry.status not in ("removed", "active") or (entry.status == "active" and not entry.gone):
                raise CognitionError(f"'{entry.id}' is not removed; it is {entry.status}")
            set_columns(db, self.id, entry.id, status="active", gone=0)
            return self.get(entry.id)

    # Proposals

    def propose(self, prior_id: str, text: str, *, run: str, nodes: Iterable[int] = (), name: str = "") -> Entry:
        """Keep a proposal of an analyzer until a person accepts or rejects it; the same proposal is kept once.

        Args:
            prior_id: the wanted id; if it is taken, a number is added.
            text: the whole of its file.
            run: the name of the run.
            nodes: the nodes that it was learned from.
            name: the run's name for the proposal, by which `proposal` finds it; the id by default.

        Raises:
            PriorError: the id or the text is not valid.
        """
        check_id(prior_id)
        text = _checked(prior_id, text)
        name = name or prior_id
        with self.store.writing():
            there = self.proposal(name, run)
            if there is not None:
                return there
            evidence = {"run": run, "nodes": list(nodes), "id": name}
            return self.add(
                free_id(self, prior_id), text, origin="analyzer", author="analyzer", message=f"proposed by run {run}",
                status="pending", evidence=evidence,
            )  # fmt: skip

    def proposal(self, name: str, run: str) -> Entry | None:
        """Return a run's proposal by the run's name for it, decided or not; None if the base does not have it."""
        with self.store.reading() as db:
            proposed = "json_extract(p.evidence, '$.run') = ? AND json_extract(p.evidence, '$.id') = ?"
            rows = select(db, self.id, proposed, run, name)
        return self._entry(rows[0]) if rows else None

    def rename_run(self, name: str, run: str, new: str) -> None:
        """Record the new name of the run that made a proposal, if there is such a proposal."""
        with self.store.writing() as db:
            entry = self.proposal(name, run)
            if entry is not None:
                set_columns(db, self.id, entry.id, evidence=json.dumps({**entry.evidence, "run": new}))

    def accept(self, prior_id: str, text: str | None = None) -> Entry:
        """Make a proposal active, as it is or with another text; its file is written at the next sync.

        Raises:
            NotFound: there is none of this id.
            PriorError: the text is not valid.
            CognitionError: it is not a proposal.
        """
        with self.store.writing() as db:
            entry = self._proposed(prior_id)
            if text is not None:
                self.edit(entry.id, text, message="edited before it was accepted")
            set_columns(db, self.id, entry.id, status="active", reason="")
            return self.get(entry.id)

    def reject(self, prior_id: str, reason: str = "") -> Entry:
        """Reject a proposal; it stays in the base and can still be accepted later.

        Raises:
            NotFound: there is none of this id.
            CognitionError: it is not a proposal.
        """
        with self.store.writing() as db:
            entry = self._proposed(prior_id)
            set_columns(db, self.id, entry.id, status="rejected", reason=reason)
            return self.get(entry.id)

    # For the sync

    def reactivate(self, prior_id: str, text: str) -> Entry:
        """Make a prior of any status active with the text of its file.

        Raises:
            NotFound: there is none of this id.
            PriorError: the text is not valid.
        """
        with self.store.writing() as db:
            set_columns(db, self.id, prior_id, status="active", gone=0)
            return self.edit(prior_id, text, author="file")

    def set_gone(self, prior_id: str, gone: bool) -> None:
        """Record that a prior's file vanished, or is back."""
        with self.store.writing() as db:
            set_columns(db, self.id, prior_id, gone=int(gone))

    def rename(self, prior_id: str, new_id: str) -> Entry:
        """Change a prior's id; it keeps its history, and the old id among its former ids.

        Raises:
            NotFound: there is none of this id.
        """
        with self.store.writing() as db:
            entry = self.get(prior_id)
            former = json.dumps([*entry.former, entry.id])
            change_key(db, self.id, prior_id, new_id)
            set_columns(db, self.id, new_id, id=new_id, gone=0, former=former)
            return self.get(new_id)

    # Helpers

    def _proposed(self, prior_id: str) -> Entry:
        entry = self.get(prior_id)
        if entry.status not in ("pending", "rejected"):
            raise CognitionError(f"'{entry.id}' is not a proposal; it is {entry.status}")
        return entry

    def _change_status(self, prior_id: str, status: Status) -> Entry:
        with self.store.writing() as db:
            entry = self.get(prior_id)
            set_columns(db, self.id, entry.id, status=status)
            return self.get(entry.id)

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        prior_id, origin, status, number, gone, evidence, reason, former, created, changed, text, author, message = row
        prior = self._parsed.get(prior_id)
        if prior is None or prior.number != number or prior.text != text:
            prior = self._parsed[prior_id] = replace(parse_prior(prior_id, text), number=number)
        if prior.enabled and (status != "active" or gone):
            prior = replace(prior, enabled=False)
        return Entry(
            prior, origin, status, bool(gone), json.loads(evidence), reason, tuple(json.loads(former)),
            created, changed, author, message,
        )  # fmt: skip


def free_id(collection: Collection, wanted: str) -> str:
    """Return the id, with a number added if it is taken."""
    number, found = 1, wanted
    while collection.find(found) is not None:
        number += 1
        found = f"{wanted}-{number}"
    return found


def _checked(prior_id: str, text: str) -> str:
    """Return the text as it is stored: checked, with plain line ends."""
    check_text(text)
    try:
        return parse_prior(prior_id, text).text
    except PriorError as exc:
        raise PriorError(f"'{prior_id}': {exc}") from None
