"""Give each run of a campaign an engine until it ends, some at once; go on with those that were interrupted."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from engine.errors import JournalError, RunError
from engine.evaluation.supervisor.folders import remove_tree
from engine.runs.asking import hand_over
from engine.runs.campaigns.plan import Campaign, PlannedRun, check_begun
from engine.runs.create import check_file_system, create_run
from engine.runs.folder import Run, is_alive
from engine.runs.status import RunSummary, summarize

__all__ = ["work"]

_POLL_SECONDS = 0.05
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Told = Callable[[PlannedRun, RunSummary | None, str], None]
"""Called when a run begins or goes on, with which of the two and no summary, and when its engine has ended, with its
summary and, if it gave no reason, the engine's last words."""


def work(campaign: Campaign, parallel: int, told: Told, first: Callable[[], None] | None = None) -> bool:
    """Work until every run has ended; return False if a signal ended the work before.

    Finished runs are kept. A run without an engine goes on where it was, and one that still has an engine, which
    outlives a killed campaign, is waited for. SIGINT lets running stages finish, SIGTERM or a second SIGINT does not;
    either way a further call goes on from there.

    Args:
        campaign: the campaign.
        parallel: runs at once.
        told: called as runs begin and end.
        first: called before anything else once no other process can work on the campaign.

    Raises:
        UsageError: a run that is there does not fit the campaign.
        RunError: another process works on the campaign, or a folder cannot be written.
        JournalError: a run cannot be read.
    """
    with _locked(campaign):
        if first is not None:
            first()
        check_begun(campaign)
        waiting = deque(planned for planned in campaign.runs if not _finished(planned.run))
        shift = _Shift(told)
        with shift.signals():
            while (waiting and not shift.stopping) or shift.engines:
                while waiting and not shift.stopping and len(shift.engines) < parallel:
                    shift.start(waiting.popleft())
                time.sleep(_POLL_SECONDS)
                shift.pass_signals_on()
                shift.look()
        return not shift.stopping


class _Shift:
    """The engines at work.

    Args:
        told: called as runs begin and end.
    """

    def __init__(self, told: Told) -> None:
        self.engines: list[tuple[PlannedRun, subprocess.Popen[bytes] | None]] = []
        """Runs with their engines; None for an engine that an earlier call left."""
        self.stopping = False
        self._told = told
        self._signals: list[int] = []
        """Received and not passed on yet: a handler does as little as it can."""

    def start(self, planned: PlannedRun) -> None:
        """Begin a run, go on with it, or wait for the engine that it has."""
        run, adopted = planned.run, is_alive(planned.run)
        begun = run.db.is_file()
        if not begun:
            if run.folder.exists():
                # The folder of a run whose making was interrupted: its journal is put there last.
                remove_tree(str(run.folder))
            create_run(planned.case.loaded, planned.settings, run.folder.parent, run.name)
        self._told(planned, None, "still has an engine" if adopted else "goes on" if begun else "begins")
        self.engines.append((planned, None if adopted else _spawn(run)))

    def look(self) -> None:
        """Take away the engines that have ended."""
        for entry in list(self.engines):
            planned, engine = entry
            if engine is None:
                if is_alive(planned.run):
                    continue
                code = 0
            elif (found := engine.poll()) is None:
                continue
            else:
                code = found
            self.engines.remove(entry)
            if code and is_alive(planned.run):
                # A campaign that was killed had just started one, which took the run first.
                self._told(planned, None, "still has an engine")
                self.engines.append((planned, None))
                continue
            summary = summarize(planned.run)
            words = "" if code == 0 or summary["reason"] else _last_line(planned.run)
            self._told(planned, summary, words)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM: no engine is started after one, and those at work get it."""
        before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True
        self._signals.append(number)

    def pass_signals_on(self) -> None:
        """Give the engines the signals that came meanwhile."""
        while self._signals:
            number = self._signals.pop(0)
            for planned, engine in self.engines:
                if engine is not None:
                    engine.send_signal(number)
                else:
                    with suppress(RunError, JournalError):
                        hand_over(planned.run, "stop", {"now": number == signal.SIGTERM})


def _spawn(run: Run) -> subprocess.Popen[bytes]:
    """Start a run's engine in a session of its own, so that a terminal's Ctrl-C reaches it through `work` only."""
    with run.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "engine", str(run.folder), "--unattended"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=run.folder,
        )  # fmt: skip


def _finished(run: Run) -> bool:
    return run.db.is_file() and summarize(run)["status"] == "finished"


def _last_line(run: Run) -> str:
    lines = run.log.read_text("utf-8", "replace").strip().splitlines() if run.log.exists() else []
    return lines[-1] if lines else ""


@contextmanager
def _locked(campaign: Campaign) -> Iterator[None]:
    """Hold the campaign's lock: one process works on it."""
    check_file_system(campaign.folder)
    try:
        campaign.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(campaign.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise RunError(f"{exc.filename} cannot be written: {exc.strerror}", "Name another folder with --out") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RunError(
            f"another process works on the campaign in {campaign.folder}", "--summary shows how far it has come"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)
