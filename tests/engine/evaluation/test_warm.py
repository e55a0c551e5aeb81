"""Warm starts: a forked process is what a started one is, and knows nothing of another evaluation or of the job."""

from __future__ import annotations

import ast
import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation import launch, warm
from engine.evaluation.bubblewrap import OFF, WARM_VARIABLE
from engine.evaluation.evaluator import Outcome
from tests.e2e.runs import processes_of, wait_for

from .conftest import GUARDED, OPEN, Workplace, until
from .test_forker import field_of, opened_by, words_of

RUN = "def run(*report):\n    return {'score': 1.0} if report else 1.0\n"

LOOK = """
import sys
def run():
    import gc, locale, os, resource, signal, socket, warnings
    def attempt(action):
        try:
            return action() or "done"
        except OSError as exc:
            return exc.errno
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    names = "Umask Uid Gid Groups NStgid NSpid NSpgid NSsid Threads SigPnd ShdPnd SigBlk SigIgn SigCgt CapInh CapPrm"
    names += " CapEff CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters Cpus_allowed CoreDumping"
    found = {name: lines.get(name, "").strip() for name in names.split()}
    mounts = [line.split(" - ") for line in open("/proc/self/mountinfo")]
    # What bubblewrap covers in /proc is read-only in either; the program's file lies on a disk, or in memory.
    mounted = {(a.split()[4], a.split()[5], b.split()[0]) for a, b in mounts if not a.split()[4].startswith("/proc/")}
    found["mounts"] = sorted((place, how, "" if place.endswith("program.py") else kind) for place, how, kind in mounted)
    # An interpreter below /tmp is shown there again, above what the view shows.
    places = [a.split()[4] for a, _ in mounts if not a.split()[4].startswith("/tmp")]
    found["twice"] = len(places) - len(set(places))
    for file in ("limits", "uid_map", "gid_map", "setgroups", "oom_score_adj"):
        found[file] = open(f"/proc/self/{file}").read()
    found["variables"] = dict(os.environ)
    found["python"] = [os.getcwd(), sys.path, sys.argv, sys.executable, sys.prefix, repr(sys.flags), gc.isenabled()]
    found["python"] += [locale.setlocale(locale.LC_ALL), repr(warnings.filters), hash("x"), sys.getrecursionlimit()]
    found["python"] += [sorted(vars(sys.modules["__main__"])), "supervisor" in sys.modules]
    found["descriptors"] = [fd for fd in range(64) if attempt(lambda: os.fstat(fd)) != 9]
    found["processes"] = sorted(name for name in os.listdir("/proc") if name.isdigit())
    own = ["/evaluation", "/evaluation/lib", "/evaluation/scratch", "/tmp", "/dev/shm"]
    for folder in [*own, "/", "/dev", "/dev/pts", "/etc", "/proc/sys"]:
        how, what = os.statvfs(folder), os.stat(folder)
        found[folder] = [sorted(os.listdir(folder)), what.st_mode, what.st_uid]
        found[folder] += [how.f_blocks * how.f_frsize, how.f_files, how.f_flag]
        found[folder].append(attempt(lambda: os.close(os.open(folder + "/new", os.O_CREAT | os.O_WRONLY))))
    found["signals"] = {number: str(signal.getsignal(number)) for number in range(1, 65) if number not in (32, 33)}
    streams = (sys.stdin, sys.stdout, sys.stderr)
    found["streams"] = [(s.encoding, s.errors, s.line_buffering, s.seekable(), s.isatty(), s.name) for s in streams]
    program = "/evaluation/program.py"
    found["program"] = [open(program).read(), os.stat(program).st_mode, attempt(lambda: os.chmod(program, 0o777))]
    found["interpreter"] = [attempt(lambda: os.chmod(f"/proc/{pid}/exe", 0o755)) for pid in ("self", os.getpid())]
    found["interpreter"].append(attempt(lambda: os.utime("/proc/self/exe")))
    found["interpreter"].append(attempt(lambda: os.close(os.open("/proc/self/exe", os.O_RDWR))))
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    reached = attempt(lambda: socket.create_connection(server.getsockname()).close())
    found["network"] = [socket.gethostname(), socket.if_nameindex(), reached]
    found["terminals"] = os.openpty() and sorted(os.listdir("/dev/pts"))
    return repr(found)
"""

TOLD = """
import evolve_task

def evaluate(program_path):
    told = evolve_task.call("run")
    return {"score": 1.0, "told": told if isinstance(told, float) else repr(told)}
"""

TELL_ALL = """
import evolve_task

def evaluate(program_path, report):
    report.feedback(evolve_task.call("run"))
    return {"score": 1.0}
"""


