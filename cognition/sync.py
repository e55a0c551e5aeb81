"""Sync a folder of files with a collection, both ways, by an idempotent pass that any process may run at any time.

- A saved file becomes a revision; an edit in the base is written to the file by an atomic rename.
- If both changed since the last pass, the base's text stands, the file's is kept beside it as `NAME.conflict-1.md`,
  and a problem says so until that file is deleted.
- If a file vanishes, its prior is not shown any more and nothing is destroyed; if the file is back, so is the prior.
  The same text under another name is the same prior, renamed.
- If a file cannot be a prior (broken front matter, binary, too long, a link), a problem says so, the file stays as it
  is, and the last good revision stays in use.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from cognition.collection import Collection
from cognition.entry import Entry, key_of
from cognition.files import Stamp, printable, read_prior, scan, stamp_of
from cognition.prior import Prior, head_problem, is_conflict

__all__ = ["Problem", "Report", "Sync", "SyncChange", "problems_of", "trouble_by_prior"]

_WAIT_SECONDS = 10.0
_SETTLE_NS = 20_000_000
"""A file that changed so shortly before it was read may change again without a new time: it is read once more."""
_PASSES = 3
_SECOND_TEXT = "is the second text of a conflict: take over what is missing in the other one, then delete it"

What = Literal["added", "edited", "gone", "back", "renamed", "conflict", "written", "deleted"]


class SyncChange(NamedTuple):
    """One change that a pass made: `written` and `deleted` to a file, the others to the base."""

    id: str
    what: What
    number: int
    """The current revision."""


class Problem(NamedTuple):
    """A problem that a person should look at."""

    name: str
    """The file's name; empty if the problem is not about a single file."""
    text: str


@dataclass(frozen=True)
class Report:
    """The result of a pass."""

    changes: list[SyncChange] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Row(NamedTuple):
    """What the base remembers of a file: its state when file and base were last the same."""

    stamp: str
    """Of the file; empty if it has vanished, `?` if it must be read again."""
    sha256: str
    revision: int
    problem: str


_NEVER = _Row("", "", 0, "")


