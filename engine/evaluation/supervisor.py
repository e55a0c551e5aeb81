"""The guardian of one evaluation: starts it, limits it, takes its result, ends every process of it.

Run by the engine as `python -I -S supervisor.py FOLDER COMMAND...`, in a session of its own. It needs nothing but the
standard library (Python 3.9 or later) and is a single file with a single thread.

Descriptors it is given:
    0, 1    the engine: lines of JSON; first line in is the job, later ones are orders (freeze, thaw, cancel,
            acknowledge); lines out are `progress`, `fault` and `done`.
    4, 5    the result channel: its own end, and the end that the evaluator gets as descriptor 3.

What it promises:
    - When it ends, no process of the evaluation is left. It is their subreaper, so that whoever loses a parent becomes
      its child, and it ends only when it has no child any more. End of file from the engine ends the evaluation too.
    - A finished result outlives the engine: unless the engine acknowledges `done`, it is left in FOLDER/outcome.json.
      One that was cancelled did not finish, and leaves nothing there.
    - FOLDER/lock is held for as long as any of this may still happen.

A frame on the result channel is four bytes of length (big endian), a header (one line of JSON) and a body that is
passed on unread: arguments and return values of `evolve_task.call`.
"""

# Pathlib would double the time it takes to start.
# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH114, PTH208

from __future__ import annotations

import fcntl
import os
import sys
import time

CHANNEL, CHANNEL_OF_CHILD, FAULT = 4, 5, 3


def hold_lock(folder: str, seconds: float = 10.0) -> int:
    """Lock FOLDER/lock; an earlier supervisor of the same evaluation gets some seconds to go."""
    fd = os.open(folder + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def set_oom_score(score: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError:
        pass  # a kindness to the rest of the machine, not a limit of ours


def set_urgent(urgent: bool) -> None:
    """Come before everything that is watched: among a thousand forks one would else wait a thousand turns to end them.

    Only root may; others are held by RLIMIT_NPROC, which root is not. What an urgent process starts loses its niceness.
    """
    try:
        if urgent:
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        else:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        pass  # see above


class Box:
    """One process that runs under confinement (bubblewrap, or the bare interpreter) and its descriptors."""

    def __init__(self, command: list[str], environment: dict[str, str], channel: int, channel_of_child: int) -> None:
        self.channel = channel
        self.outputs = []
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        writers = []
        for target in (1, 2):
            reader, writer = os.pipe()
            os.set_blocking(reader, False)
            self.outputs.append(reader)
            writers.append(writer)
            actions.append((os.POSIX_SPAWN_DUP2, writer, target))
        actions.append((os.POSIX_SPAWN_DUP2, channel_of_child, 3))
        os.set_blocking(channel, False)
        # Where the machine runs out of memory, the evaluation goes before the engine: what starts now inherits this.
        set_oom_score(500)
        # Python ignores SIGPIPE (13) and SIGXFSZ (25); what is started here shall find them as they are by default.
        self.pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsigdef=(13, 25))
        set_oom_score(0)
        for fd in (*writers, channel_of_child):
            os.close(fd)
        self.ready = False
        self.status: int | None = None
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.call = 0
        self.scratch = ""
        self.reports = False
        """Whether this candidate may send progress."""
        self.seconds: float | None = None
        self.deadline: float | None = None
        self.answer: tuple[dict[str, object], bytes] | None = None
        self.kept = False
        """Whether it stays for the further calls of a session."""
        self.idle = False
        """Whether it is kept and nothing is asked of it just now."""

    def take(self, limit: int) -> tuple[dict[str, object], bytes] | None:
        """The next whole frame that came in, as header and body.

        Raises:
            ValueError: it is no frame, or longer than `limit` bytes.
        """
        if len(self.inbox) < 4:
            return None
        size = int.from_bytes(self.inbox[:4], "big")
        if size > limit:
            raise ValueError(f"a message of {size / 2**20:.1f} MiB, above the limit of {limit / 2**20:.0f} MiB")
        if len(self.inbox) < 4 + size:
            return None
        head, _, body = bytes(self.inbox[4 : 4 + size]).partition(b"\n")
        del self.inbox[: 4 + size]
        try:
            header = json.loads(head)
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict):
            raise ValueError("a message that is not in the agreed form")
        return header, body


