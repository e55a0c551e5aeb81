"""Hostile agents: commands that design, and reach beyond their folder, wear the machine down, or leave a trap behind.

What is refused of a folder in general (links, pipes, output, children, the network) is in
`tests/engine/loop/test_command_calls.py`.
"""

from __future__ import annotations

import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.evaluation.errand import shown_paths
from engine.evaluation.evaluator import Evaluation, Job
from engine.evaluation.job import Errand
from engine.evaluation.watch import mark_of
from engine.llm.command import Left
from engine.loop.command_record import Ended, read_end, usage_of
from engine.settings.command import CommandSettings
from engine.task.spec import Limits

from .lair import Lair

LEVELS = [pytest.param(level, marks=pytest.mark.needs(level)) for level in ("bubblewrap", "landlock")]
PRELUDE = """
import os, signal, socket, stat, subprocess, sys, time
def attempt(action):
    try:
        print("reached", action())
    except OSError as error:
        print("refused", type(error).__name__)
def edit():
    with open("program/program.py", "w") as file:
        file.write("X = 2\\n")
"""
SECONDS = 3.0
SPARE = 3.0
"""Of the sandbox's own limit, beyond that of the command."""


@dataclass(frozen=True)
class Agent:
    """A command, and what comes of it."""

    name: str
    body: str
    problem: str | None = None
    """Part of the reason, or several that are divided by `|`; empty if it leaves a program, None if either may be."""
    seconds: float = 60.0
    said: str = ""
    """Part of what it prints."""


AGENTS = [
    Agent("reads a home", "attempt(lambda: open(DECOYS + '/home/.ssh/id_rsa').read()); edit()", "", said="refused"),
    Agent("reads the run", "attempt(lambda: open(DECOYS + '/../run/run.db').read()); edit()", "", said="refused"),
    Agent("reads held-out data", "attempt(lambda: open(DECOYS + '/../task/heldout.txt').read()); edit()", "", said="refused"),
    Agent("writes outside", """
for way in (lambda: open(DECOYS + '/home/notes.txt', 'w'), lambda: os.unlink(DECOYS + '/home/tool.sh'),
            lambda: os.symlink('/', DECOYS + '/home/all'), lambda: os.rename(DECOYS + '/home', 'home')):
    attempt(way)
edit()
""", "", said="refused"),
    Agent("links hard to a secret", "attempt(lambda: os.link(DECOYS + '/home/notes.txt', 'program/program.py')); edit()", "",
          said="refused"),
    Agent("links its program to another file of its own", """
os.unlink('program/program.py'); open('more', 'w').write('X = 2\\n'); os.link('more', 'program/program.py')
""", ""),
    Agent("makes a device", """
attempt(lambda: os.mknod('program/program.py', 0o600 | stat.S_IFCHR, os.makedev(1, 5)))
os.unlink('program/program.py'); attempt(lambda: os.mknod('program/program.py', 0o600 | stat.S_IFCHR, os.makedev(1, 5)))
""", "it removed program/program.py", said="refused"),
    Agent("puts pipes where files are read", "os.mkfifo('usage.json'); os.mkfifo('notes.md'); edit()",
          "usage.json is no plain file"),
    Agent("forks without end", "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
          "command.processes is the limit|it took longer", 20.0),
    Agent("fills its folder", """
os.mkdir('program/more')
for number in range(10**6):
    with open(f'program/more/{number}', 'wb') as file:
        file.write(bytes(1 << 20))
""", "the command was ended: |it ended with exit code 1: OSError", 60.0),
    Agent("makes 100,000 files", """
os.mkdir('program/many')
for number in range(100_000):
    open(f'program/many/{number}', 'w').close()
edit()
""", "1,000 files|the command was ended: |it took longer", 60.0),
    Agent("nests folders without end", """
for _ in range(3000):
    os.mkdir('d'); os.chdir('d')
""", None),
    Agent("nests its program deep", """
os.chdir('program')
for _ in range(1500):
    os.mkdir('dddd'); os.chdir('dddd')
open('x.py', 'w').close()
""", "program/|the command was ended: scratch limit"),
    Agent("names files oddly", """
for name in (b'\\xff\\xfe.py', b'a\\nb.py', b'\\x1b[2Jx.py', b'-rf', b'x' * 255):
    open(b'program/' + name, 'w').close()
""", "whose name is not UTF-8|it left program/"),
    Agent("ignores signals", """
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
    signal.signal(number, signal.SIG_IGN)
time.sleep(1000)
""", "it took longer than 3 s", SECONDS),
    Agent("kills what runs it", "edit()\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(1000)", None, SECONDS),
    Agent("stops what runs it", "edit()\nos.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(1000)", None, SECONDS),
    Agent("kills all that it may", "edit()\nos.kill(-1, signal.SIGKILL)\ntime.sleep(1000)", None, SECONDS),
    Agent("stops itself", "os.kill(os.getpid(), signal.SIGSTOP)", "it took longer than 3 s", SECONDS),
    Agent("looks into what runs it", """
attempt(lambda: open(f'/proc/{os.getppid()}/environ', 'rb').read())
attempt(lambda: os.open(f'/proc/{os.getppid()}/mem', os.O_RDWR))
attempt(lambda: os.open(f'/proc/{os.getppid()}/fd/3', os.O_RDWR))
edit()
""", "", said="refused"),
    Agent("writes to every descriptor", """
for fd in range(3, 256):
    attempt(lambda: os.write(fd, b'\\0\\0\\0\\x02{}'))
edit()
""", "", said="refused OSError"),
    Agent("leaves a session of its own", """
edit()
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)', 'TOKEN'], start_new_session=True)
""", ""),
    Agent("tells a cost that changes all the time", """
for number in range(2000):
    with open('usage.json', 'w') as file:
        file.write('{"tokens_in": %d}' % number)
edit()
""", ""),
    Agent("tells a cost as a nested text", "open('usage.json', 'w').write('[' * 60_000)\ntime.sleep(1)\nedit()",
          "its usage.json cannot be counted"),
    Agent("tells a cost of 400 digits while it works", """
open('usage.json', 'w').write('{"tokens_in": ' + '9' * 400 + ', "usd": 1e999}')
time.sleep(1)
edit()
""", "its usage.json cannot be counted"),
]  # fmt: skip