class Sync:
    """Syncs a collection with its folder.

    Args:
        collection: the collection.
        wait_seconds: how long to wait for another process that syncs.
    """

    def __init__(self, collection: Collection, wait_seconds: float = _WAIT_SECONDS) -> None:
        self.collection = collection
        self._wait = wait_seconds
        self._same: tuple[dict[str, Stamp], int] | None = None
        """Files and generation after the last pass, if it left nothing to do."""
        self._problems: list[Problem] = []

    def run(self) -> Report:
        """Sync once. If nothing changed, that costs one scan of the folder, one lock and one query.

        Raises:
            BaseError: the base cannot be read or written.
        """
        folder = self.collection.folder
        if not self.collection.store.wait_for_writer():
            return Report(problems=[Problem("", "another process is writing the priors' base: try again")])
        try:
            if self._same is not None and self._same == (scan(folder), self.collection.generation()):
                return Report(problems=self._problems)
            with _locked(self.collection.store.path.with_name("cognition.lock"), self._wait) as locked:
                if not locked:
                    return Report(problems=[Problem("", "another process is busy with the priors' files: try again")])
                return self._run()
        except OSError as exc:
            self._same = None
            where = exc.filename or folder
            return Report(problems=[Problem("", f"{where} cannot be read or written: {exc.strerror}")])

    def _run(self) -> Report:
        changes: list[SyncChange] = []
        for _ in range(_PASSES):
            generation = self.collection.generation()
            stamps = scan(self.collection.folder)
            settled, taken = self._read_files(stamps)
            complete, written = self._write_files()
            changes += taken + written
            if not taken and not written:
                same = settled and complete and generation == self.collection.generation()
                self._same = (stamps, generation) if same else None
                break
        self._problems = problems_of(self.collection)
        return Report(changes, self._problems)

    # From the files

    def _read_files(self, stamps: dict[str, Stamp]) -> tuple[bool, list[SyncChange]]:
        """Apply changes of files to the base; return whether all files stood still, and the changes."""
        collection = self.collection
        if _stamps(collection) == {printable(raw): _encode(stamp) for raw, stamp in stamps.items()}:
            return True, []
        rows = _rows(collection)
        raws = {printable(raw): raw for raw in stamps}
        vanished = [name for name, row in rows.items() if row.stamp and name not in raws]
        same_key: dict[str, list[str]] = {}
        for name in sorted(raws):
            same_key.setdefault(_key(name), []).append(name)
        # If one of several names that differ only in case is gone, another one may count now.
        freed = {name for gone in vanished for name in same_key.get(_key(gone), [])}
        read: dict[str, tuple[str, Prior | str]] = {}
        settled = True
        for name, raw in raws.items():
            stamp, row = stamps[raw], rows.get(name)
            if row is None or row.stamp != _encode(stamp) or name in freed:
                path = collection.folder / raw
                found = "" if is_conflict(Path(name).stem) else read_prior(path)
                still = stamp_of(path) == stamp and abs(time.time_ns() - stamp.mtime_ns) > _SETTLE_NS
                settled = settled and still
                read[name] = (_encode(stamp) if still else "?", found)
        if not read and not vanished:
            return settled, []
        changes: list[SyncChange] = []
        with collection.store.writing() as db:
            lost = _lost(db, collection, vanished)
            for name, (stamp_text, found) in sorted(read.items()):
                row = rows.get(name, _NEVER)
                twin = self._twin(name, same_key[_key(name)])
                if isinstance(found, str):
                    problem = found or row.problem or _SECOND_TEXT
                    row = _Row(stamp_text, row.sha256, row.revision, problem)
                elif twin is not None:
                    row = _Row(stamp_text, row.sha256, row.revision, f"differs from {twin} only in case: rename it")
                else:
                    sha256, number = self._apply_file(found, rows, lost, changes)
                    row = _Row(stamp_text, sha256, number, "")
                _save_row(db, collection, name, row)
            for name in vanished:
                self._record_vanished(db, name, rows[name], _key(name) in same_key, changes)
        return settled, changes

    def _twin(self, name: str, same: list[str]) -> str | None:
        """Of files whose names differ only in case, return the one that counts; None if it is this one."""
        if len(same) < 2:
            return None
        entry = self.collection.find(Path(name).stem)
        first = f"{entry.id}.md" if entry is not None and f"{entry.id}.md" in same else same[0]
        return None if first == name else first

    def _apply_file(
        self, prior: Prior, rows: dict[str, _Row], lost: dict[str, list[str]], changes: list[SyncChange]
    ) -> tuple[str, int]:
        """Apply one valid file to the base; return sha256 and revision on which file and base agree."""
        collection = self.collection
        entry = collection.find(prior.id)
        row = rows.get(f"{prior.id if entry is None else entry.id}.md", _NEVER)
        if entry is None:
            same = lost.get(prior.revision, [])
            # If several had this text, nothing tells which of them was renamed.
            if len(same) == 1:
                entry = collection.rename(same.pop(), prior.id)
                changes.append(SyncChange(entry.id, "renamed", entry.prior.number))
            else:
                entry = collection.add(prior.id, prior.text, author="file")
                changes.append(SyncChange(entry.id, "added", 1))
            return prior.revision, entry.prior.number
        if entry.id != prior.id:
            entry = collection.rename(entry.id, prior.id)
            changes.append(SyncChange(entry.id, "renamed", entry.prior.number))
        if entry.status != "active":
            if entry.status == "removed" and prior.revision == row.sha256:
                return row.sha256, row.revision  # it was removed in the base; its file is deleted below
            entry = collection.reactivate(entry.id, prior.text)
            changes.append(SyncChange(entry.id, "back", entry.prior.number))
        elif prior.revision in (entry.prior.revision, row.sha256):
            if entry.gone:
                collection.set_gone(entry.id, False)
                changes.append(SyncChange(entry.id, "back", entry.prior.number))
            if prior.revision != entry.prior.revision:
                return row.sha256, row.revision  # only the base's text is new
        elif entry.prior.number > row.revision:
            self._keep_both(prior, entry)
            changes.append(SyncChange(entry.id, "conflict", entry.prior.number))
            return prior.revision, row.revision
        else:
            entry = collection.edit(entry.id, prior.text, author="file")
            changes.append(SyncChange(entry.id, "edited", entry.prior.number))
        return prior.revision, entry.prior.number

    def _keep_both(self, prior: Prior, entry: Entry) -> None:
        """Keep the file's text in a file beside it, because the base has another text by now."""
        folder = self.collection.folder
        for number in range(1, 1000):
            path = folder / f"{entry.id}.conflict-{number}.md"
            try:
                if path.read_text(encoding="utf-8") == prior.text:
                    break  # written by a pass that was killed before it could record it
            except FileNotFoundError:
                _write_atomically(path, prior.text)
                break
            except (OSError, UnicodeDecodeError):
                continue
        problem = (
            f"'{entry.id}' was edited in its file and in the base at once: the base's text (revision "
            f"{entry.prior.number}) stands in {entry.id}.md, the file's is kept here. Take over what is missing, then "
            "delete this file"
        )
        with self.collection.store.writing() as db:
            _save_row(db, self.collection, path.name, _Row("?", "", 0, problem))

    def _record_vanished(
        self, db: sqlite3.Connection, name: str, row: _Row, again: bool, changes: list[SyncChange]
    ) -> None:
        """Record that a file vanished; `again` says that another file has its name but for case."""
        stem = Path(name).stem
        entry = None if is_conflict(stem) else self.collection.find(stem)
        if entry is None or entry.status != "active" or entry.id != stem or again:
            db.execute("DELETE FROM files WHERE collection = ? AND name = ?", (self.collection.id, name))
            return
        _save_row(db, self.collection, name, row._replace(stamp="", problem=""))
        if entry.prior.number <= row.revision and not entry.gone:
            self.collection.set_gone(entry.id, True)
            changes.append(SyncChange(entry.id, "gone", entry.prior.number))

    # To the files

    def _write_files(self) -> tuple[bool, list[SyncChange]]:
        """Write to files what is newer in the base; return whether nothing is left to write, and the changes."""
        collection = self.collection
        with collection.store.reading() as db:
            waiting = db.execute(
                "SELECT p.id, p.status FROM priors p LEFT JOIN files f ON f.collection = p.collection "
                "AND f.name = p.id || '.md' WHERE p.collection = ? AND ((p.status = 'active' AND NOT p.gone AND "
                "(f.name IS NULL OR f.stamp = '' OR (f.problem = '' AND f.revision < p.revision))) "
                "OR (p.status = 'removed' AND f.problem = ''))",
                (collection.id,),
            ).fetchall()
        rows = _rows(collection) if waiting else {}
        changes: list[SyncChange] = []
        kept: dict[str, _Row | None] = {}
        complete = True
        for prior_id, status in waiting:
            path = collection.folder / f"{prior_id}.md"
            row = rows.get(path.name, _NEVER)
            untouched = partial(self._untouched, path, row)
            if not untouched():
                complete = False
            elif status == "removed":
                path.unlink(missing_ok=True)
                kept[path.name] = None
                changes.append(SyncChange(prior_id, "deleted", 0))
            else:
                entry = collection.get(prior_id)
                if row.sha256 != entry.prior.revision or not row.stamp:
                    if not _write_atomically(path, entry.prior.text, untouched):
                        complete = False
                        continue
                    changes.append(SyncChange(prior_id, "written", entry.prior.number))
                written = stamp_of(path)
                kept[path.name] = _Row(_encode(written), entry.prior.revision, entry.prior.number, "")
        if kept:
            with collection.store.writing() as db:
                for name, new in kept.items():
                    if new is None:
                        db.execute("DELETE FROM files WHERE collection = ? AND name = ?", (collection.id, name))
                    else:
                        _save_row(db, collection, name, new)
        return complete, changes

    def _untouched(self, path: Path, row: _Row) -> bool:
        """Return whether the file is as the base knows it, so that overwriting it loses nothing."""
        now = stamp_of(path)
        if now is None or not row.stamp:
            return now is None
        if _encode(now) == row.stamp:
            return True
        found = read_prior(path)
        return isinstance(found, Prior) and found.revision == row.sha256


