"""The recorded copy of a task, laid out from a real journal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.errors import EvolveError, RunError
from engine.loop.past import Past, recall_past
from engine.loop.task_copy import TaskCopy, lay_out
from engine.runs.folder import Run
from engine.workspace import workspace
from tests.conftest import TaskMaker
from tests.e2e.runs import make_run


def copy_of(run: Run) -> tuple[Past, TaskCopy]:
    past = recall_past(run)
    return past, TaskCopy(run.task, past.state.start, past.state.spec)


def test_copy_is_laid_out_although_the_source_has_changed(make_task: TaskMaker, tmp_path: Path) -> None:
    folder = make_task()
    run = make_run(folder, tmp_path / "runs")
    seed = (folder / "seed.py").read_text()
    (folder / "seed.py").write_text("broken")
    past, task = copy_of(run)
    with past.reader:
        lay_out(run, task, past.state, past.reader.blob)
    assert (run.task / "seed.py").read_text() == seed
    assert run.work.is_dir()


def test_folder_that_cannot_be_written_is_named(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs")
    past, task = copy_of(run)
    run.work.write_text("in the way")
    with past.reader, pytest.raises(RunError, match=r"work cannot be written: File exists"):
        lay_out(run, task, past.state, past.reader.blob)


def test_mounts_and_interpreter_start_at_the_source(make_task: TaskMaker, tmp_path: Path) -> None:
    folder = make_task(name="one")
    toml = folder / "task.toml"
    toml.write_text('mounts = ["../data"]\npython = "../env/bin/python"\n' + toml.read_text())
    config = workspace() / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f'[interpreters]\npaths = ["{folder.parent}/env/bin/python"]\n')
    past, task = copy_of(make_run(folder, tmp_path / "runs"))
    past.reader.close()
    assert [Path(mount).resolve() for mount in task.mounts] == [folder.parent / "data"]
    assert task.python == str(folder.parent / "env" / "bin" / "python")


def test_interpreter_of_the_source_is_refused_even_behind_a_link(make_task: TaskMaker, tmp_path: Path) -> None:
    folder = make_task(name="two")
    (folder / "env").mkdir()
    (folder / "env" / "python").symlink_to(sys.executable)
    (folder.parent / "link").symlink_to(folder / "env")
    toml = folder / "task.toml"
    # Its end lies outside, as that of every virtual environment.
    toml.write_text('python = "../link/python"\n' + toml.read_text())
    past, task = copy_of(make_run(folder, tmp_path / "runs"))
    past.reader.close()
    with pytest.raises(EvolveError, match="lies in the task folder"):
        _ = task.python