_evaluator: Box | None = None
if __name__ == "__main__":
    # Before the imports below: they take as long as the evaluator's interpreter takes to start, so both happen at once.
    # Nothing of the task runs before the job is sent to it, which is after the limits are in place.
    for _fd in (CHANNEL, CHANNEL_OF_CHILD):
        os.set_inheritable(_fd, False)
    try:
        _lock = hold_lock(sys.argv[1])
        _evaluator = Box(sys.argv[2:], dict(os.environ), CHANNEL, CHANNEL_OF_CHILD)
    except OSError as _exc:
        sys.stderr.write(f"{_exc.filename or sys.argv[1]}: {_exc.strerror}\n")
        sys.exit(FAULT)

import base64  # noqa: E402 - see above
import ctypes  # noqa: E402
import errno  # noqa: E402
import json  # noqa: E402
import resource  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402
from typing import Any, Callable, Iterator  # noqa: E402, UP035 - Python 3.9

KEEP = 65536
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
LARGEST = 1e300
MOST_FILES = 100_000
STATUSES = ("ok", "invalid", "crashed", "timeout")


class Capture:
    """What was printed on one stream: the first and the last 64 KiB of it, and how much there was."""

    def __init__(self) -> None:
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = KEEP - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 2 * KEEP:
            del self.tail[:-KEEP]

    def content(self) -> bytes:
        tail = bytes(self.tail[-KEEP:])
        left_out = self.total - len(self.head) - len(tail)
        gap = f"\n... {left_out} bytes left out ...\n".encode() if left_out else b""
        return bytes(self.head) + gap + tail


class Clock:
    """Seconds that an evaluation has been running; it stands still while the evaluation is frozen."""

    def __init__(self) -> None:
        self.before = 0.0
        self.since: float | None = time.monotonic()

    def now(self) -> float:
        return self.before + (time.monotonic() - self.since if self.since is not None else 0.0)

    def stop(self) -> None:
        self.before, self.since = self.now(), None

    def go(self) -> None:
        if self.since is None:
            self.since = time.monotonic()


def read_stat(pid: int) -> tuple[int, str, float, int] | None:
    """A process's parent, state, CPU seconds (reaped children included) and resident bytes; None: it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    ticks = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
    return int(fields[1]), fields[0].decode(), ticks / TICKS, int(fields[21]) * PAGE


def read_pss(pid: int) -> int | None:
    """A process's share of memory in bytes, shared pages divided by their users; None where it may not be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # it is gone or not dumpable: the caller counts what is resident instead
    return None


