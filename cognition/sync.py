"""Files and base kept the same, both ways, by one idempotent pass that any process may run at any time.

- A saved file becomes a revision; an edit in the base is written to the file by an atomic rename.
- Both since the last pass: the base's text stands, the file's is kept beside it as `NAME.conflict-1.md`, and a problem
  says so until that file is deleted.
- A vanished file keeps its prior from being shown and destroys nothing; when it is back, so is the prior. The same text
  under another name is the same prior, renamed.
- A file that cannot be a prior (broken front matter, binary, too long, a link) is a problem that is told, is left as it
  is, and the last good revision stays in use.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from cognition.collection import Collection
from cognition.entry import Entry, key_of
from cognition.files import Stamp, printable, read_prior, scan, stamp_of
from cognition.prior import Prior, is_conflict

__all__ = ["Change", "Problem", "Report", "Sync", "problems_of"]

_WAIT_SECONDS = 10.0
_SETTLE_NS = 20_000_000
"""A file written so shortly before it was read may be written again without a new time: it is read once more."""
_PASSES = 3
_SECOND = "is the second text of a conflict: take over what is missing in the other one, then delete it"

What = Literal["added", "edited", "gone", "back", "renamed", "conflict", "written", "deleted"]


class Change(NamedTuple):
    """One thing that a pass did: `written` and `deleted` to a file, the others to the base."""

    id: str
    what: What
    number: int
    """The revision that stands now."""


class Problem(NamedTuple):
    """What a person should look at."""

    name: str
    """The file's name, or an empty text where it is about no single file."""
    text: str


@dataclass(frozen=True)
class Report:
    """What a pass came to."""

    changes: list[Change] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Row(NamedTuple):
    """What the base remembers of a file: as it was when both were last the same."""

    stamp: str
    """Of the file; empty where it has vanished or is to be read again."""
    sha256: str
    revision: int
    problem: str


_NEVER = _Row("", "", 0, "")


