"""A place to let hostile candidates loose: decoys, a guarded task that tells what they reach, a look at the rest."""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.evaluation.evaluator import Outcome
from engine.evaluation.seccomp import ARCHITECTURES, number_of
from engine.evaluation.watch import mark_of
from tests.engine.evaluation.conftest import Workplace

__all__ = ["LEVELS", "Case", "Lair", "cases", "numbers"]

LEVELS = ("bubblewrap", "landlock", "limits")

EVALUATOR = """
import evolve_task

def evaluate(program_path):
    reached = evolve_task.call("solve")
    if not isinstance(reached, list) or not all(isinstance(name, str) for name in reached):
        raise evolve_task.Invalid("no list of names")
    return {"score": 1.0, "reached": " ".join(sorted(reached))}
"""

PRELUDE = """
import ctypes, errno, mmap, os, platform, signal, socket, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
reached = []

def attempt(name, action):
    "Note the name if the action raises nothing."
    try:
        action()
    except (OSError, ValueError, IndexError):
        return
    reached.append(name)

def call(number, *arguments):
    "Make a system call by its number."
    if number is None:
        raise OSError(errno.ENOSYS, "no such call on this machine")
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    found = libc.syscall(ctypes.c_long(number), *words)
    if found < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return found

def parent_of(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])

def solve():
    body()
    return reached
"""


@dataclass(frozen=True)
class Case:
    """A candidate that notes what it reached by name, and what is right."""

    name: str
    body: str
    """Statements of a function; DECOYS is the folder of decoys, SUPERVISOR and ENGINE are processes."""
    limits: str | None = ""
    """The names that it reaches with limits only, which promise little; None if that depends on the machine."""
    inside: str = ""
    """The names that it reaches in bubblewrap, where they are its own."""
    landlock: str = ""
    status: str = "ok"
    """One or more, of which the faster one wins."""
    reason: str = ""
    """Part of the reason."""
    changes: bool = False
    """Whether what it reaches with limits changes the decoys."""
    seconds: float = 20.0
    """Its time limit; shorter if that is what ends it."""
    forked: str | None = None
    """What it reaches in bubblewrap if it is forked; None if that is `inside`, too."""

    def reaches(self, level: str) -> str | None:
        return {"bubblewrap": self.inside, "landlock": self.landlock, "limits": self.limits}[level]


def cases(found: Iterable[Case]) -> pytest.MarkDecorator:
    """Run a test for each candidate at each level."""
    marks = {level: [pytest.mark.needs(level)] for level in ("bubblewrap", "landlock")}
    marks["limits"] = [pytest.mark.needs("seccomp")]
    each = [
        pytest.param(level, case, marks=marks[level], id=f"{level}-{case.name.replace(' ', '-')}")
        for case in found
        for level in LEVELS
    ]
    return pytest.mark.parametrize(("level", "case"), each)


def numbers(*names: str) -> str:
    """Return statements that name system calls by their numbers on this machine."""
    machine = platform.machine()
    known = {name: number_of(name, machine) if machine in ARCHITECTURES else None for name in names}
    return "".join(f"{name} = {number}\n" for name, number in known.items())


@dataclass
class Lair(Workplace):
    """A workplace with decoys beside it."""

    forks: bool = False
    """Whether evaluators and candidates are forked."""

    @property
    def decoys(self) -> Path:
        return self.folder / "decoys"

    def lay(self) -> None:
        """Make the decoys: a home, a run's journal, held-out data in the task's folder."""
        for name in ("home/.ssh/id_rsa", "home/notes.txt", "home/tool.sh"):
            path = self.decoys / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"secret {name}\n")
        (self.folder / "task").mkdir(exist_ok=True)
        (self.folder / "task" / "heldout.txt").write_text("secret\n")
        (self.folder / "run").mkdir(exist_ok=True)
        (self.folder / "run" / "run.db").write_text("secret\n")

    def look(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Return the state of all decoys: mode, owner, time and content."""
        found = {}
        for folder in (self.decoys, self.folder / "task"):
            for path in [folder, *sorted(folder.rglob("*"))]:
                if path.name == "evaluate.py":
                    continue  # written anew for each job
                status = path.lstat()
                regular = stat.S_ISREG(status.st_mode)
                content = path.read_bytes() if regular else b""
                modified = status.st_mtime_ns if regular else 0
                found[str(path)] = (status.st_mode, status.st_uid, modified, content)
        return found

    async def loose(self, code: str, **options: object) -> Outcome:
        """Evaluate a candidate to its end; check that no process of it is left and its folder is gone."""
        program = code.replace("DECOYS", repr(str(self.decoys))).replace("ENGINE", str(os.getpid()))
        limits = {"seconds": 20.0, "memory_mb": 1024, **options}
        job = self.job(program, EVALUATOR, guarded=True, limits=limits)
        from engine.evaluation.evaluator import Evaluation

        evaluation = await Evaluation.start(job, lambda step, values: None)
        outcome = await evaluation.outcome()
        assert evaluation.warm is self.forks
        mark = f" {mark_of(job.folder)} "
        left = [pid for pid in Path("/proc").iterdir() if pid.name.isdigit() and mark in _limits_of(pid)]
        assert left == [] and self.alive() == []
        await evaluation.acknowledge()
        assert not job.folder.exists()
        assert (outcome.sandbox, outcome.guarantee) == (
            self.sandbox,
            "open" if self.sandbox == "limits" else "guarded",
        )
        return outcome

    async def judge(self, case: Case) -> None:
        """Let a candidate loose, and compare what it reached with what is right at this level."""
        self.lay()
        before = self.look()
        body = "".join(f"    {line}\n" for line in case.body.strip("\n").split("\n"))
        program = f"{PRELUDE}\ndef body():\n    SUPERVISOR = os.getppid()\n{body}"
        outcome = await self.loose(program, seconds=case.seconds)
        told = (outcome.status, outcome.reason, outcome.stderr[-2000:])
        assert outcome.status in case.status.split(), told
        assert case.reason in outcome.reason, told
        expected = case.forked if self.forks and case.forked is not None else case.reaches(self.sandbox)
        if outcome.status == "ok" and expected is not None:
            assert outcome.metrics["reached"] == expected, told
        if not (case.changes and self.sandbox == "limits"):
            assert self.look() == before


def _limits_of(process: Path) -> str:
    try:
        return (process / "limits").read_text()
    except OSError:
        return ""  # it has ended
