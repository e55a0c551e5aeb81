"""Attacks on a guarded task: a candidate gets no score that it did not earn, and nothing that it is not shown."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest

from .conftest import GUARDED, Workplace, until

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
    """What an attack gained, by its own account; the score must be the evaluator's."""
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
    # The candidate spoke out of turn on its own channel, which counts as its answer.
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
    from engine.evaluation.sandbox import find_interpreter

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


async def test_evaluator_cannot_see_program_file(work: Workplace) -> None:
    outcome = await work.evaluate(
        "x = 1", "def evaluate(path):\n    return {'score': len(open(path).read())}", guarded=True
    )
    assert outcome.status == "crashed" and "use evolve_task.call or evolve_task.source" in outcome.reason
    assert outcome.guarantee == ("guarded" if work.sandbox == "bubblewrap" else "open")
    source = "import evolve_task\ndef evaluate(p):\n    return {'score': len(evolve_task.source())}"
    assert (await work.evaluate("x = 1", source, guarded=True)).score == 5


async def test_data_is_passed_in_both_directions(work: Workplace) -> None:
    evaluator = """
import evolve_task, numpy as np
def evaluate(path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    back, shape, rest = evolve_task.call("run", array, None, k={"a": (1, 2.5, "x", True)})
    assert back.dtype == np.float32 and (back == array * 2).all() and back.flags.writeable
    assert rest == {"a": [1, 2.5, "x", True]}, rest
    for bad in ({1: 2}, {2, 3}, np.array([object()])):
        try:
            evolve_task.call("run", bad, 1)
        except TypeError:
            continue
        raise AssertionError(bad)
    return {"score": sum(shape)}
"""
    program = "def run(x, nothing, k=None):\n    return x * 2, x.shape, k\n"
    outcome = await work.evaluate(program, evaluator, guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 5.0), outcome.stderr


@pytest.mark.parametrize(
    ("program", "status", "reason"),
    [
        ("def run():\n    raise KeyError('k')", "crashed", "KeyError: 'k'"),
        ("def run(", "crashed", "SyntaxError"),
        ("def ran(): pass", "crashed", "the program defines no function run()"),
        ("def run():\n    return object()", "crashed", "TypeError: value is a builtins.object: only None"),
        ("def run():\n    return [{'a': {1}}]", "crashed", "TypeError: value[0]['a'] is a builtins.set"),
        ("def run():\n    x = []\n    x.append(x)\n    return x", "crashed", "RecursionError"),
        ("def run():\n    import sys; sys.exit()", "crashed", "SystemExit"),
        ("def run():\n    import os; os.abort()", "crashed", "the candidate was killed by SIGABRT"),
        ("def run():\n    import time; time.sleep(1000)", "timeout", "run: no answer within 0.3 s"),
        ("import time; time.sleep(1000)", "timeout", "run: no answer within 0.3 s"),
    ],
)
async def test_candidate_errors_reach_outcome(guarded: Workplace, program: str, status: str, reason: str) -> None:
    evaluator = GUARDED.replace('"run"', '"run", seconds=0.3') if status == "timeout" else GUARDED
    outcome = await guarded.evaluate(program, evaluator, guarded=True)
    assert outcome.status == status and outcome.reason.startswith(reason), outcome.reason
    if "KeyError" in reason:
        assert b"program.py" in outcome.stderr and b"evaluate.py" not in outcome.stderr


async def test_deeply_nested_answer_is_refused(guarded: Workplace) -> None:
    program = """
import os
def run():
    body = b'{"type": "returned"}\\n' + b"[" * 100000 + b"]" * 100000
    os.write(3, len(body).to_bytes(4, "big") + body)
"""
    outcome = await guarded.evaluate(program, GUARDED, guarded=True)
    assert outcome.status == "crashed" and "what is no data" in outcome.reason


async def test_helper_runs_beside_candidate(work: Workplace) -> None:
    evaluator = """
import evolve_task
def evaluate(path):
    return {"score": evolve_task.call("trainer.py:train", 20)}
"""
    job = work.job("")
    (job.task_folder / "trainer.py").write_text("import program\ndef train(n):\n    return program.double(n) + 2\n")
    outcome = await work.evaluate("def double(x):\n    return 2 * x\n", evaluator, guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 42.0), outcome.reason


async def test_setup_of_helper_applies_to_candidate_imported_later(work: Workplace) -> None:
    evaluator = """
import evolve_task
def evaluate(path):
    return {"score": evolve_task.call("trainer.py:train")}
"""
    helper = """
import sys
def refuse(event, args):
    if event == "open":
        raise PermissionError("nothing is opened here")
sys.addaudithook(refuse)
import program
def train():
    return program.RESULT
"""
    (work.job("").task_folder / "trainer.py").write_text(helper)
    outcome = await work.evaluate("RESULT = 4.0\n", evaluator, guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 4.0), outcome.reason
    outcome = await work.evaluate("RESULT = len(open('/etc/passwd').read())\n", evaluator, guarded=True)
    assert outcome.status == "crashed" and "nothing is opened here" in outcome.reason
    outcome = await work.evaluate("RESULT = 1 / 0\n", evaluator, guarded=True)
    assert outcome.status == "crashed" and "division by zero" in outcome.reason


