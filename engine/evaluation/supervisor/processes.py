"""Find, measure, stop and end the processes of an evaluation."""

# ruff: noqa: PTH208

from __future__ import annotations

import os
import select
import signal
import time

__all__ = ["Watch", "continue_tree", "describe_exit", "end_tree", "find_tree", "read_pss", "send_signal", "stop_tree"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def _read_stat(pid: int) -> tuple[int, str, float, int, float, int] | None:
    """Return a process's parent, state, CPU seconds (with reaped children's), resident bytes, own CPU, and threads.

    None if it has ended.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    own = int(fields[11]) + int(fields[12])
    ticks = own + int(fields[13]) + int(fields[14])
    return int(fields[1]), fields[0].decode(), ticks / _TICKS, int(fields[21]) * _PAGE, own / _TICKS, int(fields[17])


def read_pss(pid: int) -> int | None:
    """Return a process's proportional set size in bytes (shared pages divided by their users); None if unreadable."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended or is not dumpable: the caller counts resident memory instead
    return None


def _list_pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def find_tree(root: int) -> dict[int, str]:
    """Scan /proc and return every descendant of a process with its state."""
    children: dict[int, list[tuple[int, str]]] = {}
    for pid in _list_pids():
        stat = _read_stat(pid)
        if stat is not None:
            children.setdefault(stat[0], []).append((pid, stat[1]))
    tree: dict[int, str] = {}
    pending = [root]
    while pending:
        for pid, state in children.get(pending.pop(), []):
            tree[pid] = state
            pending.append(pid)
    return tree


class Watch:
    """Scan the process tree repeatedly at low cost: read only processes that are new or known to belong to it."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.ours: set[int] = set()
        self.foreign: set[int] = set()
        self.helpers: set[int] = set()
        """Processes of the tree that are ours, not the task's: neither they nor their memory count."""
        self.threads = 0
        """Threads of all processes at the last look; a zombie counts as one."""
        self.own_cpu: dict[int, float] = {}
        """CPU seconds of each process when it was last seen."""
        self.ended_cpu = 0.0
        """The same of all that have ended since."""

    def seen(self) -> float:
        """Return the CPU seconds of every process ever seen, as far as it was seen.

        A child that no process waits for adds its time to none.
        """
        return self.ended_cpu + sum(self.own_cpu.values())

    def look(self, most: int) -> tuple[int, float, dict[int, int]]:
        """Return live processes, their CPU seconds and resident bytes of each; stop counting above `most` processes."""
        self._take_in(most)
        alive, cpu, resident = 0, 0.0, {}
        self.threads = 0
        for pid in self.ours:
            stat = _read_stat(pid)
            if stat is not None:
                cpu += stat[2]
                self.own_cpu[pid] = max(stat[4], self.own_cpu.get(pid, 0.0))
                if pid in self.helpers:
                    continue
                if stat[1] != "Z":
                    alive += 1
                    resident[pid] = stat[3]
                self.threads += max(1, stat[5])
            if alive > most:
                break
        return alive, cpu, resident

    def below(self, root: int, most: int) -> list[int]:
        """Return the descendants of a process of the tree; as `look`, read no process that is known to be foreign."""
        self._take_in(most)
        children: dict[int, list[int]] = {}
        for pid in self.ours:
            stat = _read_stat(pid)
            if stat is not None:
                children.setdefault(stat[0], []).append(pid)
        found = list(children.get(root, []))
        for pid in found:  # it grows meanwhile
            found += children.get(pid, [])
        return found

    def _take_in(self, most: int) -> None:
        """List the processes, forget those that have ended, and place those that are new."""
        listed = _list_pids()
        for pid in self.ours - listed:
            self.ended_cpu += self.own_cpu.pop(pid, 0.0)
        self.ours &= listed
        self.foreign &= listed
        unknown = {}
        for pid in sorted(listed - self.ours - self.foreign - {self.root}):
            stat = _read_stat(pid)
            if stat is None:
                continue
            # A process whose parent is still unknown is retried in the rounds below, or at the next scan.
            if not self.place(pid, stat[0]):
                unknown[pid] = stat[0]
            elif len(self.ours) > 16 * most + 256:
                break  # a fork bomb: acting soon matters more than an exact count
        while placed := [pid for pid, parent in unknown.items() if self.place(pid, parent)]:
            for pid in placed:
                del unknown[pid]

    def place(self, pid: int, parent: int) -> bool:
        """Record whether a process belongs to the tree, if its parent is known; return whether it is."""
        if parent in self.ours or parent == self.root:
            self.ours.add(pid)
        elif parent in self.foreign or parent == 0:
            self.foreign.add(pid)
        else:
            return False
        return True


def send_signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has already ended


def stop_tree(root: int) -> None:
    """Stop every descendant of a process; repeat until none runs, since one may start or continue another meanwhile."""
    deadline = time.monotonic() + 1.0  # one that waits for a disk stops when it is served
    while time.monotonic() < deadline:
        running = [pid for pid, state in find_tree(root).items() if state not in "TtZX"]
        for pid in running:
            send_signal(pid, signal.SIGSTOP)
        if not running:
            return
        time.sleep(0.002)


def continue_tree(root: int) -> None:
    """Continue every descendant of a process."""
    for pid in find_tree(root):
        send_signal(pid, signal.SIGCONT)


def end_tree(root: int, wake: int, wrapped: bool, seconds: float) -> bool:
    """Kill and reap every descendant of this process; return whether all ended in time.

    Args:
        root: this process.
        wake: a descriptor that becomes readable when a child has ended.
        wrapped: whether a namespace kills them, so that /proc is scanned only if that takes long.
        seconds: the time limit.
    """
    began, pause = time.monotonic(), 0.001
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        passed = time.monotonic() - began
        if passed > seconds:
            return False
        if not wrapped or passed > 0.5:
            for pid in find_tree(root):
                send_signal(pid, signal.SIGKILL)
        if select.select([wake], [], [], pause)[0]:
            os.read(wake, 4096)
        else:
            pause = min(2 * pause, 0.05)


def describe_exit(status: int, wrapped: bool) -> tuple[str, int]:
    """Describe how a process ended, and return the signal that ended it (0: none)."""
    code = os.waitstatus_to_exitcode(status)
    number = -code if code < 0 else code - 128 if wrapped and code > 128 else 0
    if not number:
        return f"exited with code {code}", 0
    try:
        return f"was killed by {signal.Signals(number).name}", number
    except ValueError:
        return f"exited with code {code}", 0