def list_pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def find_tree(root: int) -> dict[int, str]:
    """Every descendant of a process, with its state, from a fresh look at /proc."""
    children: dict[int, list[tuple[int, str]]] = {}
    for pid in list_pids():
        stat = read_stat(pid)
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
    """A cheap repeated look at the tree: only processes that are new or known to be ours are read."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.ours: set[int] = set()
        self.foreign: set[int] = set()

    def look(self, most: int) -> tuple[int, float, dict[int, int]]:
        """Processes alive, their CPU seconds, and the resident bytes of each; it stops at more than `most` of them."""
        listed = list_pids()
        self.ours &= listed
        self.foreign &= listed
        unknown = {}
        for pid in sorted(listed - self.ours - self.foreign - {self.root}):
            stat = read_stat(pid)
            if stat is None:
                continue
            # A process whose parent is not placed yet waits for the rounds below, or for the next look.
            if not self.place(pid, stat[0]):
                unknown[pid] = stat[0]
            elif len(self.ours) > 2 * most:
                break  # a fork bomb: time matters more than the number
        while placed := [pid for pid, parent in unknown.items() if self.place(pid, parent)]:
            for pid in placed:
                del unknown[pid]
        alive, cpu, resident = 0, 0.0, {}
        for pid in self.ours:
            stat = read_stat(pid)
            if stat is not None:
                cpu += stat[2]
                if stat[1] != "Z":
                    alive += 1
                    resident[pid] = stat[3]
            if alive > most:
                break
        return alive, cpu, resident

    def place(self, pid: int, parent: int) -> bool:
        """Note whose a process is, where its parent tells."""
        if parent in self.ours or parent == self.root:
            self.ours.add(pid)
        elif parent in self.foreign or parent == 0:
            self.foreign.add(pid)
        else:
            return False
        return True


class Scratch:
    """What lies in the folders that an evaluation may write to, counted a slice at a time so that nothing else waits.

    What it reads may change under it, and by the hand of an enemy: it follows no link at the end of a path, and a
    folder that cannot be counted (its path too long, or not to be read) counts as one above the limit.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.excess = ""
        """The limit that is exceeded, in words."""
        self.next = 0.2
        self.walk: Iterator[None] | None = None

    def look(self, folders: list[str], now: float) -> None:
        """Go on counting, or begin anew where the last count is a second old."""
        if self.walk is None and now >= self.next:
            self.walk = self.count(folders)
        if self.walk is not None:
            try:
                next(self.walk)
            except StopIteration:
                self.walk, self.next = None, now + 1.0

    def count(self, folders: list[str]) -> Iterator[None]:
        pending = list(folders)
        size = entries = names = 0
        linked: set[tuple[int, int]] = set()
        while pending:
            folder = pending.pop()
            names -= len(folder)
            try:
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError as exc:
                if exc.errno in (errno.ENAMETOOLONG, errno.EACCES):
                    self.excess = f"scratch limit: a folder that cannot be counted ({exc.strerror})"
                    return
                continue  # it is gone, or no folder any more
            try:
                with os.scandir(fd) as found:
                    for entry in found:
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except OSError:
                            continue  # it is gone
                        entries += 1
                        if status.st_nlink == 1 or (status.st_dev, status.st_ino) not in linked:
                            size += status.st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(f"{folder}/{entry.name}")
                            names += len(pending[-1])
                        elif status.st_nlink > 1:
                            linked.add((status.st_dev, status.st_ino))
                        if size > self.limit:
                            self.excess = f"scratch limit of {self.limit // 2**20} MiB"
                            return
                        if entries > MOST_FILES or names > 2**24:
                            self.excess = f"scratch limit of {MOST_FILES} files"
                            return
                        if entries % 2000 == 0:
                            yield
            except OSError:
                pass  # it went while it was read
            finally:
                os.close(fd)


def send_signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it was faster


