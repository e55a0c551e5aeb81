"""Watch the runs of other machines, each in a thread: one that does not answer holds up nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.errors import EvolveError
from engine.runs.hosts import Host, Question
from tui.feed.run_row import RunRow, remote_row

__all__ = ["HostsWatch"]

_SECONDS = 30.0
_MOST = 32


class HostsWatch:
    """Asks each machine for its runs every half minute while the list is visible.

    Args:
        hosts: the machines by name; those beyond 32 are not asked.
        post: called from a thread with the name of a machine and its rows; one row with a reason if it is not reached.
    """

    def __init__(self, hosts: Mapping[str, Host], post: Callable[[str, list[RunRow]], None]) -> None:
        self._hosts = dict(list(hosts.items())[:_MOST])
        self._post = post
        self._wakes = {name: threading.Event() for name in self._hosts}
        self._asked: dict[str, Question] = {}
        self._looking = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the threads."""
        self._looking.set()
        for name, host in self._hosts.items():
            threading.Thread(target=self._work, args=(name, host), name=f"host-{name}", daemon=True).start()

    def look(self, looking: bool) -> None:
        """Ask only while the list is visible."""
        (self._looking.set if looking else self._looking.clear)()

    def wake(self) -> None:
        """Ask now."""
        for wake in self._wakes.values():
            wake.set()

    def stop(self) -> None:
        """Stop, and end every ssh that waits for an answer."""
        self._stopped.set()
        self._looking.set()
        self.wake()
        for question in list(self._asked.values()):
            question.cancel()

    def _work(self, name: str, host: Host) -> None:
        wake = self._wakes[name]
        while True:
            self._looking.wait()
            if self._stopped.is_set():
                return
            rows = self._ask(name, host)
            if self._stopped.is_set():
                return
            self._post(name, rows)
            wake.wait(_SECONDS)
            wake.clear()

    def _ask(self, name: str, host: Host) -> list[RunRow]:
        try:
            question = self._asked[name] = Question(host, ["--archived", "--disk"])
            if self._stopped.is_set():
                question.cancel()
            found = question.answer()
        except EvolveError as exc:
            return [RunRow(Path(host.address), "away", trouble=str(exc), on=name)]
        finally:
            self._asked.pop(name, None)
        return [remote_row(name, run) for run in found]
