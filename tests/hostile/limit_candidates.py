"""Candidates that try to pass a limit, each with the outcome that is right with a cgroup and without one.

Each takes about 450 MiB where 192 MiB are allowed, or 1.5 s of CPU where 0.5 s are, and holds it long enough to be seen.
Where another process takes it, on a busy machine long after the one that holds, that is nine seconds.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CANDIDATES", "HEAD", "Candidate"]

HEAD = """
import array, ctypes, mmap, os, resource, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
def burn(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds: pass
def fork(function):
    if os.fork() == 0:
        try: function()
        finally: os._exit(0)
def hold(seconds=1.0):
    time.sleep(seconds)
    return 1.0
"""

MEMORY = ("crashed", "memory limit of 192 MiB")
CPU = ("timeout", "CPU time limit of 0.5 s")
SCRATCH = ("crashed", "scratch limit of 64 MiB")
NO_MEMFDS = ("crashed", "Function not implemented")
THROUGH = ("ok", "")
"""What is named in docs/security.md as not stopped without a cgroup."""


@dataclass(frozen=True)
class Candidate:
    """A program and what becomes of it."""

    name: str
    code: str
    right: tuple[str, str]
    """Status and a part of the reason with a cgroup."""
    without: tuple[str, str] | None = None
    """The same without one; None if it is no other."""
    limits: dict[str, Any] = field(default_factory=dict)
    calls: int = 1
    """How often the evaluator calls it."""
    alike: bool = False
    """Whether a cgroup plays no part in it, so that it is tried without one only."""

    @property
    def program(self) -> str:
        """Return its source text."""
        return HEAD + "def run():\n" + textwrap.indent(textwrap.dedent(self.code).strip(), "    ") + "\n"


_CPU = {"cpu_seconds": 0.5}
_FILES = {"memory_mb": 1024}
CANDIDATES = [
    # Memory of processes
    Candidate("one block", "x = bytearray(b'x') * (450 * MIB)\nreturn hold()", MEMORY),
    Candidate("block kept at the return", "global x\nx = bytearray(b'x') * (450 * MIB)\nreturn 1.0", MEMORY),
    Candidate("children", "for _ in range(8): fork(lambda: (bytearray(b'x') * (60 * MIB), hold(9)))\nreturn hold(9)", MEMORY),
    Candidate(
        "daemon in a session of its own",
        """
        def daemon():
            os.setsid()
            fork(lambda: (bytearray(b'x') * (450 * MIB), hold(9)))
        fork(daemon)
        return hold(9)
        """,
        MEMORY,
    ),
    Candidate(
        "another program",
        "subprocess.Popen([sys.executable, '-c', 'import time; x = b\"x\" * (450 << 20); time.sleep(9)'])\nreturn hold(9)",
        MEMORY,
    ),
    Candidate(
        "threads",
        """
        kept = []
        threads = [threading.Thread(target=lambda: kept.append(b'x' * (20 * MIB))) for _ in range(23)]
        for thread in threads: thread.start()
        return hold()
        """,
        MEMORY,
    ),
    Candidate("locked", "x = mmap.mmap(-1, 450 * MIB)\nlibc.mlockall(3)\nx.write(bytes(450 * MIB))\nreturn hold()", MEMORY),
    # Shared memory
    Candidate("shared", "x = mmap.mmap(-1, 450 * MIB)\nx.write(b'x' * len(x))\nreturn hold()", MEMORY),
    Candidate(
        "shared, written by children that are gone",
        """
        x = mmap.mmap(-1, 450 * MIB)
        def part(n):
            for at in range(n * 50 * MIB, (n + 1) * 50 * MIB, 4096): x[at] = 1
        for n in range(9):
            fork(lambda: part(n)); os.wait()
        return hold()
        """,
        MEMORY,
        THROUGH,
    ),
    Candidate(
        "memfds",
        "fds = [os.memfd_create('x') for _ in range(30)]\nfor fd in fds: os.write(fd, b'x' * (15 * MIB))\nreturn hold()",
        MEMORY,
        NO_MEMFDS,
    ),
    Candidate(
        "memfds of children",
        """
        def one():
            for _ in range(10): os.write(os.memfd_create('x'), b'x' * (9 * MIB))
            hold()
        for _ in range(5): fork(one)
        return hold()
        """,
        MEMORY,
        ("ok", ""),
    ),
    Candidate(
        "memfds on their way through a socket",
        """
        pair = socket.socketpair()
        for _ in range(30):
            fd = os.memfd_create('x')
            os.write(fd, b'x' * (15 * MIB))
            socket.send_fds(pair[0], [b'x'], [fd])
            os.close(fd)
        return hold()
        """,
        MEMORY,
        NO_MEMFDS,
    ),
    Candidate(
        "detached shared memory",
        """
        libc.shmat.restype = ctypes.c_void_p
        for _ in range(9):
            at = libc.shmat(libc.shmget(0, 50 * MIB, 0o1600), None, 0)
            if at in (None, 2**64 - 1): raise OSError(os.strerror(ctypes.get_errno()))
            ctypes.memset(at, 1, 50 * MIB)
            libc.shmdt(ctypes.c_void_p(at))
        return hold()
        """,
        ("crashed", "Operation not permitted"),
    ),
    # The kernel's own memory
    Candidate(
        "page tables",
        """
        x = mmap.mmap(-1, 230 << 30, flags=0x4022, prot=1)
        x.madvise(15)
        for at in range(0, len(x), 2 * MIB): x[at]
        return hold()
        """,
        MEMORY,
        ("crashed", "Cannot allocate memory"),
    ),
    Candidate(
        "page tables of children",
        """
        def one():
            x = mmap.mmap(-1, 56 << 30, flags=0x4022, prot=1)
            x.madvise(15)
            for at in range(0, len(x), 2 * MIB): x[at]
            hold()
        for _ in range(4): fork(one)
        for _ in range(4): os.wait()
        return hold()
        """,
        MEMORY,
    ),
    Candidate(
        "buffers of sockets",
        """
        pairs = [socket.socketpair() for _ in range(2200)]
        for pair in pairs:
            for end in pair:
                end.setblocking(False)
                try:
                    while True: end.send(b'x' * 65536)
                except BlockingIOError: pass
        return hold()
        """,
        MEMORY,
        THROUGH,
    ),
    Candidate(
        "buffers of datagrams",
        """
        kept, out = [], socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for _ in range(3500):
            end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            end.bind(('127.0.0.1', 0)); kept.append(end)
            for _ in range(4): out.sendto(b'x' * 60000, end.getsockname())
        return hold()
        """,
        MEMORY,
        THROUGH,
    ),
    Candidate(
        "buffers of connections",
        """
        server = socket.create_server(('127.0.0.1', 0), backlog=500)
        kept = []
        for _ in range(200):
            end = socket.create_connection(server.getsockname())
            end.setblocking(False); kept.append((end, server.accept()))
            try:
                while True: end.send(b'x' * MIB)
            except BlockingIOError: pass
        return hold()
        """,
        MEMORY,
        THROUGH,
    ),
    Candidate(
        "message queues",
        """
        message = ctypes.create_string_buffer(b'\\1' + bytes(7) + b'x' * 8000)
        for _ in range(30000):
            queue = libc.msgget(0, 0o1600)
            if queue < 0: raise OSError(os.strerror(ctypes.get_errno()))
            for _ in range(2): libc.msgsnd(queue, message, 8000, 0o4000)
        return hold()
        """,
        ("crashed", "Operation not permitted"),
    ),
    # Files
    Candidate(
        "files in three folders in memory",
        """
        for folder in ('/tmp', '/dev/shm', '.'):
            for n in range(6):
                with open(f'{folder}/{n}', 'wb') as file: file.write(b'x' * (15 * MIB))
        return hold()
        """,
        MEMORY,
    ),
    Candidate(
        "file of /dev/shm above its size",
        "with open('/dev/shm/x', 'wb') as file:\n    for _ in range(120): file.write(b'x' * MIB)\nreturn hold()",
        ("crashed", "No space left"),
    ),
    Candidate("scratch", "for n in range(45): open(f'{n}', 'wb').write(b'x' * (10 * MIB))\nreturn hold()", MEMORY),
    Candidate(
        "files without a name",
        """
        kept = []
        for _ in range(45):
            kept.append(open('x', 'wb')); os.unlink('x')
            kept[-1].write(b'x' * (10 * MIB)); kept[-1].flush()
        return hold()
        """,
        MEMORY,
    ),
    Candidate(
        "files without a name, above what the folder may hold",
        """
        kept = []
        for _ in range(20):
            kept.append(open('x', 'wb')); os.unlink('x')
            kept[-1].write(b'x' * (4 * MIB)); kept[-1].flush()
        return hold()
        """,
        ("crashed", ""),
        limits={**_FILES, "file_mb": 5},
    ),
    Candidate(
        "a full scratch folder, and an answer at once",
        """
        try:
            for n in range(20): open(f'{n}', 'wb').write(b'x' * (4 * MIB))
        except OSError: pass
        return 1.0
        """,
        SCRATCH,
        limits={**_FILES, "file_mb": 5},
    ),
    Candidate(
        "a file above its size",
        "open('x', 'wb').write(b'x' * (6 * MIB))\nreturn hold()",
        ("crashed", "File too large"),
        limits={"file_mb": 5},
    ),
    *(
        Candidate(
            f"too many files in {folder}",
            f"for n in range(130000): os.close(os.open(f'{folder}/{{n}}', 65))\nreturn hold()",
            ("crashed", "scratch limit of 100000 files"),
            limits=_FILES,
            alike=True,
        )
        for folder in (".", "/tmp", "/dev/shm")
    ),
    Candidate(
        "too many names of one file",
        "open('x', 'w').close()\nfor n in range(130000): os.link('x', f'{n}')\nreturn hold()",
        ("crashed", "scratch limit of 100000 files"),
        limits=_FILES,
        alike=True,
    ),
    Candidate(
        "too many folders, one in the other",
        """
        for n in range(130000):
            os.mkdir('d'); os.chdir('d')
        return hold()
        """,
        ("crashed", "scratch limit of 100000 files"),
        limits=_FILES,
        alike=True,
    ),
    # Processes
    Candidate("forks", "while True: os.fork()", ("crashed", "limit of 8 processes"), limits={"processes": 8}),
    Candidate(
        "children at rest",
        "for _ in range(20): fork(hold)\nreturn hold()",
        ("crashed", "limit of 8 processes"),
        limits={"processes": 8},
    ),
    Candidate(
        "more threads than any limit",
        "for _ in range(600): threading.Thread(target=time.sleep, args=(3,), daemon=True).start()\nreturn hold()",
        ("crashed", ""),
        limits={"processes": 8, "memory_mb": 1024},
    ),
    Candidate(
        "children that nobody waits for",
        "for _ in range(600): fork(int)\nreturn hold()",
        ("crashed", ""),
        limits={"processes": 8, "memory_mb": 1024},
    ),
    # CPU
    Candidate("endless loop", "while True: pass", CPU, limits=_CPU),
    Candidate("CPU of threads", "for _ in range(3): threading.Thread(target=burn, args=(9,)).start()\ntime.sleep(15)", CPU, limits=_CPU),
    Candidate("CPU of a child", "fork(lambda: burn(1.5))\ntime.sleep(15)", CPU, limits=_CPU),
    Candidate(
        "CPU of children one after the other",
        "for _ in range(30):\n    fork(lambda: burn(0.05)); os.wait()\nreturn 1.0",
        CPU,
        limits=_CPU,
    ),
    Candidate(
        "CPU of children that nobody waits for",
        """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for _ in range(8):
            fork(lambda: burn(0.2)); time.sleep(0.25)
        time.sleep(15)
        return 1.0
        """,
        CPU,
        limits=_CPU,
    ),
    Candidate(
        "CPU of orphans",
        """
        for _ in range(8):
            fork(lambda: fork(lambda: burn(0.2))); os.wait(); time.sleep(0.25)
        time.sleep(15)
        return 1.0
        """,
        CPU,
        limits=_CPU,
    ),
    Candidate(
        "CPU of children shorter than a check",
        """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for _ in range(250):
            fork(lambda: burn(0.004)); time.sleep(0.004)
        try: os.wait()
        except ChildProcessError: pass
        return 1.0
        """,
        CPU,
        THROUGH,
        limits=_CPU,
    ),
    Candidate(
        "CPU past a signal that is ignored",
        "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        CPU,
        limits=_CPU,
    ),
    Candidate("an answer just past the limit", "burn(0.6)\nreturn 1.0", CPU, limits=_CPU),
    Candidate("a little in each of many calls", "burn(0.2)\nreturn 1.0", CPU, limits=_CPU, calls=6),
    Candidate(
        "the signal of a limit that there is not",
        "os.kill(os.getpid(), signal.SIGXCPU)\nhold()",
        ("crashed", "was killed by SIGXCPU"),
    ),
    # Within the limits
    Candidate("half of everything", "x = b'x' * (60 * MIB)\nopen('x', 'wb').write(x[:MIB])\nburn(0.1)\nreturn hold()", THROUGH, limits=_CPU),
    Candidate(
        "a file in memory that is mapped, too",
        """
        with open('/dev/shm/x', 'wb') as file: file.write(b'x' * (70 * MIB))
        file = open('/dev/shm/x', 'rb')
        x = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        sum(x[at] for at in range(0, len(x), 4096))
        fork(lambda: (sum(x[at] for at in range(0, len(x), 4096)), hold()))
        return hold()
        """,
        THROUGH,
    ),
]  # fmt: skip
