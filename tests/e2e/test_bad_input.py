"""Bad input of every kind gives one clear message or a recorded outcome; nothing is lost and no traceback is shown."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.database import send_command
from engine.runs.folder import Run
from tests.conftest import COMMAND, OPEN_EVALUATE, Evolve, Result, TaskMaker
from tests.e2e.runs import (
    check_complete,
    check_integrity,
    finish,
    fold,
    make_run,
    processes_of,
    slow_evaluate,
    start_engine,
    wait_for,
    wait_for_event,
)


def one_message(result: Result, told: str) -> None:
    """Check that a command failed with a message of at most two lines that says what is wrong."""
    lines = result.err.strip().splitlines()
    assert result.code in (1, 2), result
    assert "Traceback" not in result.err
    assert 1 <= len(lines) <= 2, result.err
    assert lines[0].startswith("error: ")
    assert told in result.err, result.err


def test_unknown_task_is_reported_with_known_ones(evolve: Evolve) -> None:
    one_message(evolve("run", "circle_packin", "--headless"), "circle_packing")


def test_typo_in_task_toml_is_named(make_task: TaskMaker, evolve: Evolve) -> None:
    task = make_task(toml="[[stages]]\nname = 'explore'\nthreshhold = 1\n")
    for command in ("run", "check"):
        one_message(evolve(command, task), "unknown key 'stages[0].threshhold' (did you mean 'threshold'?)")


def test_wrong_options_are_usage_errors(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task()
    assert evolve("run", task, "--rounds", "-3").code == 2
    assert evolve("run", task, "--frobnicate").code == 2
    one_message(evolve("run", task, "--set", "sampler.k=1"), "unknown key 'sampler.k'")
    one_message(evolve("run", task, "--designer", "magic"), "designer.name")
    one_message(evolve("run", task, "--headless", "--detach"), "exclude each other")
    one_message(evolve("run", task, "--designer", "llm", "--headless", "--runs", tmp_path / "r"), "needs a model")


EVALUATORS = {
    "raises": ("raise KeyError('depth')", "crashed", "KeyError: 'depth'"),
    "garbage": ("return 'good'", "invalid", "'good'"),
    "nan": ("return {'score': float('nan')}", "invalid", "nan"),
    "no_score": ("return {'sum': 3}", "invalid", "'score'"),
    "hangs": ("time.sleep(600)", "timeout", "4 s"),
    "killed": ("os.kill(os.getpid(), 9)", "crashed", "SIGKILL"),
    "exits": ("os._exit(0)", "crashed", "no result"),
    "floods": ("os.write(1, b'x' * (5 << 20)); return {'score': 1.0}", "crashed", "output"),
    "forks": ("[os.fork() or time.sleep(600) for _ in range(40)]; time.sleep(600)", "crashed", "processes"),
    "eats": ("kept = [b'x' * (64 << 20) for _ in range(40)]; return {'score': len(kept)}", "crashed", "memory"),
}


@pytest.mark.parametrize("kind", EVALUATORS)
def test_misbehaving_evaluator_is_recorded_outcome(make_task: TaskMaker, tmp_path: Path, kind: str) -> None:
    """The seed is measured normally; the evaluator misbehaves for every later node."""
    body, status, told = EVALUATORS[kind]
    evaluate = (
        "import os, time\n\n\ndef evaluate(path):\n    if 'X = 0.5\\nY = 0.25\\nZ = 2.0' in open(path).read():\n"
        f"        return {{'score': 0.5}}\n    {body}\n"
    )
    toml = "cpu_seconds = 5\nprocesses = 20\noutput_mb = 1\n"
    run = make_run(
        make_task(evaluate=evaluate, toml=toml, seconds=4 if kind == "hangs" else 30), tmp_path / "runs", rounds=2
    )
    state = finish(run)
    assert [node.status for node in state.nodes] == ["ok", status, status]
    assert told in state.nodes[1].reason, state.nodes[1].reason
    assert state.nodes[1].lesson
    assert (state.best, state.nodes[1].score) == (0, None)
    check_complete(run, 2)
    check_integrity(run)


def test_failing_seed_fails_run_with_reason(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task(evaluate="def evaluate(path):\n    raise RuntimeError('no data here')\n")
    done = evolve("run", task, "--headless", "--json", "--runs", tmp_path / "runs")
    assert done.code == 1
    assert (done.json["status"], done.json["rounds"]) == ("failed", 0)
    assert "no data here" in done.json["reason"]
    assert "Traceback" not in done.err
    checked = evolve("check", task)
    assert checked.code == 2
    assert "FAIL  seed.py in 'explore': crashed" in checked.out
    assert "no data here" in checked.out
    again = evolve("resume", "--headless", "--json", "--runs", tmp_path / "runs")
    assert (again.code, again.json["status"]) == (1, "failed")


def test_syntax_error_in_seed_is_reported_before_anything_runs(make_task: TaskMaker, evolve: Evolve) -> None:
    one_message(evolve("run", make_task(seed="def point(:\n"), "--headless"), "seed.py:1 is not valid Python")


def test_candidate_with_syntax_error_gets_no_node(make_task: TaskMaker, tmp_path: Path) -> None:
    """The check refuses a recipe that does not fit at its place, and records the reason."""
    recipe = "# Broken\n\n```python recipe\ndef left():\n    return return\n```\n"
    run = make_run(make_task(priors={"broken.md": recipe}), tmp_path / "runs", rounds=6, workers=1)
    state = finish(run)
    assert all(node.status == "ok" for node in state.nodes)
    check_complete(run, 6)


@pytest.mark.needs("unshare", "mount")
def test_unwritable_runs_folder_is_reported(make_task: TaskMaker, tmp_path: Path, evolve: Evolve) -> None:
    (tmp_path / "file").write_text("")
    one_message(evolve("run", make_task(), "--headless", "--runs", tmp_path / "file" / "runs"), "cannot be made")
    read_only = tmp_path / "ro"
    read_only.mkdir()
    mount = f"mount --bind '{read_only}' '{read_only}' && mount -o remount,bind,ro '{read_only}' && exec \"$@\""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", *COMMAND, "run",
         str(tmp_path / "tasks" / "point"), "--headless", "--runs", str(read_only)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    one_message(Result(done.returncode, done.stdout, done.stderr), "Read-only file system")


@pytest.mark.parametrize("pause", [None, {}, {"now": True}])
def test_engine_of_deleted_run_ends_with_message(
    make_task: TaskMaker, tmp_path: Path, pause: dict[str, bool] | None
) -> None:
    run = make_run(make_task(evaluate=slow_evaluate(1)), tmp_path / "runs", rounds=50, workers=1)
    engine = start_engine(run)
    with run.log.open() as log:
        wait_for_event(run, lambda e: isinstance(e.data, ev.EvalStarted) and e.round, "an evaluation")
        if pause is not None:
            send_command(run.db, "pause", pause)
            wait_for_event(run, lambda e: isinstance(e.data, ev.RunPaused), "the pause")
        # A folder is not empty if the engine makes a file while it is deleted: delete again, as a person would.
        while run.folder.exists():
            shutil.rmtree(run.folder, ignore_errors=True)
        assert engine.wait(90) == 1
        assert log.read() == f"error: the folder of run '{run.name}' was deleted: {run.folder}\n"
    assert not run.db.exists()
    wait_for(lambda: not processes_of(str(run.folder)), "the end of all its processes")


@pytest.mark.needs("unshare", "mount", "sed")
def test_full_disk_fails_run_which_keeps_nodes_and_resumes(make_task: TaskMaker, tmp_path: Path) -> None:
    """The file system has 12 MB; the evaluations print incompressible data until it is full."""
    evaluate = OPEN_EVALUATE.replace(
        "    x, y =", "    import os, sys\n    sys.stdout.buffer.write(os.urandom(120_000))\n    x, y ="
    )
    task = make_task(evaluate=evaluate)
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    evolve = " ".join(f"'{part}'" for part in COMMAND)
    script = f"""
        cd '{tmp_path}'
        mount -t tmpfs -o size=12m tmpfs '{disk}' || exit 99
        {evolve} run '{task}' --headless --json --rounds 400 --runs '{disk}/runs' >first 2>first.err
        echo $? >code
        mount -o remount,size=64m '{disk}' || exit 98
        done=$(sed 's/.*"rounds": \\([0-9]*\\).*/\\1/' first)
        {evolve} resume --headless --json --rounds $((done + 6)) --runs '{disk}/runs' >second 2>second.err
        cp -r '{disk}/runs' '{kept}'
    """
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first = Result(int((tmp_path / "code").read_text()), (tmp_path / "first").read_text(), "")
    assert (first.code, first.json["status"]) == (1, "failed"), (tmp_path / "first.err").read_text()
    assert "no space left" in first.json["reason"].lower()
    assert first.json["rounds"] > 3
    assert "Traceback" not in (tmp_path / "first.err").read_text()
    second = Result(0, (tmp_path / "second").read_text(), "")
    assert (second.json["status"], second.json["rounds"]) == ("finished", first.json["rounds"] + 6)
    run = Run(next(kept.iterdir()))
    check_integrity(run)
    check_complete(run, second.json["rounds"])


def test_unusable_journal_is_reported(make_task: TaskMaker, tmp_path: Path, evolve: Evolve) -> None:
    where = ("--runs", tmp_path / "runs")
    good = evolve("run", make_task(), "--headless", "--json", "--rounds", 3, "--name", "good", *where).json
    path = tmp_path / "runs" / "bad" / "run.db"
    shutil.copytree(good["run"], path.parent)
    whole = path.read_bytes()
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as connection:
        connection.execute("CREATE TABLE events (seq)")
    damaged = {
        "empty": b"",
        "text": b"not a database, " * 500,
        "torn": whole[:5000] + b"\xa5" * 20_000,
        "foreign": (tmp_path / "foreign.db").read_bytes(),
    }
    for damage, content in damaged.items():
        path.write_bytes(content)
        for command in (["show", "bad"], ["resume", "bad", "--headless"], ["best", "bad"], ["events", "bad"]):
            one_message(evolve(*command, *where), str(path))
        listed = evolve("runs", "--json", *where)
        assert [entry["name"] for entry in listed.json] == ["good"], damage
        assert "warning: " in listed.err, damage
        assert "Traceback" not in listed.err, damage


def test_ambiguous_or_unknown_run_is_reported(make_task: TaskMaker, tmp_path: Path, evolve: Evolve) -> None:
    where = ("--runs", tmp_path / "runs")
    one_message(evolve("show", *where), "there is no such folder")
    (tmp_path / "runs").mkdir()
    one_message(evolve("show", *where), "no run in")
    for name in ("alpha-1", "alpha-2"):
        evolve("run", make_task(name=name), "--headless", "--rounds", 0, "--name", name, *where)
    one_message(evolve("show", "alpha", *where), "fits several runs, newest first: alpha-2, alpha-1")
    one_message(evolve("show", "beta", *where), "there is no run 'beta'")
    one_message(
        evolve("run", make_task(name="third"), "--headless", "--name", "alpha-1", *where), "there is a run 'alpha-1'"
    )


def test_hostile_text_of_candidate_never_reaches_terminal(make_task: TaskMaker, tmp_path: Path, evolve: Evolve) -> None:
    evaluate = (
        "def evaluate(path):\n    print('\\x1b]0;owned\\x07\\x1b[2J')\n    return {'score': 1.0, 'm': '\\x1b[31m'}\n"
    )
    run = make_run(make_task(evaluate=evaluate), tmp_path / "runs", rounds=0)
    fold(run)
    finish(run)
    shown = evolve("show", run.name, 0, "--runs", tmp_path / "runs")
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "\x07" not in shown.out
    assert "␛]0;owned" in shown.out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['evolve', '--help']\nfrom engine.cli import main\n"
        "try:\n    main()\nexcept SystemExit as exc:\n    assert not exc.code, exc.code\n"
        "heavy = {'torch', 'openai', 'scipy', 'textual', 'libcst', 'sqlite_utils', 'triton'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert "Start a run" in done.stdout
