"""Files that the sandbox shows and hides, and the requirements of its own files."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

import engine.evaluation
from engine.errors import EvolveError, UsageError
from engine.evaluation import interpreter as interpreters
from engine.evaluation import sandbox as sb
from engine.evaluation.interpreter import Interpreter, find_interpreter
from engine.evaluation.supervisor.folders import remove_tree
from engine.workspace import workspace

from .conftest import Workplace


@pytest.mark.parametrize("pattern", ["supervisor/*.py", "evolve_task.py"])
def test_harness_runs_on_python_3_9_with_standard_library_only(pattern: str) -> None:
    sources = list(Path(engine.evaluation.__file__).parent.glob(pattern))
    assert sources
    names: set[str] = set()
    for node in (node for path in sources for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 9)))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    assert names - {"numpy"} <= sys.stdlib_module_names  # numpy only where the task's own data holds its arrays


def test_environment_is_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("PYTHONPATH", "/x")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    here = sb.Sandbox("", "")
    found = sb.environment(here, "/scratch", threads=2, gpu=False, device="")
    assert not {"AWS_SECRET_ACCESS_KEY", "PYTHONPATH"} & set(found)
    assert (found["LC_TIME"], found["HOME"], found["OMP_NUM_THREADS"]) == ("C", "/scratch", "2")
    assert found["CUDA_VISIBLE_DEVICES"] == ""
    assert sb.environment(here, "/s", threads=1, gpu=True, device="")["CUDA_VISIBLE_DEVICES"] == "5"
    assert sb.environment(here, "/s", threads=1, gpu=True, device="GPU-1")["CUDA_VISIBLE_DEVICES"] == "GPU-1"


def test_only_gpu_tasks_get_device_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(sb, "GPU_DEVICES", [f"{tmp_path}/nvidia*"])
    interpreter = Interpreter(sys.executable, (), "")
    for gpu in (True, False):
        view = sb.View(interpreter, scratch="/scratch", gpu=gpu)
        command = sb.build_command(sb.Sandbox("bwrap", ""), view, "evaluator")
        assert (str(tmp_path / "nvidia0") in command) is gpu
        assert ("/sys" in command) is gpu


def test_old_interpreter_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho '[[3, 8], [\"/usr\"], [], [], null]'\n")
    old.chmod(0o755)
    (tmp_path / "task").mkdir()
    name_in_config(f'[interpreters]\npaths = ["{old}"]\n')
    for python in ("../python", "./../python", str(old)):
        with pytest.raises(EvolveError, match=r"is Python 3\.8, below 3\.9"):
            find_interpreter(python, tmp_path / "task")


def test_interpreter_that_nobody_named_is_not_started(tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    evil.chmod(0o755)
    (tmp_path / "task").mkdir()
    name_in_config('[interpreters]\npaths = ["/usr/bin/python3"]\n')
    for python in ("../evil", str(evil), f"/usr/bin/../..{evil}"):
        with pytest.raises(EvolveError, match=r"is not named in config\.toml"):
            find_interpreter(python, tmp_path / "task")
    name_in_config('[interpreters]\npaths = ["evil"]\n')
    with pytest.raises(UsageError, match="a path starts with /"):
        find_interpreter("../evil", tmp_path / "task")
    assert not (tmp_path / "ran").exists()


def name_in_config(text: str) -> None:
    config = workspace() / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(text)


def test_interpreter_in_task_folder_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tmp_path / "real"
    task = tmp_path / "task"  # the same folder by another name
    (real / "venv" / "bin").mkdir(parents=True)
    task.symlink_to(real)
    evil = real / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    evil.chmod(0o755)
    # An environment's interpreter is a link out of it, but its imports come from the environment.
    (real / "venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "link").symlink_to(evil)
    (tmp_path / "hop").symlink_to("real/venv/bin/python")
    (tmp_path / "venv").symlink_to(real / "venv")
    paths = ["./evil", "../task/evil", "../real/evil", str(evil), str(task / "evil"), "../link", "venv/bin/python"]
    paths += ["../hop", "../venv/bin/python", "../task/../real/evil"]
    for python in paths:
        for folder in (task, real):
            with pytest.raises(EvolveError, match="lies in the task folder"):
                find_interpreter(python, folder)
    # A bare name is looked up on PATH, and never in the task even if PATH has the current folder.
    monkeypatch.chdir(real)
    with pytest.raises(EvolveError, match="not on PATH"):
        find_interpreter("evil", task)
    for entry in (".", str(task)):
        monkeypatch.setenv("PATH", entry)
        with pytest.raises(EvolveError, match="lies in the task folder"):
            find_interpreter("evil", task)
    assert not (tmp_path / "ran").exists()
    # The engine's own may lie anywhere.
    assert find_interpreter(None, Path(sys.prefix)).path == sys.executable


def test_checkout_on_path_shows_only_packages(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "runs").mkdir()
    for name in (".env", "module.py", "notes.txt"):
        (tmp_path / name).touch()
    shown = {Path(path).name for path in interpreters._importable(str(tmp_path))}
    assert shown == {"package", "module.py"}


async def test_run_inside_readable_folder_stays_hidden(guarded: Workplace) -> None:
    run = guarded.folder / "run"
    run.mkdir()
    (run / "run.db").write_text("the journal")
    (guarded.folder / "data").write_text("for the evaluator")
    evaluator = f"""
import os
def evaluate(path):
    open(os.path.join(os.path.dirname(__file__), "..", "data")).read()
    return {{"score": len(os.listdir({str(run)!r}))}}
"""
    outcome = await guarded.evaluate("", evaluator, mounts=[".."])
    assert (outcome.status, outcome.score) == ("ok", 0.0), outcome.reason


def test_hostile_folders_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (tmp_path / "outside").write_text("stays")
    (top / "link").symlink_to(tmp_path, target_is_directory=True)
    closed = top / "closed" / "inner"
    closed.mkdir(parents=True)
    (closed / "file").touch()
    closed.chmod(0)
    closed.parent.chmod(0)
    here = os.open(top, os.O_RDONLY)
    for _ in range(400):  # far deeper than a path may be long
        os.mkdir("deep-folder-name", dir_fd=here)
        below = os.open("deep-folder-name", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(str(top))
    assert not top.exists() and (tmp_path / "outside").exists()


def test_folders_deeper_than_recursion_limit_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for depth in range(sys.getrecursionlimit() + 1000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(os.open("file", os.O_CREAT, dir_fd=below))
        if depth % 3:
            os.fchmod(here, 0o500 if depth % 2 else 0)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(str(top))
    assert list(tmp_path.iterdir()) == []


def test_link_is_not_removed_as_folder(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(NotADirectoryError):
        remove_tree(str(tmp_path / "link"))
    with pytest.raises(FileNotFoundError):
        remove_tree(str(tmp_path / "nowhere"))
    assert (tmp_path / "outside" / "file").exists()