class Sync:
    """Keeps a collection and its folder the same.

    Args:
        collection: the collection.
        wait_seconds: how long to wait while another process is at it.
    """

    def __init__(self, collection: Collection, wait_seconds: float = _WAIT_SECONDS) -> None:
        self.collection = collection
        self._wait = wait_seconds
        self._same: tuple[dict[str, Stamp], int] | None = None
        """Files and generation after the last pass, if nothing was left to do."""
        self._problems: list[Problem] = []

    def run(self) -> Report:
        """Bring both together; where nothing changed that costs a look at the folder and one at the base.

        Raises:
            BaseError: the base cannot be read or written.
        """
        folder = self.collection.folder
        try:
            if self._same is not None and self._same == (scan(folder), self.collection.generation()):
                return Report(problems=self._problems)
            with _elected(self.collection.store.path.with_name("cognition.lock"), self._wait) as elected:
                if not elected:
                    return Report(problems=[Problem("", "another process is busy with the priors' files: try again")])
                return self._run()
        except OSError as exc:
            self._same = None
            where = exc.filename or folder
            return Report(problems=[Problem("", f"{where} cannot be read or written: {exc.strerror}")])

    def _run(self) -> Report:
        changes: list[Change] = []
        for _ in range(_PASSES):
            generation = self.collection.generation()
            stamps = scan(self.collection.folder)
            settled, taken = self._take_in(stamps)
            complete, written = self._write_out()
            changes += taken + written
            if not taken and not written:
                same = settled and complete and generation == self.collection.generation()
                self._same = (stamps, generation) if same else None
                break
        self._problems = problems_of(self.collection)
        return Report(changes, self._problems)

    # From the files

    def _take_in(self, stamps: dict[str, Stamp]) -> tuple[bool, list[Change]]:
        """Take what changed in the files; returns whether all of them stood still, and what was done."""
        collection = self.collection
        if _stamps(collection) == {printable(raw): _written(stamp) for raw, stamp in stamps.items()}:
            return True, []
        rows = _rows(collection)
        raws = {printable(raw): raw for raw in stamps}
        vanished = [name for name, row in rows.items() if row.stamp and name not in raws]
        same_key: dict[str, list[str]] = {}
        for name in sorted(raws):
            same_key.setdefault(_key(name), []).append(name)
        # Where one of several that differ in case alone is gone, the other may count now.
        freed = {name for gone in vanished for name in same_key.get(_key(gone), [])}
        read: dict[str, tuple[str, Prior | str]] = {}
        settled = True
        for name, raw in raws.items():
            stamp, row = stamps[raw], rows.get(name)
            if row is None or row.stamp != _written(stamp) or name in freed:
                path = collection.folder / raw
                found = "" if is_conflict(Path(name).stem) else read_prior(path)
                still = stamp_of(path) == stamp and abs(time.time_ns() - stamp.mtime_ns) > _SETTLE_NS
                settled = settled and still
                read[name] = (_written(stamp) if still else "?", found)
        if not read and not vanished:
            return settled, []
        changes: list[Change] = []
        with collection.store.writing() as db:
            lost = _lost(db, collection, vanished)
            for name, (stamp_text, found) in sorted(read.items()):
                row = rows.get(name, _NEVER)
                twin = self._twin(name, same_key[_key(name)])
                if isinstance(found, str):
                    told = found or row.problem or _SECOND
                    row = _Row(stamp_text, row.sha256, row.revision, told)
                elif twin is not None:
                    row = _Row(stamp_text, row.sha256, row.revision, f"differs from {twin} only in case: rename it")
                else:
                    sha256, number = self._take_file(found, rows, lost, changes)
                    row = _Row(stamp_text, sha256, number, "")
                _keep(db, collection, name, row)
            for name in vanished:
                self._take_vanished(db, name, rows[name], _key(name) in same_key, changes)
        return settled, changes

    def _twin(self, name: str, same: list[str]) -> str | None:
        """Of files whose names differ in case alone, the one that goes before this one; None for the first."""
        if len(same) < 2:
            return None
        entry = self.collection.find(Path(name).stem)
        first = f"{entry.id}.md" if entry is not None and f"{entry.id}.md" in same else same[0]
        return None if first == name else first

    def _take_file(
        self, prior: Prior, rows: dict[str, _Row], lost: dict[str, list[str]], changes: list[Change]
    ) -> tuple[str, int]:
        """Take one good file in; returns sha256 and revision on which file and base agree."""
        collection = self.collection
        entry = collection.find(prior.id)
        row = rows.get(f"{prior.id if entry is None else entry.id}.md", _NEVER)
        if entry is None:
            same = lost.get(prior.revision, [])
            # Where several had this text, nothing tells which of them was renamed.
            if len(same) == 1:
                entry = collection.rename(same.pop(), prior.id)
                changes.append(Change(entry.id, "renamed", entry.prior.number))
            else:
                entry = collection.add(prior.id, prior.text, author="file")
                changes.append(Change(entry.id, "added", 1))
            return prior.revision, entry.prior.number
        if entry.id != prior.id:
            entry = collection.rename(entry.id, prior.id)
            changes.append(Change(entry.id, "renamed", entry.prior.number))
        if entry.status != "active":
            if entry.status == "removed" and prior.revision == row.sha256:
                return row.sha256, row.revision  # what was removed, and has yet to go
            entry = collection.take_back(entry.id, prior.text)
            changes.append(Change(entry.id, "back", entry.prior.number))
        elif prior.revision in (entry.prior.revision, row.sha256):
            if entry.gone:
                collection.set_gone(entry.id, False)
                changes.append(Change(entry.id, "back", entry.prior.number))
            if prior.revision != entry.prior.revision:
                return row.sha256, row.revision  # only the base's text is new
        elif entry.prior.number > row.revision:
            self._keep_both(prior, entry)
            changes.append(Change(entry.id, "conflict", entry.prior.number))
            return prior.revision, row.revision
        else:
            entry = collection.edit(entry.id, prior.text, author="file")
            changes.append(Change(entry.id, "edited", entry.prior.number))
        return prior.revision, entry.prior.number

    def _keep_both(self, prior: Prior, entry: Entry) -> None:
        """Lay the file's text beside it, where the base has another one by now."""
        folder = self.collection.folder
        for number in range(1, 1000):
            path = folder / f"{entry.id}.conflict-{number}.md"
            try:
                if path.read_text(encoding="utf-8") == prior.text:
                    break  # by a pass that was killed before it could take note
            except FileNotFoundError:
                _write_atomically(path, prior.text)
                break
            except (OSError, UnicodeDecodeError):
                continue
        told = (
            f"'{entry.id}' was edited in its file and in the base at once: the base's text (revision "
            f"{entry.prior.number}) stands in {entry.id}.md, the file's is kept here. Take over what is missing, then "
            "delete this file"
        )
        with self.collection.store.writing() as db:
            _keep(db, self.collection, path.name, _Row("?", "", 0, told))

    def _take_vanished(self, db: sqlite3.Connection, name: str, row: _Row, again: bool, changes: list[Change]) -> None:
        """Note that a file is not there any more; `again`: another one has its name, but for case."""
        stem = Path(name).stem
        entry = None if is_conflict(stem) else self.collection.find(stem)
        if entry is None or entry.status != "active" or entry.id != stem or again:
            db.execute("DELETE FROM files WHERE collection = ? AND name = ?", (self.collection.id, name))
            return
        _keep(db, self.collection, name, row._replace(stamp="", problem=""))
        if entry.prior.number <= row.revision and not entry.gone:
            self.collection.set_gone(entry.id, True)
            changes.append(Change(entry.id, "gone", entry.prior.number))

    # To the files

    def _write_out(self) -> tuple[bool, list[Change]]:
        """Write what is newer in the base; returns whether nothing is left to write, and what was done."""
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
        changes: list[Change] = []
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
                changes.append(Change(prior_id, "deleted", 0))
            else:
                entry = collection.get(prior_id)
                if row.sha256 != entry.prior.revision or not row.stamp:
                    if not _write_atomically(path, entry.prior.text, untouched):
                        complete = False
                        continue
                    changes.append(Change(prior_id, "written", entry.prior.number))
                written = stamp_of(path)
                kept[path.name] = _Row(_written(written), entry.prior.revision, entry.prior.number, "")
        if kept:
            with collection.store.writing() as db:
                for name, new in kept.items():
                    if new is None:
                        db.execute("DELETE FROM files WHERE collection = ? AND name = ?", (collection.id, name))
                    else:
                        _keep(db, collection, name, new)
        return complete, changes

    def _untouched(self, path: Path, row: _Row) -> bool:
        """Whether the file is still what the base knows, so that writing over it loses nothing."""
        now = stamp_of(path)
        if now is None or not row.stamp:
            return now is None
        if _written(now) == row.stamp:
            return True
        found = read_prior(path)
        return isinstance(found, Prior) and found.revision == row.sha256


