"""Pairs of candidates, a writer and a reader of a later evaluation: nothing is left to read but what limits let through."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from .lair import LEVELS, PRELUDE, Lair, numbers


@dataclass(frozen=True)
class Pair:
    """What one candidate leaves and a later one looks for; both are statements of a function."""

    name: str
    write: str
    read: str
    limits: bool = False
    """Whether the reader finds it with limits only."""


def left_in(folder: str) -> tuple[str, str]:
    """Return statements that leave a file in a folder, and that look for it."""
    return (
        f"attempt('left', lambda: (os.makedirs({folder}, exist_ok=True), open({folder} + '/evolve-TOKEN', 'w').close()))",
        f"attempt('found', lambda: os.stat({folder} + '/evolve-TOKEN'))",
    )


PAIRS = [
    Pair("scratch folder", *left_in("os.getcwd()")),
    Pair("home", *left_in("os.environ['HOME']")),
    Pair("caches", *left_in("os.environ['XDG_CACHE_HOME']")),
    Pair("compiled kernels", *left_in("os.environ['TRITON_CACHE_DIR']")),
    Pair("fonts", *left_in("os.environ['MPLCONFIGDIR']")),
    Pair("temporary files of Python", *left_in("__import__('tempfile').gettempdir()")),
    Pair("tmp", *left_in("'/tmp'"), limits=True),
    Pair("shared memory", *left_in("'/dev/shm'"), limits=True),
    Pair("names of Python's shared memory", """
from multiprocessing import shared_memory, resource_tracker
try:
    made = shared_memory.SharedMemory('evolve-TOKEN', create=True, size=8)
    resource_tracker.unregister(made._name, 'shared_memory')
    made.close()
    reached.append('left')
except OSError:
    pass
""", "attempt('found', lambda: os.stat('/dev/shm/evolve-TOKEN'))", limits=True),
    Pair("keys of the session", numbers("add_key", "keyctl") + "attempt('left', lambda: call(add_key, b'user', b'evolve-TOKEN', b'x', 1, -3))",
         numbers("keyctl") + "attempt('found', lambda: call(keyctl, 10, -3, b'user', b'evolve-TOKEN', 0))"),
    Pair("keys of the user", numbers("add_key") + "attempt('left', lambda: call(add_key, b'user', b'evolve-TOKEN', b'x', 1, -4))",
         numbers("keyctl") + "attempt('found', lambda: call(keyctl, 10, -4, b'user', b'evolve-TOKEN', 0))"),
    Pair("System V memory", numbers("shmget") + "attempt('left', lambda: call(shmget, KEY, 4096, 0o1600))",
         numbers("shmget") + "attempt('found', lambda: call(shmget, KEY, 0, 0))"),
    Pair("System V messages", numbers("msgget") + "attempt('left', lambda: call(msgget, KEY, 0o1600))",
         numbers("msgget") + "attempt('found', lambda: call(msgget, KEY, 0))"),
    Pair("System V semaphores", numbers("semget") + "attempt('left', lambda: call(semget, KEY, 1, 0o1600))",
         numbers("semget") + "attempt('found', lambda: call(semget, KEY, 0, 0))"),
    Pair("POSIX messages", numbers("mq_open") + "attempt('left', lambda: call(mq_open, b'evolve-TOKEN', 0o102, 0o600, 0))",
         numbers("mq_open") + "attempt('found', lambda: call(mq_open, b'evolve-TOKEN', 0, 0, 0))"),
    Pair("abstract socket of a daemon", """
def leave():
    service = socket.socket(socket.AF_UNIX)
    service.bind('\\0evolve-TOKEN')
    service.listen()
    if os.fork() == 0:
        os.setsid()
        time.sleep(30)
attempt('left', leave)
""", "attempt('found', lambda: socket.socket(socket.AF_UNIX).connect('\\0evolve-TOKEN'))"),
    Pair("lock of a daemon", """