async def run_agent(lair: Lair, agent: Agent) -> tuple[Ended, list[dict[str, float]]]:
    """Run it to its end, and return how it ended and what it said meanwhile that it cost; check that nothing is left."""
    body = agent.body.replace("DECOYS", repr(str(lair.decoys))).replace("TOKEN", lair.token)
    settings = CommandSettings(
        run=[sys.executable, "-c", PRELUDE + body], seconds=agent.seconds, memory_mb=512, processes=40
    )
    errand = Errand(
        command=tuple(settings.run),
        files={"README.md": b"Do your work.\n", "program/program.py": b"X = 1\n"},
        stdin="README.md",
        seconds=settings.seconds,
        tokens=None,
        most_bytes=100_000,
        network=False,
        environment={},
    )
    told: list[dict[str, float]] = []
    job = Job(
        program="", task_folder=lair.folder / "task", folder=lair.folder / "run" / "work" / uuid.uuid4().hex[:8],
        metric="", guarded=True, gpu=False, python=None, mounts=shown_paths(settings), stage="command", repeat=0,
        seed=0, settings={}, threads=1, is_build=True, errand=errand,
        limits=Limits(seconds=agent.seconds + SPARE, memory_mb=512, processes=40, file_mb=64, result_mb=4),
    )  # fmt: skip
    evaluation = await Evaluation.start(job, lambda step, values: told.append(values))
    outcome = await evaluation.outcome()
    mark = f" {mark_of(job.folder)} "
    assert lair.alive() == [] and left_with(mark) == []
    await evaluation.acknowledge()
    assert not job.folder.exists() and outcome.sandbox == lair.sandbox

    def read(files: object) -> str:
        assert isinstance(files, dict)
        if "program.py" not in files:
            from engine.programs.errors import ProgramError

            raise ProgramError("files", "it removed program/program.py")
        return files["program.py"].decode("utf-8", "replace")  # type: ignore[no-any-return]

    return read_end(outcome, read, settings, {}), told


def left_with(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and int(process.name) != os.getpid() and mark in (process / "limits").read_text():
                found.append(process.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name.replace(" ", "-"))
@pytest.mark.parametrize("level", LEVELS)
async def test_agent_harms_nothing_and_is_a_design_or_a_reason(lair: Lair, agent: Agent) -> None:
    lair.lay()
    before = lair.look()
    ended, told = await run_agent(lair, agent)
    assert lair.look() == before
    assert "secret" not in ended.transcript and "secret" not in ended.left.code
    assert agent.said in ended.transcript, ended.transcript
    left: Left = ended.left
    if agent.problem is not None:
        assert (not left.problem) == (not agent.problem), left.problem
        assert any(part in left.problem for part in agent.problem.split("|")), left.problem
    assert bool(left.code) == (not left.problem) and "\x1b" not in left.problem and "\n" not in left.problem
    assert all(usage_of(values) is not None or not values for values in told) and len(told) < 20