REPORTING = """
import evolve_task
def evaluate(path, report):
    return {"score": evolve_task.call("trainer.py:train", 3%s)}
"""

TRAINER = """
import evolve_task, program
def train(steps):
    for step in range(steps):
        evolve_task.progress(step=step, loss=1 / (1 + step), broken=float("nan"))
    return program.double(steps)
"""


async def test_helper_streams_progress_if_call_allows_it(work: Workplace) -> None:
    job = work.job("")
    (job.task_folder / "trainer.py").write_text(TRAINER)
    outcome = await work.evaluate("def double(x):\n    return 2 * x\n", REPORTING % ", report=report", guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 6.0), outcome.reason
    assert work.progress == [(0, {"loss": 1.0}), (1, {"loss": 0.5}), (2, {"loss": 1 / 3})]


async def test_unrequested_progress_ends_call(work: Workplace) -> None:
    job = work.job("")
    (job.task_folder / "trainer.py").write_text(TRAINER)
    outcome = await work.evaluate("def double(x):\n    return 2 * x\n", REPORTING % "", guarded=True)
    assert outcome.status == "crashed" and work.progress == []


async def test_evaluator_continues_after_failed_call(work: Workplace) -> None:
    evaluator = """
import evolve_task
def evaluate(path):
    for n in range(3):
        try:
            evolve_task.call("run", n, seconds=0.3)
        except evolve_task.CandidateTimeout:
            pass
        except evolve_task.CandidateError as error:
            assert "odd" in str(error) and "raise" in error.traceback
    return {"score": evolve_task.call("run", 7)}
"""
    program = """
import time
def run(n):
    if n == 0:
        time.sleep(1000)
    if n == 1:
        raise ValueError("odd")
    return n
"""
    outcome = await work.evaluate(program, evaluator, guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 7.0), outcome.reason


async def test_mounts_are_visible_to_evaluator_only(guarded: Workplace) -> None:
    data = guarded.folder / "data"
    data.mkdir()
    (data / "held_out.json").write_text(json.dumps([1, 2]))
    evaluator = """
import evolve_task, json, os
def evaluate(path):
    held_out = os.path.join(os.path.dirname(__file__), "..", "data", "held_out.json")
    return {"score": sum(json.load(open(held_out))), "seen": evolve_task.call("run", os.path.realpath(held_out))}
"""
    program = "import os\ndef run(path):\n    return os.path.exists(path)\n"
    outcome = await guarded.evaluate(program, evaluator, guarded=True, mounts=["../data"])
    assert (outcome.score, outcome.metrics) == (3.0, {"seen": False})


async def test_call_freezes_with_evaluation(guarded: Workplace) -> None:
    program = "import time\ndef run():\n    time.sleep(0.3)\n    return 1\n"
    evaluator = "import evolve_task\ndef evaluate(p, report):\n    report(step=1)\n" + (
        "    return {'score': evolve_task.call('run', seconds=0.8)}\n"
    )
    evaluation = await guarded.start(program, evaluator, guarded=True)
    await until(lambda: guarded.progress)
    evaluation.freeze()
    await asyncio.sleep(0.9)
    evaluation.thaw()
    outcome = await evaluation.outcome()
    assert outcome.score == 1
    await evaluation.acknowledge()


async def test_candidate_cannot_extend_time_of_call(guarded: Workplace) -> None:
    evaluator = """
import evolve_task
def evaluate(path):
    try:
        gained = evolve_task.call("attack", seconds=1)
    except evolve_task.CandidateError as error:
        gained = str(error)
    return {"score": 1.0, "gained": str(gained)}
"""
    program = """
import os, time
def attack():
    frame = b'{"type": "ready"}\\n'
    for _ in range(40):
        os.write(3, len(frame).to_bytes(4, "big") + frame)
        time.sleep(0.25)
    return "ten seconds"
"""
    outcome = await guarded.evaluate(program, evaluator, guarded=True)
    assert outcome.metrics["gained"] == "the candidate sent a second message that it is ready"
    assert outcome.seconds < 5
    frame = r"""b'\0\0\0\x11{"type":"ready"}\n'"""
    program = f"import os\ndef run(report):\n    os.write(3, {frame})\n    return {{'score': 1}}\n"
    outcome = await guarded.evaluate(program)
    assert outcome.reason == "the evaluator sent a second message that it is ready"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take niceness back")
async def test_candidates_have_priority_of_engine(work: Workplace) -> None:
    evaluator = """
import os, evolve_task
def evaluate(path):
    return {"score": evolve_task.call("run"), "own": os.nice(0)}
"""
    before = os.nice(0)
    os.setpriority(os.PRIO_PROCESS, 0, 7)
    try:
        outcome = await work.evaluate("import os\ndef run():\n    return os.nice(0)\n", evaluator, guarded=True)
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
    assert (outcome.score, outcome.metrics) == (7, {"own": 7})
