"""Attacks on a guarded task: a candidate can neither forge a score nor read hidden data."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from .conftest import Workplace

ATTACK = """
import evolve_task

def evaluate(program_path, report):
    try:
        gained = evolve_task.call("attack", report.settings, seconds=10)
    except evolve_task.CandidateError as error:
        gained = str(error)
    return {"score": 1.0, "gained": str(gained)}
"""


async def attack(work: Workplace, program: str, **settings: object) -> str:
    """Run an attack and return what it claims to have gained; check that the score is the evaluator's."""
    outcome = await work.evaluate(program, ATTACK, guarded=True, settings=settings)
    assert (outcome.status, outcome.score, outcome.guarantee) == ("ok", 1.0, "guarded"), outcome.reason
    return str(outcome.metrics["gained"])


FORGED = """
import json, os
message = json.dumps({"type": "result", "status": "ok", "score": 1e9, "metrics": {}}).encode()
FRAME = len(message).to_bytes(4, "big") + message
"""


async def test_candidate_cannot_write_results_to_any_descriptor(guarded: Workplace) -> None:
    program = (
        FORGED
        + """
def attack(settings):
    for fd in range(3, 256):
        for data in (FRAME, message + b"\\n"):
            try:
                os.write(fd, data)
            except OSError:
                pass
    return "wrote"
"""
    )
    # An unrequested message of the candidate on its own channel counts as its answer.
    assert await attack(guarded, program) != "wrote"


async def test_candidate_cannot_open_descriptors_of_other_processes(guarded: Workplace) -> None:
    program = (
        FORGED
        + """
def attack(settings):
    opened = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        try:
            fds = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for fd in fds:
            try:
                target = os.open(f"/proc/{pid}/fd/{fd}", os.O_WRONLY)
                os.write(target, FRAME)
                opened.append(f"{pid}:{fd}:" + os.readlink(f"/proc/{pid}/fd/{fd}"))
            except OSError:
                pass
    return [name for name in opened if "/dev/null" not in name and "pipe:" not in name]
"""
    )
    assert await attack(guarded, program) == "[]"


async def test_candidate_sees_only_its_own_processes(guarded: Workplace) -> None:
    program = """
import os
def attack(settings):
    names = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        names.append(open(f"/proc/{pid}/comm").read().strip())
    return sorted(names)
"""
    assert await attack(guarded, program) in ("['bwrap', 'python']", "['bwrap', 'python3']")


async def test_candidate_cannot_trace_or_kill_others(guarded: Workplace) -> None:
    program = """
import ctypes, os
def attack(settings):
    libc = ctypes.CDLL(None, use_errno=True)
    gained = []
    for pid in range(2, 5000):  # 1 is the sandbox's own reaper: as bare of rights as the candidate
        if pid != os.getpid() and libc.ptrace(16, pid, 0, 0) == 0:
            gained.append(f"traced {pid}")
    for pid in (settings["engine"], os.getppid() + 100):
        try:
            os.kill(pid, 9)
            gained.append(f"killed {pid}")
        except OSError:
            pass
    return gained
"""
    assert await attack(guarded, program, engine=os.getpid()) == "[]"


async def test_fake_results_in_output_and_files_are_ignored(guarded: Workplace) -> None:
    program = """
import json, sys
def attack(settings):
    fake = json.dumps({"type": "result", "status": "ok", "score": 1e9, "outcome": {"score": 1e9}})
    print(fake, flush=True)
    print(fake, file=sys.stderr, flush=True)
    for name in ("outcome.json", "results.json", "../outcome.json", "../../outcome.json", "/evaluation/outcome.json"):
        try:
            open(name, "w").write(fake)
        except OSError:
            pass
    return "done"
"""
    assert await attack(guarded, program) == "done"


async def test_exit_and_patched_modules_do_not_affect_score(guarded: Workplace) -> None:
    gained = await attack(guarded, "import os\ndef attack(settings):\n    os._exit(0)\n")
    assert gained == "the candidate exited with code 0 and gave no result"
    program = """
import json, sys, evolve_task
json.dumps = lambda *a, **k: '{"type": "result", "status": "ok", "score": 1e9}'
json.loads = lambda *a, **k: {"type": "result", "score": 1e9}
evolve_task._make_result = lambda *a: {"type": "result", "status": "ok", "score": 1e9}
def attack(settings):
    return 5
"""
    await attack(guarded, program)
    gained = await attack(guarded, "import evolve_task\ndef attack(settings):\n    return evolve_task.call('attack')\n")
    assert "only inside an evaluation" in gained