def problems_of(collection: Collection) -> list[Problem]:
    """Return the problems that the last pass of any process found.

    Raises:
        BaseError: the base cannot be read.
    """
    with collection.store.reading() as db:
        rows = db.execute(
            "SELECT name, problem FROM files WHERE collection = ? AND problem != '' ORDER BY name", (collection.id,)
        ).fetchall()
    return [Problem(*row) for row in rows]


def trouble_by_prior(entries: Iterable[Entry], problems: Iterable[Problem]) -> dict[str, str]:
    """Return by the id of a prior what is wrong with its text or its file now; nothing for all others.

    Args:
        entries: the priors.
        problems: those of the last pass.
    """
    by_name = {_key(problem.name): problem.text for problem in problems if problem.name}
    found = {}
    for entry in entries:
        if entry.status != "active":
            continue
        text = by_name.get(key_of(entry.id))
        if text is not None:
            found[entry.id] = f"its file is not taken: {text}; revision {entry.prior.number} stays in use"
        elif head := head_problem(entry.prior.text):
            found[entry.id] = head
    return found


def _key(name: str) -> str:
    return key_of(name.removesuffix(".md"))


def _stamps(collection: Collection) -> dict[str, str]:
    """Return name and stamp of the files that existed at the last pass."""
    with collection.store.reading() as db:
        return dict(
            db.execute(
                "SELECT name, stamp FROM files WHERE collection = ? AND stamp != ''", (collection.id,)
            ).fetchall()
        )


