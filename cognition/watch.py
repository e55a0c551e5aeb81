"""Wake a callback when a file in one of several folders changes, by the operating system's events.

A folder may be missing, deleted, replaced or reached through symbolic links. If the kernel reports no changes for it (a
network file system, FUSE) or refuses a watch (the user's limit), the callback is called at an interval instead, and the
log says why, once for each reason.

Subfolders are not watched unless they are named: a task's folder may hold a large data set or the runs themselves. If
an ancestor of a folder is renamed and another one takes its place, no event says so.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Self

from cognition.mounts import file_system_type, reports_changes

__all__ = ["Watch"]

_log = logging.getLogger(__name__)

_STEP_MS = 25
"""The library looks for new events so often, and returns once a step brought none: 25 to 50 ms after the last event.
Waiting costs 0.15 % of a core; with steps of 50 ms it is 0.07 %, and a save is seen after 96 ms instead of 39."""
_DEBOUNCE_MS = 200
"""The longest that events which follow each other without a pause are gathered."""
_REST_SECONDS = 0.2
"""The shortest time between two calls: a file that is written without end must not keep a core busy."""
_LINKS = 40
"""As many links in one path as Linux follows."""


class _Target(NamedTuple):
    """What to watch in one folder."""

    names: set[str]
    """Entries that matter; empty if all do."""
    steps: set[str]
    """Those of them that lead, or may lead, to a folder to watch: once one changes, the targets are others."""


class Watch:
    """Calls `wake` in a thread of its own after changes in any of the paths.

    It is also called once when a watch begins, since something may have changed before that. It must return quickly.

    Args:
        paths: folders, whose entries are watched, and single files; any may be missing.
        wake: the callback.
        poll_seconds: the interval between calls if there are no events.
        reports: says whether the kernel reports the changes of a file system of this type.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        wake: Callable[[], object],
        poll_seconds: float = 3.0,
        reports: Callable[[str], bool] = reports_changes,
    ) -> None:
        self._paths = frozenset(paths)
        self._wake = wake
        self._poll_seconds = poll_seconds
        self._reports = reports
        self._stopped = False
        self._interrupt = threading.Event()
        """Set when the thread must stop or watch other paths."""
        self._logged: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; afterwards nothing is called any more."""
        self._stopped = True
        self._interrupt.set()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def set_paths(self, paths: Iterable[Path]) -> None:
        """Watch these paths instead. The same paths as before change nothing."""
        new = frozenset(paths)
        if new != self._paths:
            self._paths = new
            self._interrupt.set()

    # Called in the thread

    def _work(self) -> None:
        while not self._stopped:
            self._interrupt.clear()
            paths = self._paths
            reasons = [reason for path in sorted(paths) if (reason := self._unreported(path))]
            for reason in reasons:
                self._log_once(reason)
            self._watch(paths, polled=bool(reasons))

    def _watch(self, paths: Iterable[Path], polled: bool) -> None:
        """Wait for events and call `wake`, until it has to be determined again what to watch."""
        # Loaded here: the package takes 9 ms and 2 MB, which a command that watches nothing need not pay.
        from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

        try:
            targets = _targets(paths)
            notify = RustNotify(sorted(targets), False, False, 0, False, False)
        except FileNotFoundError:
            self._interrupt.wait(_REST_SECONDS)  # a folder or a link was removed just now
            return
        except (OSError, WatchfilesRustInternalError) as exc:
            self._log_once(f"file changes are not reported: {exc}")
            self._call()
            self._interrupt.wait(self._poll_seconds)
            return
        try:
            self._call()
            timeout_ms = int(self._poll_seconds * 1000) if polled else 0
            while not self._interrupt.is_set():
                try:
                    found = notify.watch(_DEBOUNCE_MS, _STEP_MS, timeout_ms, self._interrupt)
                except WatchfilesRustInternalError:
                    return  # a file's name is not valid UTF-8: the next watch begins with a call
                if isinstance(found, str):
                    return  # stopped, or time to poll: the next watch begins with a call
                changed = [path for _, path in found if _matters(targets, path)]
                if any(_moves(targets, path) for path in changed):
                    return
                if changed:
                    self._call()
        finally:
            notify.close()

    def _call(self) -> None:
        if not self._stopped:
            self._wake()
            self._interrupt.wait(_REST_SECONDS)

    def _unreported(self, path: Path) -> str:
        kind = file_system_type(path)
        if self._reports(kind):
            return ""
        return f"{path} is on a file system ({kind}) that does not report all changes"

    def _log_once(self, reason: str) -> None:
        if reason not in self._logged:
            self._logged.add(reason)
            _log.warning("%s: looking for changes every %g s", reason, self._poll_seconds)


def _targets(paths: Iterable[Path]) -> dict[str, _Target]:
    """Return what to watch, by the folder's path without symbolic links.

    Of a folder that exists, that is itself, and the place of each link on the way to it; of a file, its folder, for
    its name; of a missing path, the nearest ancestor, for the next name.
    """
    targets: dict[str, _Target] = {}
    whole = set()
    root = Path("/")
    for path in paths:
        at = root
        left = list(reversed(path.absolute().parts[1:]))
        links = 0
        while left:
            name = left.pop()
            here = at / name
            if name == "..":
                at = at.parent
            elif here.is_symlink() and links < _LINKS:
                links += 1
                if at != root:  # a link there stays, and on macOS whoever watches the root folder watches everything
                    _add(targets, at, name, step=True)
                to = here.readlink()
                left.extend(reversed(to.parts[1:] if to.is_absolute() else to.parts))
                at = root if to.is_absolute() else at
            elif here.is_dir():
                at = here
            else:
                _add(targets, at, name, step=bool(left) or not here.exists())
                break
        else:
            whole.add(str(at))
    for folder in whole:
        steps = targets[folder].steps if folder in targets else set()
        targets[folder] = _Target(set(), steps)
    return targets


def _add(targets: dict[str, _Target], folder: Path, name: str, step: bool) -> None:
    target = targets.setdefault(str(folder), _Target(set(), set()))
    target.names.add(name)
    if step:
        target.steps.add(name)


def _matters(targets: dict[str, _Target], path: str) -> bool:
    """Return whether a change at this path, which is in one of the folders or is one, matters."""
    folder, name = os.path.split(path)
    target = targets.get(folder)
    return path in targets or (target is not None and (not target.names or name in target.names))


def _moves(targets: dict[str, _Target], path: str) -> bool:
    """Return whether a change at this path may mean that other folders have to be watched."""
    folder, name = os.path.split(path)
    return path in targets or (folder in targets and name in targets[folder].steps)
