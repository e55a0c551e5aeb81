"""Watch the runs of a folder in a thread: fold a long run once, then only its new events."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import EvolveError
from engine.journal.clock import local_time
from engine.journal.events import SettingsChanged
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, all_runs, is_alive
from engine.runs.labels import read_labels
from engine.runs.status import RunSummary, best_of, kept_summary, run_summary, started_ms, summary_of
from engine.state.fold import apply, damage_named, first_state
from engine.state.run_state import RunState
from tui.feed.disk_sizes import DiskSizes
from tui.feed.run_row import RunRow

__all__ = ["RunsWatch", "since"]


class RunsWatch:
    """Checks a folder of runs once a second and posts the list when it changed.

    Args:
        runs: the folder.
        post: called from the thread with all rows, newest first.
    """

    def __init__(self, runs: Path, post: Callable[[list[RunRow]], None]) -> None:
        self._runs = runs
        self._post = post
        self._stopped = threading.Event()
        self._looking = threading.Event()
        self._wake = threading.Event()
        self._known: dict[Path, tuple[object, RunRow]] = {}
        self._states: dict[Path, RunState] = {}
        self._sizes = DiskSizes(self._wake.set)
        self._last: list[RunRow] | None = None

    def start(self) -> None:
        """Start the thread."""
        self._looking.set()
        threading.Thread(target=self._work, name="runs-watch", daemon=True).start()
        self._sizes.start()

    def look(self, looking: bool) -> None:
        """Poll only while the list is visible."""
        if looking:
            self._last = None
            self._looking.set()
            self._wake.set()
        else:
            self._looking.clear()

    def wake(self) -> None:
        """Poll now."""
        self._wake.set()

    def stop(self) -> None:
        """Stop at the next poll."""
        self._stopped.set()
        self._looking.set()
        self._wake.set()
        self._sizes.stop()

    def _work(self) -> None:
        while not self._stopped.is_set():
            self._looking.wait()
            if self._stopped.is_set():
                return
            rows = [self._row(run) for run in all_runs(self._runs)]
            rows.sort(key=lambda row: (row.started, row.name), reverse=True)
            if rows != self._last:
                self._last = rows
                self._post(rows)
            self._wake.wait(1.0)
            self._wake.clear()

    def _row(self, run: Run) -> RunRow:
        try:
            stat = run.db.stat()
            wal = Path(f"{run.db}-wal")
            moment = (
                stat.st_ino,
                stat.st_size,
                stat.st_mtime_ns,
                wal.stat().st_mtime_ns if wal.exists() else 0,
                is_alive(run),
            )
            known = self._known.get(run.folder)
            row = known[1] if known is not None and known[0] == moment else self._read(run)
        except (EvolveError, OSError) as exc:
            return self._with_labels(RunRow(run.folder, "broken", trouble=str(exc)))
        self._known[run.folder] = (moment, row)
        return self._with_labels(msgspec.structs.replace(row, disk=self._sizes.of(run, moment)))

    def _with_labels(self, row: RunRow) -> RunRow:
        labels = read_labels(row.folder)
        return msgspec.structs.replace(row, tags=labels.tags, archived=labels.archived)

    def _read(self, run: Run) -> RunRow:
        alive = is_alive(run)
        with JournalReader(run.db) as reader:
            kept = None if alive else kept_summary(reader)
            if kept is not None:
                first = next(reader.events(upto=1), None)
                settings = getattr(first.data, "settings", {}) if first is not None else {}
                for changed in reader.events_of(SettingsChanged):
                    settings = settings | getattr(changed.data, "settings", {})
                settings = settings | _pending_settings(reader)
                return _row_of(run, run_summary(run, kept, alive), int(settings.get("rounds", 0)))
            state = self._states.pop(run.folder, None) or first_state(reader)
            with damage_named(run.db):
                for event in reader.events(after=state.seq):
                    apply(state, event)
            pending = _pending_settings(reader)
        if alive:
            # Read a dead run once; fold a live one further next time.
            self._states[run.folder] = state
        rounds = int(pending.get("rounds", state.settings.rounds))
        return _row_of(run, run_summary(run, summary_of(state), alive), rounds)


def _row_of(run: Run, summary: RunSummary, rounds_total: int) -> RunRow:
    return RunRow(
        run.folder,
        summary["status"],
        summary["task"],
        summary["rounds"],
        rounds_total,
        summary["nodes"],
        *best_of(summary),
        started_ms(summary),
        summary["host"],
        summary["to_record"],
    )


def _pending_settings(reader: JournalReader) -> dict[str, Any]:
    """Return settings that wait for the run's next engine, which applies them first."""
    settings: dict[str, Any] = {}
    for command in reader.pending():
        table = command.data.get("settings")
        if command.kind == "set" and isinstance(table, dict):
            settings |= table
    return settings


def since(milliseconds: int) -> str:
    """Return the local time of a run's start."""
    return local_time(milliseconds) if milliseconds else ""