async def test_candidate_cannot_read_secrets(guarded: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret")
    (guarded.folder / "run").mkdir()
    (guarded.folder / "run" / "run.db").write_text("the journal")
    (guarded.folder / "beside").write_text("the workspace")
    program = """
import os
def attack(settings):
    gained = [name for name, value in os.environ.items() if "secret" in value]
    for path in settings["paths"]:
        try:
            gained.append(os.listdir(path) if os.path.isdir(path) else open(path).read())
        except OSError:
            pass
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            gained += ["environ"] * (b"secret" in open(f"/proc/{pid}/environ", "rb").read())
        except OSError:
            pass
    return gained
"""
    run = guarded.folder / "run"
    paths = [str(path) for path in (run, run / "run.db", guarded.folder / "beside", "/etc/shadow", "/etc/passwd")]
    paths += [
        str(guarded.folder / "task"),
        str(guarded.folder / "task" / "evaluate.py"),
        str(Path.home() / ".ssh"),
        "/home",
    ]
    assert await attack(guarded, program, paths=paths) == "[]"


async def test_home_shows_only_interpreter(guarded: Workplace) -> None:
    program = """
import os
def attack(settings):
    seen = []
    def hidden(path):
        return not any(path.startswith(prefix) for prefix in settings["shown"])
    for folder, folders, files in os.walk(settings["home"]):
        # What is shown holds tens of thousands of files.
        folders[:] = [name for name in folders if hidden(os.path.join(folder, name))]
        seen += filter(hidden, (os.path.join(folder, name) for name in files))
    return seen[:5]
"""
    from engine.evaluation.interpreter import find_interpreter

    shown = list(find_interpreter(None, guarded.folder).prefixes)
    assert await attack(guarded, program, home=str(Path.home()), shown=shown) == "[]"


async def test_engine_is_not_importable(guarded: Workplace) -> None:
    program = """
import importlib.util, os
def attack(settings):
    found = []
    for name in ("engine.loop.engine", "engine.evaluation.evaluator", "sandbox", "supervisor", "evaluator"):
        try:
            found += [name] * (importlib.util.find_spec(name) is not None)
        except ImportError:
            pass
    return found
"""
    assert await attack(guarded, program) == "[]"


async def test_candidate_has_no_network(guarded: Workplace) -> None:
    program = """
import socket
def attack(settings):
    gained = []
    for address in (("127.0.0.1", settings["port"]), ("1.1.1.1", 53)):
        try:
            socket.create_connection(address, 1).close()
            gained.append(address)
        except OSError:
            pass
    unix = socket.socket(socket.AF_UNIX)
    try:
        unix.connect("\\0" + settings["name"])
        gained.append("abstract socket")
    except OSError:
        pass
    return gained
"""
    name = f"evolve-{guarded.token}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as unix:
        unix.bind("\0" + name)
        unix.listen()
        assert await attack(guarded, program, port=server.getsockname()[1], name=name) == "[]"


async def test_candidate_cannot_write_outside_scratch(guarded: Workplace) -> None:
    program = """
import os
def attack(settings):
    gained = []
    for path in settings["paths"]:
        try:
            open(path, "a").close()  # no more: on a machine where this works, it must not do harm
            gained.append(path)
        except OSError:
            pass
    return gained
"""
    task = guarded.folder / "task"
    paths = [str(task / "evaluate.py"), "/evaluation/program.py", "/evaluation/lib/evolve_task.py", "/x", "/usr/x"]
    paths += ["/dev/x", "/evaluation/x", os.__file__, str(guarded.folder / "x"), "/proc/sys/kernel/core_pattern"]
    paths += ["/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/dev/shm/../x"]
    assert await attack(guarded, program, paths=paths) == "[]"
    assert (task / "evaluate.py").read_text() == ATTACK


async def test_open_evaluator_cannot_write_task_folder(guarded: Workplace) -> None:
    program = "def run(report):\n    open(__import__('sys').modules['evaluate'].__file__, 'a').write('x')\n"
    outcome = await guarded.evaluate(program)
    assert outcome.status == "crashed" and "Read-only file system" in outcome.reason


async def test_candidate_cannot_create_namespaces_or_mounts(guarded: Workplace) -> None:
    program = """
import ctypes
def attack(settings):
    libc = ctypes.CDLL(None, use_errno=True)
    gained = ["userns"] * (libc.unshare(0x10000000) == 0)
    gained += ["mount"] * (libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0)
    gained += ["umount"] * (libc.umount2(b"/tmp", 2) == 0)
    gained += ["remount"] * (libc.mount(None, b"/usr", None, 32 | 4096, None) == 0)
    status = open("/proc/self/status").read()
    gained += [line for line in status.splitlines() if line.startswith("Cap") and int(line.split()[1], 16)]
    return gained
"""
    assert await attack(guarded, program) == "[]"


async def test_calls_share_no_state(guarded: Workplace) -> None:
    evaluator = """
import evolve_task
def evaluate(path):
    first = evolve_task.call("run", 1)
    return {"score": 1, "first": first, "second": evolve_task.call("run", 2)}
"""
    program = """
import os, pathlib, subprocess
def run(n):
    child = subprocess.Popen(["sleep", "1000.TOKEN"], start_new_session=True)
    # Its name changes a moment after the start is told.
    while "sleep" not in open(f"/proc/{child.pid}/comm").read():
        os.sched_yield()
    # Files only: the interpreter's own folder may be mounted below /tmp.
    tops = (os.getcwd(), "/tmp", "/dev/shm")
    seen = [str(p) for top in tops for p in pathlib.Path(top).iterdir() if p.is_file()]
    for top in tops:
        pathlib.Path(top, "left").write_text("x")
    return str(seen) + str(sum("sleep" in open(f"/proc/{p}/comm").read() for p in os.listdir("/proc") if p.isdigit()))
"""
    outcome = await guarded.evaluate(program, evaluator, guarded=True)
    assert outcome.metrics == {"first": "[]1", "second": "[]1"}
