"""Fork: make a new run that begins as a copy of another one up to some event and continues on its own."""

from __future__ import annotations

import itertools
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.errors import EvolveError, RunError, UsageError
from engine.journal.blobs import DICTIONARY, insert_blob
from engine.journal.clock import now_ms
from engine.journal.database import create_journal, insert_event, insert_meta, sha256_of
from engine.journal.events import (
    BestCrowned,
    Data,
    EvalDone,
    Event,
    LearnDone,
    PriorChanged,
    RunForked,
    RunStarted,
    RunWarmed,
    SettingsChanged,
    StandstillEnded,
    VerifyDone,
    encode_data,
)
from engine.journal.reader import JournalReader
from engine.priors.place import priors_of
from engine.runs.changes import check_fitness, check_set
from engine.runs.create import check_file_system, make_folder
from engine.runs.folder import Run
from engine.runs.prior_files import unpack_priors
from engine.runs.secret import copy_secret
from engine.settings.decode import deep_merge
from engine.state.fold import apply, fold_run
from engine.state.run_state import RunState

__all__ = ["Fork", "fork_run"]

_BLOB = re.compile(r'(?<!"digest"):"([0-9a-f]{64})"')
"""A field of an event that may name a blob; in JSON a quote inside of a text never stands bare."""
_PAGE = 500
_TOGETHER = {
    (RunStarted, RunWarmed),
    (VerifyDone, EvalDone),
    (EvalDone, BestCrowned),
    (EvalDone, StandstillEnded),
    (BestCrowned, StandstillEnded),
}
"""Events of the run, or of one node, that are written in one transaction, one after the other."""
_MOST_TOGETHER = 4


class Fork(NamedTuple):
    """A new fork."""

    run: Run
    at_seq: int
    """The last event that it shares with the other run."""
    own_priors: int | None
    """How many priors it copied; None if it reads the other run's folder, live."""


def fork_run(
    source: Run,
    runs: Path,
    *,
    at_seq: int | None = None,
    seed: int | None = None,
    priors_at_seq: bool = False,
    change: Mapping[str, Any] | None = None,
    name: str = "",
    allow_network_fs: bool = False,
) -> Fork:
    """Write a new self-contained run with another run's events up to one of them and the blobs they refer to.

    The other run may be live, finished, dead, or in a folder that cannot be written; it is only read. Rounds that are
    open at `at_seq` go on from their last durable stage when the fork is resumed.

    Args:
        source: the run to copy.
        runs: the folder for the new run.
        at_seq: the last event to copy; the newest by default.
        seed: a new seed for all later draws; the other run's by default.
        priors_at_seq: read the priors as the journal last had them at `at_seq`, from a folder of the fork's own.
            Priors that no design had been shown by then are not among them. By default they are read live, as the
            other run reads them.
        change: settings to change, nested as in `Settings`.
        name: the new run's name; by default made of the other's name and `at_seq`.
        allow_network_fs: write it even on a network file system.

    Raises:
        UsageError: there is no such event, or the settings do not fit.
        RunError: the name is taken, or the folder cannot be written.
        JournalError: the other run cannot be read.
    """
    with JournalReader(source.db) as reader:
        last = reader.last_seq()
        at = last if at_seq is None else at_seq
        if not 1 <= at <= last:
            raise UsageError(f"run '{source.name}' has no event {at}; its events are 1 to {last}")
        state = fold_run(reader, at)
        settings = _settings(state, seed, change or {})
        priors = _own_priors(source, reader, state, at, priors_at_seq)
        if not allow_network_fs:
            check_file_system(runs)
        folder = make_folder(runs, name or f"{source.name}-at-{at}", exact=bool(name))
        forked = RunForked(
            parent=str(source.folder),
            at_seq=at,
            own_priors=priors is not None,
            prior_files={file: sha256_of(content) for file, content in (priors or {}).items()},
        )
        own: list[tuple[Data, int | None, int | None]] = [(forked, None, None), *_torn(reader, at)]
        if settings:
            own.append((SettingsChanged(settings), None, None))
        for seq, (data, round_, node) in enumerate(own, start=at + 1):
            apply(state, Event(seq, now_ms(), round_, node, data))
        own += _crowned(state)
        try:
            _write(reader, folder / "new.db", at, own, list((priors or {}).values()))
            unpack_priors(Run(folder), state, {sha256_of(text): text for text in (priors or {}).values()}.__getitem__)
            copy_secret(source.folder, folder, state.secret)
            (folder / "new.db").rename(folder / "run.db")
        except BaseException as exc:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(exc, EvolveError) or not isinstance(exc, OSError | sqlite3.Error):
                raise
            raise RunError(f"{folder} cannot be written: {exc}") from None
    return Fork(Run(folder), at, None if priors is None else len(priors))