import fcntl
def leave():
    file = os.open(sys.executable, os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.fork() == 0:
        os.setsid()
        time.sleep(30)
attempt('left', leave)
""", """
import fcntl
try:
    fcntl.flock(os.open(sys.executable, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    reached.append('found')
"""),
    Pair("a daemon", "if os.fork() == 0:\n    os.setsid()\n    os.execv('/bin/sleep', ['sleep', '30.TOKEN'])",
         "names = [open(f'/proc/{p}/cmdline').read() for p in os.listdir('/proc') if p.isdigit() and p != str(os.getpid())] "
         "if os.access('/proc', os.R_OK) and LEVEL != 'landlock' else []\n"
         "reached.extend('found' for name in names if '30.TOKEN' in name)"),
    Pair("environment", "os.environ['EVOLVE_TOKEN'] = '1'", "attempt('found', lambda: os.environ['EVOLVE_TOKEN'] or 1) "
         "if 'EVOLVE_TOKEN' in os.environ else None"),
]  # fmt: skip

_MARKS = {level: pytest.mark.needs(level) for level in ("bubblewrap", "landlock")} | {
    "limits": pytest.mark.needs("seccomp")
}


@pytest.mark.parametrize("level", [pytest.param(level, marks=_MARKS[level]) for level in LEVELS])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name.replace(" ", "-"))
async def test_nothing_persists(lair: Lair, pair: Pair, level: str) -> None:
    lair.lay()
    key = int(lair.token) % (1 << 30) + 1
    outcomes = []
    try:
        for body in (pair.write, pair.read):
            text = body.strip("\n").replace("KEY", str(key)).replace("LEVEL", repr(level))
            lines = "".join(f"    {line}\n" for line in text.split("\n"))
            outcomes.append(await lair.loose(f"{PRELUDE}\ndef body():\n{lines}"))
    finally:
        for folder in ("/tmp", "/dev/shm", "/evaluation"):
            Path(folder, f"evolve-{lair.token}").unlink(missing_ok=True)
    assert [outcome.status for outcome in outcomes] == ["ok", "ok"], outcomes
    found = outcomes[1].metrics["reached"]
    assert found == ("found" if level == "limits" and pair.limits else "")


@pytest.mark.parametrize("level", [pytest.param(level, marks=_MARKS[level]) for level in LEVELS])
async def test_nothing_of_the_engine_is_inherited(lair: Lair, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors, variables, ignored signals and memory of the engine stay with it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-decoy")
    monkeypatch.setenv("PYTHONPATH", "/decoy")
    monkeypatch.setenv("LD_PRELOAD", "")
    ours = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(ours, True)
    lair.lay()
    body = """
def body():
    reached.extend(name for name in os.environ if name in ('OPENAI_API_KEY', 'PYTHONPATH', 'LD_PRELOAD'))
    reached.extend(f'fd-{fd}' for fd in map(int, os.listdir('/proc/self/fd')) if fd > 3 and os.path.exists(f'/proc/self/fd/{fd}'))
    reached.extend(number.name for number in (signal.SIGHUP, signal.SIGUSR1) if signal.getsignal(number) != signal.SIG_DFL)
    reached.extend(number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    attempt('memory', look)

def look():
    import re  # in these patterns nothing stands as it is looked for
    known = {'key': b'[s]k-decoy', 'evaluator': b'[n]o list of names', 'own': b'[k]ept here'}
    kept = bytes(reversed(b'ereh tpek'))
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:
        for line in maps:
            place, rights = line.split()[:2]
            if 'r' in rights and '[v' not in line:
                first, last = (int(number, 16) for number in place.split('-'))
                memory.seek(first)
                content = memory.read(last - first)
                reached.extend(name for name, word in known.items() if name not in reached and re.search(word, content))
"""
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        outcome = await lair.loose(PRELUDE + body)
    finally:
        signal.signal(signal.SIGHUP, hangup)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(ours)
    assert outcome.metrics["reached"] == "memory own"