def _rows(collection: Collection) -> dict[str, _Row]:
    with collection.store.reading() as db:
        rows = db.execute(
            "SELECT name, stamp, sha256, revision, problem FROM files WHERE collection = ?", (collection.id,)
        ).fetchall()
    return {name: _Row(*rest) for name, *rest in rows}


def _lost(db: sqlite3.Connection, collection: Collection, vanished: list[str]) -> dict[str, list[str]]:
    """Return the priors whose files have vanished, by the sha256 of their texts."""
    names = {Path(name).stem for name in vanished}
    found: dict[str, list[str]] = {}
    for prior_id, gone, sha256 in db.execute(
        "SELECT p.id, p.gone, r.sha256 FROM priors p JOIN revisions r ON r.collection = p.collection AND r.key = p.key "
        "AND r.revision = p.revision WHERE p.collection = ? AND p.status = 'active'",
        (collection.id,),
    ):
        if gone or prior_id in names:
            found.setdefault(sha256, []).append(prior_id)
    return found


def _save_row(db: sqlite3.Connection, collection: Collection, name: str, row: _Row) -> None:
    db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", (collection.id, printable(name), *row))


def _encode(stamp: Stamp | None) -> str:
    return "" if stamp is None else f"{stamp.mtime_ns} {stamp.ctime_ns} {stamp.size} {stamp.inode}"


def _write_atomically(path: Path, text: str, untouched: Callable[[], bool] = lambda: True) -> bool:
    """Replace a file so that nobody ever reads half of it; its line ends stay as they are.

    Ask `untouched` at the last moment; if somebody saved the file meanwhile, do not replace it and return False.
    """
    with suppress(OSError):
        if b"\r\n" in path.read_bytes():
            text = text.replace("\n", "\r\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            new.chmod(path.stat().st_mode & 0o777)
        if untouched():
            new.replace(path)
            return True
        new.unlink()
        return False
    except OSError:
        new.unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path, seconds: float) -> Iterator[bool]:
    """Hold the lock that lets one process at a time touch the files; yield False if another one keeps it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.01)
            else:
                yield True
                return
    finally:
        os.close(descriptor)
