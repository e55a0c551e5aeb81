"""The priors of one collection: read, add, edit, remove, restore, history, proposals."""

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
"""Priors that are read one by one rather than with all others."""


@dataclass
class Collection:
    """The priors of one task.

    An id is found without regard to case. Every method that changes something takes effect whole or not at all, and
    raises BaseError where the base cannot be written. None touches a file: that is `cognition.sync`'s.

    Args:
        store: the base.
        id: the collection's id.
        name: the task's name.
        folder: where the files are; it may be missing.
    """

    store: Store
    id: str
    name: str
    folder: Path
    _parsed: dict[str, Prior] = field(default_factory=dict, repr=False)
    _kept: tuple[int, list[Prior]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.store.take_up(self.id, self.name, self.folder)

    # Reading

    def generation(self) -> int:
        """A number that every change of the collection raises."""
        with self.store.reading() as db:
            row = db.execute("SELECT generation FROM collections WHERE id = ?", (self.id,)).fetchone()
        return int(row[0]) if row else 0

    def entries(self, *statuses: Status) -> list[Entry]:
        """The priors of some statuses, by default the active ones, by id."""
        chosen = statuses or ("active",)
        with self.store.reading() as db:
            rows = select(db, self.id, f"p.status IN ({', '.join('?' * len(chosen))})", *chosen)
        return sorted((self._entry(row) for row in rows), key=lambda entry: entry.id)

    def priors(self) -> list[Prior]:
        """What a design may be shown: the enabled priors, by id. The same list until something changes."""
        generation = self.generation()
        if self._kept is None or self._kept[0] != generation:
            self._kept = (generation, self._enabled())
        return self._kept[1]

    def _enabled(self) -> list[Prior]:
        """The enabled priors; only texts that are new here are read and parsed."""
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
        # One that another process took away meanwhile is missing, and the generation tells so the next time.
        priors = (self._parsed[prior_id] for prior_id, _ in rows if prior_id in self._parsed)
        return sorted((prior for prior in priors if prior.enabled), key=lambda prior: prior.id)

    def get(self, prior_id: str) -> Entry:
        """One prior, of any status.

        Raises:
            NotFound: there is none of this id.
        """
        with self.store.reading() as db:
            rows = select(db, self.id, "p.key = ?", key_of(prior_id))
        if not rows:
            raise NotFound(f"there is no prior '{prior_id}' in '{self.id}'", "'evolve priors list' lists them")
        return self._entry(rows[0])

    def find(self, prior_id: str) -> Entry | None:
        """One prior, of any status, or None."""
        try:
            return self.get(prior_id)
        except NotFound:
            return None

    def history(self, prior_id: str) -> list[Revision]:
        """All revisions of a prior, oldest first.

        Raises:
            NotFound: there is none of this id.
        """
        self.get(prior_id)
        with self.store.reading() as db:
            return select_revisions(db, self.id, prior_id)

    def revision(self, prior_id: str, number: int) -> Revision:
        """One revision of a prior.

        Raises:
            NotFound: there is no such prior or revision.
        """
        found = self.history(prior_id)
        for revision in found:
            if revision.number == number:
                return revision
        raise NotFound(f"'{prior_id}' has no revision {number}; its revisions are 1 to {found[-1].number}")

    def diff(self, prior_id: str, old: int | None = None, new: int | None = None) -> list[str]:
        """Lines of a unified diff between two revisions, by default the last two.

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
        """Take a new prior in.

        Raises:
            PriorError: its id or its text is not as it should be.
            CognitionError: there is one of this id, perhaps removed or pending.
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
        """Give a prior a new text; its old one stays in the history. The same text changes nothing.

        A prior whose file is gone gets one again.

        Args:
            prior_id: which.
            text: the whole of its file.
            base_revision: the revision that the new text was made from; None takes whatever stands there.
            author: where the text comes from.
            message: what to say about it in the history.

        Raises:
            NotFound: there is none of this id.
            PriorError: the text is not as it should be.
            Conflict: the base has another revision than `base_revision` by now.
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
        """Show a prior to designs again, or no longer, by one line of its front matter.

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
        """Change what a prior weighs in retrieval, by one line of its front matter.

        Raises:
            NotFound, PriorError, CognitionError: as `edit`.
        """
        with self.store.writing():
            entry = self.get(prior_id)
            if parse_prior(entry.id, entry.prior.text).weight == weight:
                return entry
            told = f"{weight:g}" if float(f"{weight:g}") == weight else repr(weight)
            return self.edit(entry.id, with_front(entry.prior.text, "weight", told), message=f"weight {told}")

    def revert(self, prior_id: str, number: int, base_revision: int | None = None) -> Entry:
        """Make an old text of a prior its newest revision.

        Raises:
            NotFound, Conflict, CognitionError: as `edit` and `revision`.
        """
        with self.store.writing():
            text = self.revision(prior_id, number).text
            return self.edit(prior_id, text, base_revision, message=f"as in revision {number}")

    def remove(self, prior_id: str) -> Entry:
        """Take a prior out: no design is shown it and its file goes; the history stays for `restore`.

        Raises:
            NotFound: there is none of this id.
        """
        return self._change_status(prior_id, "removed")

    def restore(self, prior_id: str) -> Entry:
        """Take a removed prior, or one whose file is gone, back as it was.

        Raises:
            NotFound: there is none of this id.
            CognitionError: it is there.
        """
        with self.store.writing() as db:
            entry = self.get(prior_id)
            if entry.status not in ("removed", "active") or (entry.status == "active" and not entry.gone):
                raise CognitionError(f"'{entry.id}' is not removed; it is {entry.status}")
            set_columns(db, self.id, entry.id, status="active", gone=0)
            return self.get(entry.id)

    # Proposals

    def propose(self, prior_id: str, text: str, *, run: str, nodes: Iterable[int] = (), name: str = "") -> Entry:
        """Keep what an analyzer proposes until a person accepts or rejects it; the same proposal is kept once.

        Args:
            prior_id: the id it would like; where that is taken, a number is added.
            text: the whole of its file.
            run: the name of the run.
            nodes: the nodes that it was learned from.
            name: what the run calls the proposal, by which `proposal` finds it; the id by default.

        Raises:
            PriorError: its id or its text is not as it should be.
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
        """What became of a run's proposal, by what the run calls it; None where the base does not have it."""
        with self.store.reading() as db:
            proposed = "json_extract(p.evidence, '$.run') = ? AND json_extract(p.evidence, '$.id') = ?"
            rows = select(db, self.id, proposed, run, name)
        return self._entry(rows[0]) if rows else None

    def rename_run(self, name: str, run: str, new: str) -> None:
        """Note that the run which made a proposal, if it did, goes by a new name."""
        with self.store.writing() as db:
            entry = self.proposal(name, run)
            if entry is not None:
                set_columns(db, self.id, entry.id, evidence=json.dumps({**entry.evidence, "run": new}))

    def accept(self, prior_id: str, text: str | None = None) -> Entry:
        """Take a proposal into the base, as it is or with another text; its file is written at the next sync.

        Raises:
            NotFound: there is none of this id.
            PriorError: the text is not as it should be.
            CognitionError: it is no proposal.
        """
        with self.store.writing() as db:
            entry = self._proposed(prior_id)
            if text is not None:
                self.edit(entry.id, text, message="edited before it was accepted")
            set_columns(db, self.id, entry.id, status="active", reason="")
            return self.get(entry.id)

    def reject(self, prior_id: str, reason: str = "") -> Entry:
        """Turn a proposal down; it stays in the base, and can be accepted later all the same.

        Raises:
            NotFound: there is none of this id.
            CognitionError: it is no proposal.
        """
        with self.store.writing() as db:
            entry = self._proposed(prior_id)
            set_columns(db, self.id, entry.id, status="rejected", reason=reason)
            return self.get(entry.id)

    # For the sync

    def take_back(self, prior_id: str, text: str) -> Entry:
        """Make a prior of any status active with the text of its file.

        Raises:
            NotFound: there is none of this id.
            PriorError: the text is not as it should be.
        """
        with self.store.writing() as db:
            set_columns(db, self.id, prior_id, status="active", gone=0)
            return self.edit(prior_id, text, author="file")

    def set_gone(self, prior_id: str, gone: bool) -> None:
        """Note that a prior's file vanished, or is back."""
        with self.store.writing() as db:
            set_columns(db, self.id, prior_id, gone=int(gone))

    def rename(self, prior_id: str, new_id: str) -> Entry:
        """Give a prior another id; its history and its former ids stay with it.

        Raises:
            NotFound: there is none of this id.
        """
        with self.store.writing() as db:
            entry = self.get(prior_id)
            former = json.dumps([*entry.former, entry.id])
            change_key(db, self.id, prior_id, new_id)
            set_columns(db, self.id, new_id, id=new_id, gone=0, former=former)
            return self.get(new_id)

    # Inside

    def _proposed(self, prior_id: str) -> Entry:
        entry = self.get(prior_id)
        if entry.status not in ("pending", "rejected"):
            raise CognitionError(f"'{entry.id}' is no proposal; it is {entry.status}")
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
    """The id itself, or with a number added where it is taken."""
    number, found = 1, wanted
    while collection.find(found) is not None:
        number += 1
        found = f"{wanted}-{number}"
    return found


def _checked(prior_id: str, text: str) -> str:
    """The text as it is kept: checked, with plain line ends."""
    check_text(text)
    try:
        return parse_prior(prior_id, text).text
    except PriorError as exc:
        raise PriorError(f"'{prior_id}': {exc}") from None