def _settings(state: RunState, seed: int | None, change: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the fork changes, checked against those at its event."""
    settings = deep_merge(change, {} if seed is None else {"seed": seed})
    # Nothing is drawn yet with the new seed, so that here it may change.
    before = msgspec.structs.replace(state.settings, seed=settings.get("seed", state.settings.seed))
    after = check_set(before, settings)
    if after.fitness != before.fitness:
        check_fitness(state, after)
    return settings


def _own_priors(source: Run, reader: JournalReader, state: RunState, at: int, at_seq: bool) -> dict[str, bytes] | None:
    """Return the priors that the fork copies, by file name; None if it keeps reading the other run's folder."""
    if at_seq:
        return {f"{prior}.md": reader.blob(sha256) for prior, sha256 in _priors_at(reader, at).items()}
    if state.forked is None or not state.forked.own_priors:
        return None
    # The other run's priors are its own: theirs of today are copied, since that folder may go away with its run.
    folder = priors_of(source.folder, state)
    if folder.is_dir():
        return {path.name: path.read_bytes() for path in sorted(folder.glob("*.md")) if path.is_file()}
    return {file: reader.blob(sha256) for file, sha256 in state.forked.prior_files.items()}


def _priors_at(reader: JournalReader, at: int) -> dict[str, str]:
    """Return id and revision of every prior as last recorded up to an event."""
    known: dict[str, str] = {}
    for event in reader.events(upto=at):
        match event.data:
            case LearnDone() as data:
                known |= {shown.id: shown.revision for shown in data.priors}
            case PriorChanged(change="disabled" | "removed") as data:
                known.pop(data.id, None)
            case PriorChanged() as data if data.revision and reader.stored_blob(data.revision) is not None:
                known[data.id] = data.revision
            case RunForked(own_priors=True) as data:
                known = {Path(file).stem: sha256 for file, sha256 in data.prior_files.items()}
    return known


def _torn(reader: JournalReader, at: int) -> list[tuple[Data, int | None, int | None]]:
    """Return the events of the last copied event's transaction that follow it and that the search needs."""
    first, *rest = reader.events(after=at - 1, upto=at + _MOST_TOGETHER - 1)
    torn: list[tuple[Data, int | None, int | None]] = []
    for before, event in itertools.pairwise([first, *rest]):
        if (type(before.data), type(event.data)) not in _TOGETHER or event.node != before.node:
            break
        torn.append((event.data, event.round, event.node))
    return torn


def _crowned(state: RunState) -> list[tuple[Data, int | None, int | None]]:
    """Return the crowning of another best, if the fork's fitness puts one above the best of the run."""
    best = state.next_best()
    if best is None or best.score is None or state.best is None:
        return []
    return [(BestCrowned(score=best.score, previous=state.best), best.round, best.id)]


def _write(
    reader: JournalReader,
    path: Path,
    at: int,
    own: list[tuple[Data, int | None, int | None]],
    contents: list[bytes],
) -> None:
    connection = create_journal(path)
    try:
        connection.execute("BEGIN")
        named: dict[str, None] = {}
        for page in _pages(reader, at):
            connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", page)
            for row in page:
                named |= dict.fromkeys(_BLOB.findall(row[5]))
        for data, _, _ in own:
            named |= dict.fromkeys(_BLOB.findall(encode_data(data).decode()))
        dictionary = reader.dictionary_name()
        if dictionary:
            insert_meta(connection, DICTIONARY, dictionary)
        for sha256 in [dictionary, *named] if dictionary else named:
            stored = reader.stored_blob(sha256)
            if stored is not None:
                connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", stored)
        for content in contents:
            insert_blob(connection, content)
        time = now_ms()
        for seq, (data, round_, node) in enumerate(own, start=at + 1):
            insert_event(connection, Event(seq, time, round_, node, data))
        connection.execute("INSERT INTO meta VALUES ('forked_at', ?)", (str(time),))
        connection.execute("COMMIT")
    finally:
        connection.close()


def _pages(reader: JournalReader, at: int) -> Iterator[list[tuple[Any, ...]]]:
    page: list[tuple[Any, ...]] = []
    for row in reader.rows(upto=at):
        page.append(row)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