@pytest.fixture
def forked(guarded: Workplace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """Return a workplace whose evaluations are forked from the first one on."""
    monkeypatch.setattr(warm, "_WORTH_IT", 1)
    monkeypatch.setattr(launch, "warm_starts", warm.WarmStarts())
    yield guarded
    launch.warm_starts.close()


def parent() -> int:
    """Return the process that evaluations are forked from."""
    (only,) = launch.warm_starts._found.values()
    return only.forker._pid


async def evaluate(work: Workplace, program: str, evaluator: str, warm: bool = True, guarded: bool = True) -> Outcome:
    evaluation = await work.start(program, evaluator, guarded=guarded)
    outcome = await evaluation.outcome()
    assert outcome.status == "ok", (outcome.reason, outcome.stderr)
    assert evaluation.warm is warm, launch.warm_starts.lacks
    await evaluation.acknowledge()
    return outcome


async def test_forked_candidate_finds_what_a_started_one_finds(
    forked: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ast.literal_eval((await evaluate(forked, LOOK, TELL_ALL)).feedback)
    monkeypatch.setenv(WARM_VARIABLE, OFF)
    expected = ast.literal_eval((await evaluate(forked, LOOK, TELL_ALL, warm=False)).feedback)
    assert found["twice"] == 0, "nothing is hidden below a mount"
    assert found == {**expected, "twice": 0}


async def test_forked_evaluator_sees_the_program_only_if_its_task_is_open(forked: Workplace) -> None:
    see = '{"score": 1.0, "sees": __import__("os").path.exists("/evaluation/program.py")}'
    opened = OPEN.replace("return module.run(report)", f"return {see}")
    assert (await evaluate(forked, RUN, opened, guarded=False)).metrics == {"sees": True}
    closed = GUARDED.replace('{"score": evolve_task.call("run")}', see)
    assert (await evaluate(forked, RUN, closed)).metrics == {"sees": False}


SEARCH = """
import ctypes
def run():
    # Words and memory are compared backwards, so that what is looked for here is not found here.
    backwards = {name: (TOLD + "-" + name[::-1]).encode() for name in ("own", "earlier", "setting", "evaluator")}
    backwards["folder"] = FOLDER.encode()
    found = set()
    for line in open("/proc/self/maps"):
        place, rights, _, _, inode = line.split()[:5]
        if rights.startswith("rw") and inode == "0":
            begin, end = (int(number, 16) for number in place.split("-"))
            block = ctypes.string_at(begin, end - begin)[::-1]
            found.update(name for name, word in backwards.items() if word in block)
    return [len(KEPT), *sorted(found)]
"""


async def test_nothing_of_another_evaluation_or_of_its_job_is_in_a_candidates_memory(forked: Workplace) -> None:
    told, folder = forked.token, str(forked.folder / "run")[::-1]
    evaluator = TOLD.replace("import evolve_task", f"import evolve_task\nWORD = 'evaluator-{told[::-1]}'")
    search = f"TOLD, FOLDER = '{told}', '{folder}'\nKEPT = 'own-{told[::-1]}'\n{SEARCH}"
    for text, found in ((f"WORD = 'earlier-{told[::-1]}'\n{RUN}", 1.0), (search, f"[{4 + len(told)}, 'own']")):
        evaluation = await forked.start(text, evaluator, guarded=True, settings={"key": f"setting-{told[::-1]}"})
        outcome = await evaluation.outcome()
        assert evaluation.warm
        assert outcome.status == "ok", outcome.reason
        assert outcome.metrics.get("told", outcome.feedback) == found
        await evaluation.acknowledge()


async def test_what_is_forked_is_told_of_no_folder_that_it_needs_not(forked: Workplace) -> None:
    job = forked.job(RUN, GUARDED, guarded=True)
    plan = launch.make_plan(job, *await launch.prepare(job)).warm
    assert plan is not None
    in_memory = tuple(f"{folder}/" for folder, _ in plan.sizes)
    assert all(path.startswith(in_memory) for paths in plan.kept for path in paths)


async def test_random_numbers_differ_between_forks(forked: Workplace) -> None:
    draw = "[random.random(), float(numpy.random.random()), float(numpy.random.default_rng().random())]"
    program = f"import random, numpy\ndef run():\n    return {draw}\n"
    evaluator = f"""
import evolve_task, random, numpy
def evaluate(program_path):
    return {{"score": 1.0, "told": evolve_task.call("run"), "own": {draw}}}
"""
    drawn = []
    for _ in range(2):
        metrics = (await evaluate(forked, program, evaluator)).metrics
        drawn += metrics["told"] + metrics["own"]
    assert len(set(drawn)) == len(drawn) == 12


async def test_killed_parent_costs_no_evaluation(forked: Workplace) -> None:
    await evaluate(forked, RUN, GUARDED)
    first = parent()
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    await evaluate(forked, RUN, GUARDED, warm=False)
    await evaluate(forked, RUN, GUARDED)
    assert parent() != first


async def test_failure_to_fork_is_no_failure_of_the_evaluation(
    forked: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_FAILURES", 1)
    monkeypatch.setattr("engine.evaluation.evaluator._RETRIES", (0.0, 0.0))
    made = warm.make_forker

    def without_room(plan: warm.WarmPlan, *others: Any) -> warm.Forker:
        return made(replace(plan, sizes=(("/nowhere", 4096),)), *others)

    monkeypatch.setattr(warm, "make_forker", without_room)
    await evaluate(forked, RUN, GUARDED, warm=False)
    (lack,) = launch.warm_starts.lacks.values()
    assert "/nowhere" in lack


async def test_killed_supervisor_leaves_nothing(forked: Workplace) -> None:
    sleeps = "import subprocess\ndef run():\n    subprocess.run(['sleep', '60.TOKEN'])\n"
    evaluation = await forked.start(sleeps, GUARDED, guarded=True)
    await until(forked.alive)
    os.kill(evaluation._pid, signal.SIGKILL)
    assert "supervisor was killed" in (await evaluation.outcome()).reason
    await until(lambda: not forked.alive())
    await evaluation.acknowledge()


async def test_parent_ends_with_its_engine_and_holds_nothing_of_an_evaluation(forked: Workplace) -> None:
    slow = "import time\ndef run():\n    time.sleep(0.3)\n    return 1.0\n"
    evaluation = await forked.start(slow, GUARDED, guarded=True)
    assert not any(str(forked.folder) in name for name in opened_by(parent()))
    assert "supervisor.forker" in words_of(parent())
    assert field_of(parent(), "Threads") == "1"
    # One for both views, so that one process starts evaluator and candidate.
    assert len({name for name in opened_by(parent()) if name.startswith("user:")}) == 1
    assert (await evaluation.outcome()).score == 1
    await evaluation.acknowledge()


@pytest.mark.parametrize(
    "use",
    [
        "from engine.evaluation.warm import _OpenView; _OpenView({stuck})",
        "import sys; from engine.evaluation.sandbox import _exit_code; _exit_code({stuck}, sys.stderr)",
    ],
    ids=["view", "trial"],
)
def test_sandbox_that_is_being_made_ends_with_its_engine(tmp_path: Path, use: str) -> None:
    # It stands for a bubblewrap whose first process was killed before it has told the second one to go on.
    token, ready = f"{86_400 + random.randrange(10**9)}", tmp_path / "ready"
    stuck = ["/bin/sh", "-c", f"trap '' HUP TERM; : > {ready}; sleep {token} & wait"]
    with subprocess.Popen([sys.executable, "-c", use.format(stuck=stuck)]) as engine:
        wait_for(ready.exists, "the sandbox to be begun")
        engine.kill()
    wait_for(lambda: not processes_of(token), "the end of all")


def test_libraries_are_imported_ahead_only_where_they_are_used(tmp_path: Path) -> None:
    def preload(evaluator: str, program: str = "") -> tuple[str, ...]:
        (tmp_path / "evaluate.py").write_text(evaluator)
        return warm.preload_for(tmp_path, program)

    assert preload("import numpy as np\n", "x = 1") == ("numpy",)
    assert preload("def f():\n    from numpy import array\n") == ("numpy",)
    assert preload("import numpyro\n# import numpy\n") == ()
    assert preload("import torch.nn as nn\n", "from numpy import ones\n") == ("numpy", "torch")
    assert preload("import threading, math, os.path\n", "import json\n") == ("math",)


def test_what_the_task_has_a_file_for_is_not_imported_ahead(tmp_path: Path) -> None:
    (tmp_path / "evaluate.py").write_text("import json, random, string\n")
    (tmp_path / "random.py").touch()
    (tmp_path / "string").mkdir()
    assert warm.preload_for(tmp_path, "") == ("json",)


async def test_what_is_one_too_many_is_ended_where_evaluations_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[tuple[str, threading.Thread]] = []

    class Made:
        def __init__(self, plan: warm.WarmPlan, *_: object) -> None:
            self.name = plan.interpreter

        def close(self) -> None:
            closed.append((self.name, threading.current_thread()))

    monkeypatch.setattr(warm, "make_forker", Made)
    starts = warm.WarmStarts()
    plans = [warm.WarmPlan((), (), ((), ()), False, (), str(number)) for number in range(6)]
    for plan in plans:
        for _ in range(3):
            found = await starts.find(plan, {}, ())
        assert found is not None and getattr(found.forker, "name") == plan.interpreter  # noqa: B009
    assert closed == [("0", threading.current_thread()), ("1", threading.current_thread())]
    # Two evaluations of a kind that start together make one.
    twice = [starts.find(plans[0], {}, ()) for _ in range(2)]
    one, other = await asyncio.gather(*twice)
    assert one is not None and one is other
    starts.close()
    assert [name for name, _ in closed] == ["0", "1", "2", "3", "4", "5", "0"]