def problems_of(collection: Collection) -> list[Problem]:
    """What a person should look at, as the last pass of any process found it.

    Raises:
        BaseError: the base cannot be read.
    """
    with collection.store.reading() as db:
        rows = db.execute(
            "SELECT name, problem FROM files WHERE collection = ? AND problem != '' ORDER BY name", (collection.id,)
        ).fetchall()
    return [Problem(*row) for row in rows]


def _key(name: str) -> str:
    return key_of(name.removesuffix(".md"))


def _stamps(collection: Collection) -> dict[str, str]:
    """What the base remembers of the files that there are: name and stamp."""
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
    """Priors whose files are not there any more, by the sha256 of their texts."""
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


def _keep(db: sqlite3.Connection, collection: Collection, name: str, row: _Row) -> None:
    db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", (collection.id, printable(name), *row))


def _written(stamp: Stamp | None) -> str:
    return "" if stamp is None else f"{stamp.mtime_ns} {stamp.ctime_ns} {stamp.size} {stamp.inode}"


def _write_atomically(path: Path, text: str, untouched: Callable[[], bool] = lambda: True) -> bool:
    """Replace a file so that nobody ever reads half of it; its line ends stay as they are.

    False: it was not replaced, since somebody saved it meanwhile, as `untouched` tells at the last instant.
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
def _elected(path: Path, seconds: float) -> Iterator[bool]:
    """Hold the lock file that lets one process at a time touch the files; False where another one keeps it."""
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