def remove_tree(folder: str) -> None:
    """Delete a folder whatever is in it; its depth is flattened, since a hostile one may be deeper than any path.

    Links in it are removed and never followed; folders that may not be read or written are opened first. Nothing may
    write to it meanwhile.

    Raises:
        OSError: it is missing, is no folder but a link to one, or cannot be removed.
    """
    if os.path.islink(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    moved, mark = 0, os.urandom(8).hex()
    while True:
        os.chmod(folder, 0o700)
        children = remove_files(folder)
        for child in children:
            os.chmod(child, 0o700)
            for grandchild in remove_files(child):
                moved += 1
                os.chmod(grandchild, 0o700)
                os.rename(grandchild, f"{folder}/{mark}-{moved}")
            os.rmdir(child)
        if not children:
            os.rmdir(folder)
            return


def remove_files(folder: str) -> list[str]:
    """Delete what is no folder in a folder; the folders in it."""
    children = []
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                children.append(entry.path)
            else:
                os.unlink(entry.path)
    return children


def describe_exit(status: int, wrapped: bool) -> tuple[str, int]:
    """How a process ended, in words, and the signal that ended it (0: none)."""
    code = os.waitstatus_to_exitcode(status)
    number = -code if code < 0 else code - 128 if wrapped and code > 128 else 0
    if not number:
        return f"exited with code {code}", 0
    try:
        return f"was killed by {signal.Signals(number).name}", number
    except ValueError:
        return f"exited with code {code}", 0


def is_number(value: object) -> bool:
    """Whether it is a number that can be reckoned with: finite, and so small that no sum or difference overflows."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def plain_number(value: Any) -> int | float:
    """A number as every reader takes it: a whole one that does not fit a float exactly becomes a float."""
    return float(value) if isinstance(value, int) and abs(value) > 2**53 else value


def plain_text(value: object, length: int) -> str:
    """A string that any encoder takes, cut to a length; empty for what is no string."""
    return value[:length].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def clean_result(message: dict[str, Any]) -> dict[str, Any]:
    """A result message with nothing in it but what a result may hold.

    Raises:
        ValueError: it claims a status that there is not, or is `ok` without a finite score.
    """
    status, score = message.get("status"), message.get("score")
    if status not in STATUSES or (status == "ok") is not is_number(score):
        raise ValueError("a result without a finite score or a known status")
    metrics: dict[str, object] = {}
    found = message.get("metrics")
    for name, value in list((found if isinstance(found, dict) else {}).items())[:256]:
        key = plain_text(name, 128)
        if isinstance(value, str):
            metrics[key] = plain_text(value, 4096)
            continue
        if value is None or isinstance(value, bool):
            metrics[key] = value
        elif isinstance(value, (int, float)):
            metrics[key] = plain_number(value) if is_number(value) else None
        elif isinstance(value, list) and len(value) <= 64 and all(is_number(item) for item in value):
            metrics[key] = [plain_number(item) for item in value]
    reason = " ".join(plain_text(message.get("reason"), 4096).split())
    return {
        "status": status,
        "score": float(score) if status == "ok" else None,  # type: ignore[arg-type]
        "metrics": metrics,
        "reason": reason,
    }


class Supervisor:
    """The state of one evaluation, and what happens in it."""

    def __init__(self, folder: str, evaluator: Box) -> None:
        self.folder = folder
        self.evaluator = evaluator
        self.candidate: Box | None = None
        self.lost: dict[str, object] = {}
        """What became of a session's candidate that ended while nothing was asked of it."""
        self.calls = 0
        self.clock = Clock()
        self.watch = Watch(os.getpid())
        self.scratch = Scratch(0)
        self.captures = (Capture(), Capture())
        self.poller = select.poll()
        self.handlers: dict[int, Callable[[], None]] = {}
        self.polled: set[int] = set()
        self.wake = os.pipe()
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.progress: list[list[object]] = []
        self.next_progress = 0.0
        self.next_look = 0.01
        self.cpu = 0.0
        self.peak = 0.0
        self.result: dict[str, Any] | None = None
        self.fault = ""
        self.abandoned = False
        self.acknowledged = False
        self.job: dict[str, Any] = {}
        self.wrapped = False
        self.program = b""
        self.result_limit = 0

    # The way in

    def run(self) -> int:
        """Carry the evaluation through; the exit code."""
        if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:  # PR_SET_CHILD_SUBREAPER
            self.fault = "the supervisor cannot become a subreaper"
        set_urgent(True)
        for fd in self.wake:
            os.set_blocking(fd, False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(self.wake[1], warn_on_full_buffer=False)
        self.listen(self.wake[0], lambda: self.on_signals(os.read(self.wake[0], 4096)))
        os.set_blocking(0, False)
        self.listen(0, self.on_engine)
        while not self.job and not self.abandoned:
            self.turn(None)
        if self.job:
            self.begin()
            self.on_signals(b"")  # a child that ended before the handler stood
        while not (self.result or self.fault or self.abandoned):
            self.turn(self.time_left())
            self.check_clock()
        return self.finish()

    def listen(self, fd: int, handler: Callable[[], None]) -> None:
        self.handlers[fd] = handler
        self.poll(fd)

    def forget(self, fd: int) -> None:
        if self.handlers.pop(fd, None) is not None:
            if fd in self.polled:
                self.unpoll(fd)
            os.close(fd)

    def poll(self, fd: int, events: int = select.POLLIN) -> None:
        self.polled.add(fd)
        self.poller.register(fd, events)

    def unpoll(self, fd: int) -> None:
        self.polled.discard(fd)
        self.poller.unregister(fd)

    def turn(self, seconds: float | None) -> None:
        """Wait for something to happen and deal with it."""
        for fd, events in self.poller.poll(None if seconds is None else max(0.0, seconds) * 1000 + 0.5):
            if fd == 0 and events & select.POLLOUT:
                self.flush()
            handler = self.handlers.get(fd)
            if handler is not None and events & ~select.POLLOUT:
                handler()
            for box in (self.evaluator, self.candidate):
                if box is not None and fd == box.channel and events & select.POLLOUT:
                    self.flush_box(box)

    def begin(self) -> None:
        """Send the evaluator its job, which lets it start."""
        limits = self.job["limits"]
        self.wrapped = self.job["sandbox"] == "bubblewrap"
        self.result_limit = int(limits["result_mb"] * 2**20) + 65536
        try:
            with open(self.folder + "/program.py", "rb") as file:
                self.program = file.read()
            try:
                os.unlink(self.folder + "/outcome.json")
            except FileNotFoundError:
                pass  # the usual case: no earlier attempt
        except OSError as exc:
            self.fault = f"{exc.filename}: {exc.strerror}"
            return
        # A file may be as large as it likes below its own limit: a few of them are what a program may need.
        self.scratch.limit = int(max(4 * limits["file_mb"], 64)) * 2**20
        self.adopt(self.evaluator)
        self.send(self.evaluator, {"limits": limits, **self.job["evaluator"]}, self.program)

    def adopt(self, box: Box) -> None:
        self.listen(box.channel, lambda: self.on_channel(box))
        for fd, capture in ((box.outputs[0], self.captures[0]), (box.outputs[1], self.captures[1])):
            self.listen(fd, lambda fd=fd, capture=capture: self.on_output(fd, capture))  # type: ignore[misc]

    # The engine

    def on_engine(self) -> None:
        try:
            data = os.read(0, 262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.abandoned = True
            self.forget(0)
            return
        self.inbox += data
        while b"\n" in self.inbox:
            line, _, rest = bytes(self.inbox).partition(b"\n")
            self.inbox = bytearray(rest)
            message = json.loads(line)
            if not self.job:
                self.job = message
                continue
            order = message["do"]
            if order == "freeze":
                self.freeze()
            elif order == "thaw":
                self.thaw()
            elif order == "cancel":
                self.end("cancelled", message["reason"])
            elif order == "acknowledge":
                self.acknowledged = True

    def tell(self, message: dict[str, object]) -> None:
        self.outbox += json.dumps(message, allow_nan=False).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        try:
            del self.outbox[: os.write(1, self.outbox)]
        except BlockingIOError:
            pass  # the poll says when there is room again
        except OSError:
            self.outbox.clear()  # the engine is gone: the end of file follows
        if 0 in self.polled:
            self.poll(0, select.POLLIN | (select.POLLOUT if self.outbox else 0))

    # Signals and time

    def on_signals(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers:
            self.abandoned = True
        while self.job:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for box in (self.evaluator, self.candidate):
                if box is not None and box.pid == pid:
                    box.status = status
                    self.on_exit(box)

    def time_left(self) -> float | None:
        """Seconds until the clock has something to do."""
        if self.clock.since is None:
            return None
        due = [self.job["limits"]["seconds"], self.next_look]
        if self.candidate is not None and self.candidate.deadline is not None:
            due.append(self.candidate.deadline)
        if self.progress:
            due.append(self.next_progress)
        return float(min(due)) - self.clock.now()

    def check_clock(self) -> None:
        now = self.clock.now()
        if self.clock.since is None or self.result or self.fault:
            return
        box = self.candidate
        if now >= self.job["limits"]["seconds"]:
            self.end("timeout", f"time limit of {self.job['limits']['seconds']:g} s")
        elif box is not None and box.deadline is not None and now >= box.deadline:
            box.deadline = None
            self.answer(box, {"type": "timeout", "message": f"no answer within {box.seconds:g} s"})
        if self.progress and now >= self.next_progress and not self.outbox:
            self.next_progress = now + 0.1
            self.tell({"type": "progress", "items": self.progress})
            self.progress = []
        if now >= self.next_look:
            began = time.monotonic()
            often = self.look()
            # Often in the beginning and near a limit, but at most a tenth of the time is spent on looking.
            pause = max(0.02 if often else min(0.1, now), 10 * (time.monotonic() - began))
            self.next_look = self.clock.now() + pause

    def look(self) -> bool:
        """Hold the tree against its limits; whether it is near one, so that the next look should be soon."""
        limits = self.job["limits"]
        own = 2 * self.wrapped * (1 if self.candidate is None else 2)  # bubblewrap's two in each box
        alive, cpu, resident = self.watch.look(int(limits["processes"]) + own)
        alive -= own
        memory = sum(resident.values())
        if memory > limits["memory_mb"] * 2**20:
            memory = 0
            for pid, size in resident.items():
                pss = read_pss(pid)
                memory += size if pss is None else pss
        self.cpu = max(self.cpu, cpu)
        self.peak = max(self.peak, memory / 2**20)
        folders = [self.job["scratch"]]
        if self.candidate is not None:
            folders.append(self.candidate.scratch)
        self.scratch.look(folders, self.clock.now())
        if memory > limits["memory_mb"] * 2**20:
            self.end("crashed", f"memory limit of {limits['memory_mb']} MiB")
        elif alive > limits["processes"]:
            self.end("crashed", f"limit of {limits['processes']} processes")
        elif limits["cpu_seconds"] is not None and self.cpu > limits["cpu_seconds"]:
            self.end("timeout", f"CPU time limit of {limits['cpu_seconds']:g} s")
        elif self.scratch.excess:
            self.end("crashed", self.scratch.excess)
        return bool(memory > limits["memory_mb"] * 2**19) or alive > limits["processes"] / 2

    # What comes from inside

    def on_output(self, fd: int, capture: Capture) -> None:
        try:
            data = os.read(fd, 262144)
        except BlockingIOError:
            return
        if not data:
            self.forget(fd)
            return
        capture.add(data)
        if self.captures[0].total + self.captures[1].total > self.job["limits"]["output_mb"] * 2**20:
            self.end("crashed", f"output limit of {self.job['limits']['output_mb']} MiB")

    def on_channel(self, box: Box) -> None:
        try:
            data = os.read(box.channel, 1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.forget(box.channel)
            return
        if box.answer is None:
            box.inbox += data
        while not (self.result or self.fault or box.answer):
            try:
                frame = box.take(self.result_limit)
                if frame is None:
                    return
                self.on_frame(box, *frame)
            except ValueError as exc:
                if box is self.evaluator:
                    self.end("crashed", f"the evaluator sent {exc}")
                else:
                    self.answer(box, {"type": "raised", "message": f"the candidate sent {exc}"})

    def on_frame(self, box: Box, header: dict[str, Any], body: bytes) -> None:
        kind = header.get("type")
        if kind == "ready":
            # The harness says it before anything of the task runs; what says it again wants more time than it has.
            if box.ready:
                raise ValueError("a second message that it is ready")
            box.ready = True
            if box.seconds is not None:
                box.deadline = self.clock.now() + box.seconds
        elif kind == "progress" and (box is self.evaluator or box.reports):
            self.add_progress(header)
        elif box is not self.evaluator:
            if box.idle:
                raise ValueError("a message that nobody asked for")
            answer: dict[str, object] = {"type": "returned"}
            if kind != "returned":
                texts = {key: str(header.get(key, ""))[:65536] for key in ("message", "traceback")}
                answer, body = {"type": "raised", **texts}, b""
            if box.kept:
                box.idle, box.deadline = True, None
                self.send(self.evaluator, answer, body)
            else:
                self.answer(box, answer, body)
        elif kind == "result":
            self.result = clean_result(header)
        elif kind == "call" and header.get("session") == "again":
            self.on_next_call(header, body)
        elif kind == "call":
            self.on_call(header, body)
        elif kind == "close":
            self.on_close()
        else:
            raise ValueError("a message of a kind that there is not")

    def add_progress(self, header: dict[str, Any]) -> None:
        step, found = header.get("step"), header.get("values")
        values = {}
        for name, value in list((found if isinstance(found, dict) else {}).items())[:64]:
            if is_number(value):
                values[plain_text(name, 128)] = plain_number(value)
        if len(self.progress) >= 128:
            del self.progress[::2]  # a flood is thinned out evenly rather than passed on or cut
        self.progress.append([plain_number(step) if is_number(step) else None, values])

    def on_call(self, header: dict[str, Any], body: bytes) -> None:
        """Start a candidate in a sandbox of its own, beside the evaluator's."""
        if self.candidate is not None:
            raise ValueError("a call while another one is running")
        import socket

        seconds = header.get("seconds")
        self.calls += 1
        scratch = f"{self.folder}/call-{self.calls}"
        own = self.job["scratch"]
        try:
            os.mkdir(scratch, 0o700)
            ours, theirs = socket.socketpair()
            command = [scratch if word == own else word for word in self.job["candidate"]["command"]]
            environment = {
                name: value.replace(own, scratch) if not self.wrapped else value for name, value in os.environ.items()
            }
            set_urgent(False)
            box = Box(command, environment, ours.detach(), theirs.detach())
        except OSError as exc:
            self.fault = f"a candidate cannot be started: {exc}"
            return
        finally:
            set_urgent(True)
        box.scratch = scratch
        box.reports = header.get("progress") is True
        box.seconds = float(seconds) if is_number(seconds) else None  # type: ignore[arg-type]
        box.kept = header.get("session") == "new"
        self.candidate = box
        self.lost = {}
        self.adopt(box)
        job = {key: header.get(key) for key in ("function", "helper", "session")}
        limits = {"limits": self.job["limits"], "program_size": len(self.program)}
        self.send(box, {**job, **limits, **self.job["candidate"]["job"]}, self.program + body)

    def on_next_call(self, header: dict[str, Any], body: bytes) -> None:
        """Hand a further call of a session to the candidate that is kept for it."""
        box, seconds = self.candidate, header.get("seconds")
        if box is None:
            gone: dict[str, object] = {"type": "raised", "message": "the session's candidate is gone"}
            self.send(self.evaluator, self.lost or gone)
        elif not box.idle:
            raise ValueError("a call while another one is running")
        else:
            box.idle = False
            box.seconds = float(seconds) if is_number(seconds) else None  # type: ignore[arg-type]
            box.deadline = None if box.seconds is None else self.clock.now() + box.seconds
            self.send(box, {"function": header.get("function")}, body)

    def on_close(self) -> None:
        """End a session; the evaluator hears of it when the candidate is gone."""
        box = self.candidate
        if box is None:
            self.send(self.evaluator, {"type": "returned"})
        elif box.answer is not None:  # it is being ended for what it did while nothing was asked of it
            box.idle = False
        elif not box.idle:
            raise ValueError("an end of a session while a call is running")
        else:
            box.idle = False
            self.answer(box, {"type": "returned"})

    def answer(self, box: Box, header: dict[str, object], body: bytes = b"") -> None:
        """Note what a call came to and end the candidate; the evaluator hears of it when the candidate is gone."""
        if box.answer is None:
            box.answer = (header, body)
            if not self.wrapped:
                for pid in find_tree(box.pid):
                    send_signal(pid, signal.SIGKILL)
            send_signal(box.pid, signal.SIGKILL)

    def on_exit(self, box: Box) -> None:
        """A box's process has ended: read what it left behind, then draw the conclusion."""
        assert box.status is not None
        while box.channel in self.handlers and not (self.result or self.fault or box.answer):
            before = len(box.inbox)
            self.on_channel(box)
            if len(box.inbox) == before:
                break
        how, number = describe_exit(box.status, self.wrapped)
        if not box.ready and not (self.result or self.abandoned):
            self.drain(box)
            lines = self.captures[1].content().decode("utf-8", "replace").strip().splitlines()
            self.fault = f"the sandboxed interpreter {how}: {lines[-1] if lines else 'it said nothing'}"
        elif box is self.evaluator:
            if number == signal.SIGXCPU:
                self.end("timeout", f"CPU time limit of {self.job['limits']['cpu_seconds']:g} s")
            elif number == signal.SIGXFSZ:
                self.end("crashed", f"file size limit of {self.job['limits']['file_mb']} MiB")
            else:
                self.end("crashed", f"the evaluator {how} and gave no result")
        else:
            header, body = box.answer or ({"type": "raised", "message": f"the candidate {how} and gave no result"}, b"")
            self.candidate = None
            self.drain(box)
            for fd in (box.channel, *box.outputs):
                self.forget(fd)
            self.discard(box.scratch)
            if box.idle:
                self.lost = header
            else:
                self.send(self.evaluator, {**header, "call": self.calls}, body)

    def send(self, box: Box, header: dict[str, object], body: bytes = b"") -> None:
        payload = json.dumps(header).encode() + b"\n" + body
        box.outbox += len(payload).to_bytes(4, "big") + payload
        self.flush_box(box)

    def flush_box(self, box: Box) -> None:
        try:
            del box.outbox[: os.write(box.channel, box.outbox)]
        except BlockingIOError:
            pass  # the poll says when there is room again
        except OSError:
            box.outbox.clear()  # it has ended: its exit tells the rest
        if box.channel in self.polled:
            self.poll(box.channel, select.POLLIN | (select.POLLOUT if box.outbox else 0))

    # Holding and ending

    def freeze(self) -> None:
        """Stop every process, again and again until none is new: one of them may just be starting another.

        What it sent is not dealt with before it is thawed, since its clocks stand still.
        """
        if self.clock.since is None:
            return
        self.clock.stop()
        for box in (self.evaluator, self.candidate):
            if box is not None and box.channel in self.polled:
                self.unpoll(box.channel)
        stopped: set[int] = set()
        while True:
            new = [pid for pid in find_tree(os.getpid()) if pid not in stopped]
            for pid in new:
                send_signal(pid, signal.SIGSTOP)
            stopped.update(new)
            if not new:
                return
            time.sleep(0.002)

    def thaw(self) -> None:
        if self.clock.since is not None:
            return
        for box in (self.evaluator, self.candidate):
            if box is not None and box.channel in self.handlers:
                self.poll(box.channel, select.POLLIN | (select.POLLOUT if box.outbox else 0))
        for pid in find_tree(os.getpid()):
            send_signal(pid, signal.SIGCONT)
        self.clock.go()

    def end(self, status: str, reason: str) -> None:
        """Note how the evaluation ended, unless that is settled."""
        if self.result is None:
            self.result = {"status": status, "score": None, "metrics": {}, "reason": reason}

    def kill_tree(self, seconds: float) -> bool:
        """Kill every process of the evaluation; whether all were gone in time."""
        for box in (self.evaluator, self.candidate):
            if box is not None and box.status is None:
                send_signal(box.pid, signal.SIGKILL)
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
            if not self.wrapped or passed > 0.5:
                for pid in find_tree(os.getpid()):
                    send_signal(pid, signal.SIGKILL)
            if select.select([self.wake[0]], [], [], pause)[0]:
                os.read(self.wake[0], 4096)  # a child has ended
            else:
                pause = min(2 * pause, 0.05)

    def drain(self, box: Box) -> None:
        """Take what is left in a box's output pipes."""
        for fd, capture in ((box.outputs[0], self.captures[0]), (box.outputs[1], self.captures[1])):
            for _ in range(64):
                before = capture.total
                if fd in self.handlers:
                    self.on_output(fd, capture)
                if capture.total == before:
                    break

    def discard(self, folder: str) -> None:
        try:
            remove_tree(folder)
        except OSError as exc:
            sys.stderr.write(f"{folder} cannot be removed: {exc}\n")

    def finish(self) -> int:
        """End what runs, hand the outcome over or leave it in the folder, and go."""
        seconds = self.clock.now()
        dead = self.kill_tree(10.0)
        if self.job:
            for box in (self.evaluator, self.candidate):
                if box is not None:
                    self.drain(box)
        outcome = self.outcome(seconds)
        if self.fault:
            self.tell({"type": "fault", "message": self.fault})
        elif outcome is not None and not self.abandoned:
            if self.progress:
                self.tell({"type": "progress", "items": self.progress})
            self.tell({"type": "done", "outcome": outcome})
        while not (self.acknowledged or self.abandoned):
            self.turn(None)
        if outcome is not None and outcome["status"] != "cancelled" and not self.acknowledged:
            self.spool(outcome)
        while not dead:
            dead = self.kill_tree(60.0)
        if self.acknowledged:
            self.discard(self.folder)
        return 0

    def outcome(self, seconds: float) -> dict[str, object] | None:
        if self.result is None or self.fault:
            return None
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            **self.result,
            "guarantee": self.job["guarantee"],
            "sandbox": self.job["sandbox"],
            "seconds": round(seconds, 4),
            "cpu_seconds": round(max(self.cpu, used.ru_utime + used.ru_stime), 4),
            "peak_mb": round(max(self.peak, used.ru_maxrss / 1024), 1),
            "stdout": base64.b64encode(self.captures[0].content()).decode(),
            "stderr": base64.b64encode(self.captures[1].content()).decode(),
        }

    def spool(self, outcome: dict[str, object]) -> None:
        """Write the outcome so that it survives even a power cut."""
        path = self.folder + "/outcome.json"
        with open(path + ".tmp", "w") as file:
            json.dump(outcome, file, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".tmp", path)
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


if __name__ == "__main__":
    assert _evaluator is not None
    _code = Supervisor(sys.argv[1], _evaluator).run()
    sys.stderr.flush()
    os._exit(_code)  # without the interpreter's shutdown, which takes as long as its start
